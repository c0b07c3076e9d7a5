#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSSH into a guest that has no network: sshd is a service, `muxctl connect` a ProxyCommand."""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, ClassVar

from case import StackCase
from machine import die_with_parent
from parts import environment, part
from ssh import SSHD, SSHD_PREPARE, Keys, Terminal
from stack import BIN, VM_NAME, read_all, wait_for

MIB = 1 << 20
FILE = 4 * MIB
AT_ONCE = 5
#: ssh's own, when it is not the command's.
TROUBLE = 255
#: An emulated processor does the cryptography, five times at once.
PATIENCE = 60.0
WEB = "127.0.0.1:8080"


class Ssh(StackCase):
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
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def check_nothing_left(self) -> None:
        """No channel, no sshd and nothing that it started, no proxy."""
        wait_for(lambda: self.host.link()["channels_open"] == 0, 5, self.host.log)
        wait_for(lambda: self.guest.link()["channels_open"] == 0, 5, self.guest.log)
        self.vm.wait_until("! pgrep -l 'sshd|sleep|sftp-server'", 5)
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

    # ---- one session ----

    def test_command(self) -> None:
        """The guest has nothing but lo."""
        self.assertEqual(self.vm.check("ls /sys/class/net").split(), ["lo"])
        begin = time.monotonic()
        self.assertEqual(self.ask("root@guest", "uname -a"), self.vm.check("uname -a"))
        self.say(f"a session takes {time.monotonic() - begin:.2f} s")
        self.assertEqual(self.ask("alice@guest", "id -un; id -u; hostname"), "alice\n1000\nguest\n")
        self.check_nothing_left()

    def test_exit_status(self) -> None:
        run = self.ssh("root@guest", "echo out; echo err >&2; exit 7")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (7, b"out\n", b"err\n"))

    def test_input(self) -> None:
        data = os.urandom(FILE)
        self.assertEqual(self.ask("root@guest", "sha256sum", data=data).split()[0], _sum(data))

    def test_refused(self) -> None:
        """By sshd, by ssh for whom the guest is another, and by guestmux."""
        for target, settings, why in [
            ("bob@guest", {}, b"Permission denied"),
            ("root@guest", {"UserKnownHostsFile": f"{self.keys.folder}/wrong_hosts"},
             b"Host key verification failed"),
            ("root@other", {}, b"'other/ssh'|other/ssh: no-service"),
        ]:  # fmt: skip
            with self.subTest(target, **settings):
                run = self.ssh(target, "true", **settings)
                self.assertEqual((run.returncode, run.stdout), (TROUBLE, b""))
                self.assertRegex(run.stderr, why)
        self.check_nothing_left()

    def test_terminal(self) -> None:
        """A shell on a pty: its size, a change of it, ^C, and its exit status."""
        screen = Terminal(self.command("-tt", "root@guest"), 31, 97)
        self.addCleanup(screen.close)
        screen.expect("# $")
        screen.type("tty; stty size\r")
        screen.expect(r"/dev/pts/\d+\r\n31 97\r\n")
        screen.resize(50, 120)
        self.vm.wait_until("test $(stty -F /dev/pts/0 size | tr ' ' x) = 50x120", 5)
        screen.type("sleep 1000\r")
        self.vm.wait_until("pgrep sleep")
        screen.type("\x03")
        self.vm.wait_until("! pgrep sleep")
        screen.type("echo status=$?\r")
        screen.expect("status=130")
        screen.type("exit 3\r")
        self.assertEqual(screen.process.wait(PATIENCE), 3)
        self.check_nothing_left()

    # ---- files and forwards ----

    def test_copy(self) -> None:
        data = os.urandom(FILE)
        there, back = self.folder / "there", self.folder / "back"
        there.write_bytes(data)
        begin = time.monotonic()
        self.ask("-q", str(there), "root@guest:/tmp/file", program="scp")
        self.assertEqual(self.vm.check("sha256sum /tmp/file").split()[0], _sum(data))
        self.ask("-q", "root@guest:/tmp/file", str(back), program="scp")
        self.say(f"{2 * FILE / MIB / (time.monotonic() - begin):.1f} MiB/s, logins included")
        self.assertEqual(_sum(back.read_bytes()), _sum(data))
        back.unlink()
        script = f"rename /tmp/file /tmp/moved\nget /tmp/moved {back}\nrm /tmp/moved\n"
        self.ask("-q", "-b", "-", "root@guest", data=script.encode(), program="sftp")
        self.assertEqual(_sum(back.read_bytes()), _sum(data))
        self.assertEqual(self.vm.run("ls /tmp/file /tmp/moved").status, 1)
        self.check_nothing_left()

    def serve_web(self) -> str:
        """A web server that only the guest can reach; its file's checksum."""
        self.vm.check(f"mkdir -p /tmp/www; noise 7 {MIB} >/tmp/www/file")
        server = self.vm.spawn(f"httpd -f -p {WEB} -h /tmp/www")
        self.addCleanup(server.kill)
        return self.vm.check("sha256sum /tmp/www/file").split()[0]

    def test_forward_of_stdin(self) -> None:
        expected = self.serve_web()
        request = b"GET /file HTTP/1.0\r\n\r\n"
        run = self.ssh("-W", WEB, "root@guest", data=request)
        self.assertEqual(_sum(run.stdout.partition(b"\r\n\r\n")[2]), expected, run.stderr)

    def test_forward_of_a_socket(self) -> None:
        """Three connections to the guest's web server over one session."""
        expected = self.serve_web()
        path = self.folder / "web.sock"
        forward = self.begin("-N", "-L", f"{path}:{WEB}", "root@guest")
        wait_for(path.exists, PATIENCE, self.guest.log)
        socks = [self.enterContext(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        for sock in socks:
            sock.settimeout(PATIENCE)
            sock.connect(str(path))
            sock.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        for sock in socks:
            self.assertEqual(_sum(read_all(sock).partition(b"\r\n\r\n")[2]), expected)
        self.assertEqual(self.host.link()["channels_open"], 1)
        forward.terminate()
        forward.wait(PATIENCE)
        self.check_nothing_left()

    # ---- several, and what is cut off ----

    def test_at_once(self) -> None:
        begin = time.monotonic()
        sessions = [self.begin("root@guest", f"echo {n}; exec cat") for n in range(AT_ONCE)]
        for n, session in enumerate(sessions):
            assert session.stdout
            self.assertEqual(session.stdout.readline(), b"%d\n" % n)
        self.say(f"{AT_ONCE} sessions after {time.monotonic() - begin:.2f} s")
        self.assertEqual(self.host.link()["channels_open"], AT_ONCE)
        for n, session in enumerate(sessions):
            self.assertEqual(session.communicate(b"said %d" % n, PATIENCE)[0], b"said %d" % n)
            self.assertEqual(session.returncode, 0)
        self.check_nothing_left()

    def test_killed(self) -> None:
        """What the client started ends with it: a command that reads, and a terminal's."""
        sessions = [
            self.begin("root@guest", "echo here; exec cat"),
            self.begin("-tt", "root@guest", "echo here; exec sleep 1000"),
        ]
        for session in sessions:
            assert session.stdout
            self.assertEqual(session.stdout.readline().strip(), b"here")
        for session in sessions:
            session.kill()
        self.check_nothing_left()

    def test_guestmux_killed(self) -> None:
        """ssh is told at once, the guest keeps nothing, and the next session works."""
        session = self.begin("-tt", "root@guest", "echo here; exec sleep 1000")
        assert session.stdout
        self.assertEqual(session.stdout.readline().strip(), b"here")
        self.guest.stop("KILL")
        self.assertEqual(session.wait(5), TROUBLE)
        self.vm.wait_until("! pgrep -l 'sshd|sleep'", 5)
        self.guest.start()
        self.host.wait_up()
        self.assertEqual(self.ask("root@guest", "echo again"), "again\n")

    def test_caller(self) -> None:
        session = self.begin("root@guest", "echo here; exec cat")
        assert session.stdout
        self.assertEqual(session.stdout.readline(), b"here\n")
        caller: dict[str, Any] = {"uid": os.geteuid(), "gid": os.getegid()}
        caller["program"] = self.proxy_program
        for channels in (self.guest.link()["channels"], self.host.link()["channels"]):
            self.assertEqual([channel["service"] for channel in channels], ["ssh"])
            self.assertEqual([channel["caller"] for channel in channels], [caller])


class SshFdpass(Ssh):
    """The same with the example that hands the channel over, so that nothing copies in between."""

    proxy_program = "ssh-fdpass"

    def proxy(self) -> dict[str, str]:
        command = shlex.join(
            ["env", f"GUESTMUX_SOCKET={self.host.socket}", str(BIN / "ssh-fdpass")]
        )
        return {"ProxyCommand": f"{command} %h/ssh", "ProxyUseFdpass": "yes"}

    def test_nothing_in_between(self) -> None:
        session = self.begin("root@guest", "echo here; exec cat")
        assert session.stdout
        self.assertEqual(session.stdout.readline(), b"here\n")
        # ssh itself names the socket, in its ProxyCommand.
        self.assertEqual(len(self.proxies()), 1, self.proxies())


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    unittest.main(verbosity=2)
