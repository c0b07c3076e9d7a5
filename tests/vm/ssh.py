# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSSH between the host and a test guest: keys, the guest's files, the host's command lines."""

from __future__ import annotations

import os
import re
import select
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import image
from machine import die_with_parent
from parts import environment, part
from stack import Handler, unpacked

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
#: sshd gives its privileges up for this one. Its folder is wanted after each boot, and / of an
#: initramfs is anybody's to write, which sshd does not trust.
SSHD_USER = "sshd:x:100:65534::/run/sshd:/bin/false\n"
SSHD_PREPARE = "mkdir -p /run/sshd; chmod 755 /"


class Keys:
    """A host key, and a user's, in a folder of the host's. Those without VM are a stranger's."""

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
            "/etc/passwd": f"{image.ETC['/etc/passwd']}{SSHD_USER}",
            "/etc/ssh/sshd_config": SSHD_CONFIG,
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

    def expect(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
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
