# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSSH between the host and a test guest: keys, the guest's files, the host's command lines."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import image
from case import StackCase
from machine import die_with_parent
from parts import environment, part
from stack import BIN, VM_NAME, Handler, unpacked, wait_for

#: An emulated processor does the cryptography, several times at once.
PATIENCE = 60.0

SSHD: Handler = {"exec": ["/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/sshd_config"]}
SSHD_CONFIG = """
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized/%u
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server
"""
#: What sshd gives its privileges up for.
SSHD_USER = "sshd:x:100:65534::/run/sshd:/bin/false\n"
#: After each boot. The / of an initramfs is anybody's to write, which sshd does not trust.
SSHD_PREPARE = "mkdir -p /run/sshd; chmod 755 /; >>/run/utmp"


class Keys:
    """The guest's host key, a user's key and a stranger's, in a folder of the host's."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self._host = host
        for name in ("host_key", "user_key", "other_key"):
            subprocess.run(
                [part("usr/bin/ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name],
                check=True, env=environment(),
            )  # fmt: skip
        self._know("known_hosts", "host_key")
        self._know("wrong_hosts", "other_key")

    def _know(self, name: str, key: str) -> None:
        (self.folder / name).write_text(f"{self._host} {self.public(key)}")

    def public(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text()

    def guest_files(self, *users: str) -> dict[str, image.Content]:
        """sshd as it would be installed, and into which these users may log in."""
        return {
            **unpacked("usr/sbin/sshd", "usr/lib/openssh/sftp-server"),
            "/etc/passwd": str(image.ETC["/etc/passwd"]) + SSHD_USER,
            "/etc/ssh/sshd_config": SSHD_CONFIG,
            "/var/log/lastlog": "",
            "/var/log/wtmp": "",
            "/etc/ssh/host_key": self.folder / "host_key",
            **{f"/etc/ssh/authorized/{user}": self.public("user_key") for user in users},
        }

    def options(self, proxy: str, more: Mapping[str, str] | None = None) -> list[str]:
        """For ssh, scp and sftp; nothing of whoever runs the test has a part in it."""
        settings = {
            "ProxyCommand": proxy,
            "IdentityFile": str(self.folder / "user_key"),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "LogLevel": "ERROR",
            **(more or {}),
        }
        words = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return ["-F", "none", *words]


class Terminal:
    """A program on a terminal of its own, typed at."""

    def __init__(self, command: list[str], rows: int, columns: int) -> None:
        self._fd, terminal = os.openpty()
        self._said = ""
        self.resize(rows, columns)

        def begin() -> None:
            os.login_tty(terminal)
            die_with_parent()

        self.process = subprocess.Popen(
            command, preexec_fn=begin, env=environment() | {"TERM": "linux"}
        )
        os.close(terminal)

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self._fd, (rows, columns))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Wait for a pattern; it and all before it are taken."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self._said)):
            ready = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))[0]
            if not ready:
                raise TimeoutError(f"no {pattern!r} in {self._said!r}")
            self._said += os.read(self._fd, 65536).decode(errors="replace")
        self._said = self._said[found.end() :]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


class SshCase(StackCase):
    """A guest with sshd as a service, and ssh on the host, through a proxy that is the class's."""

    guest_services = {"ssh": SSHD}
    proxy_program: ClassVar[str] = "muxctl"
    keys: ClassVar[Keys]

    @classmethod
    def setUpClass(cls) -> None:
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="guestmux-ssh-"))
        cls.keys = Keys(Path(folder), VM_NAME)
        cls.hardware = {"files": cls.keys.guest_files("root", "alice")}
        super().setUpClass()
        cls.vm.check(SSHD_PREPARE)

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.host.folder
        self.start()

    # ---- command lines ----

    def proxy(self) -> dict[str, str]:
        words = [str(BIN / "muxctl"), "--socket", str(self.host.socket), "connect"]
        return {"ProxyCommand": f"{shlex.join(words)} %h/ssh"}

    def command(self, *arguments: str, program: str = "ssh", **settings: str) -> list[str]:
        proxy = self.proxy()
        options = self.keys.options(proxy.pop("ProxyCommand"), proxy | settings)
        # scp and sftp would look for the ssh that is installed.
        which = [] if program == "ssh" else ["-S", part("usr/bin/ssh")]
        return [part(f"usr/bin/{program}"), *which, *options, *arguments]

    def ssh(
        self, *arguments: str, data: bytes = b"", program: str = "ssh", **settings: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*arguments, program=program, **settings), input=data, check=False,
            env=environment(), capture_output=True, timeout=PATIENCE,
        )  # fmt: skip

    def ask(self, *arguments: str, data: bytes = b"", program: str = "ssh") -> str:
        """What a command that has to succeed says."""
        run = self.ssh(*arguments, data=data, program=program)
        self.assertEqual((run.returncode, run.stderr), (0, b""), run.stdout)
        return run.stdout.decode()

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command(*arguments), env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        )  # fmt: skip
        self.addCleanup(_end, process)
        return process

    def check_nothing_left(self) -> None:
        """No channel, no sshd and nothing that it started, no proxy."""
        wait_for(lambda: self.host.link()["channels_open"] == 0, 5, self.host.log)
        wait_for(lambda: self.guest.link()["channels_open"] == 0, 5, self.guest.log)
        self.vm.wait_until("! pidof sshd sleep sftp-server", 5)
        wait_for(lambda: not self.proxies(), 5, lambda: str(self.proxies()))

    def proxies(self) -> list[str]:
        """The host's programs that name its socket, but for hostmux."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if bytes(self.host.socket) in words and path.parent.name != str(self.host.pid):
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """Without waiting for its proxy, which has the same output."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
