#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSSH into a guest that has no network: sshd is a service, `muxctl connect` a ProxyCommand."""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import time
import unittest
from typing import Any

from ssh import PATIENCE, SshCase, Terminal
from stack import BIN, listens, read_all, wait_for

MIB = 1 << 20
FILE = 4 * MIB
AT_ONCE = 5
#: ssh's own, when it is not the command's.
TROUBLE = 255
WEB = "127.0.0.1:8080"


class Sessions(SshCase):
    """What each proxy has to do."""

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

    def test_refused(self) -> None:
        """By sshd, by ssh for whom the guest is another, and by guestmux."""
        for target, hosts, why in [
            ("bob@guest", "known_hosts", b"Permission denied"),
            ("root@guest", "wrong_hosts", b"Host key verification failed"),
            ("root@other", "known_hosts", b"'other/ssh'|other/ssh: no-service"),
        ]:
            with self.subTest(target, hosts=hosts):
                path = f"{self.keys.folder}/{hosts}"
                run = self.ssh(target, "true", UserKnownHostsFile=path)
                self.assertEqual((run.returncode, run.stdout), (TROUBLE, b""))
                self.assertRegex(run.stderr, why)
        self.check_nothing_left()

    def test_terminal(self) -> None:
        """A shell on a pty: its size, a change of it, ^C, and its exit status."""
        screen = Terminal(self.command("-tt", "root@guest"), 31, 97)
        self.addCleanup(screen.close)
        screen.expect("# ")
        screen.type("tty; stty size\r")
        terminal = screen.expect(r"(/dev/pts/\d+)\r\n31 97\r\n")[1]
        screen.resize(50, 120)
        self.vm.wait_until(f"stty -F {terminal} size | grep -qx '50 120'", 5)
        screen.type("sleep 1000\r")
        self.vm.wait_until("pidof sleep")
        screen.type("\x03")
        self.vm.wait_until("! pidof sleep")
        screen.type("echo status=$?\r")
        screen.expect("status=130")
        screen.type("exit 3\r")
        self.assertEqual(screen.process.wait(PATIENCE), 3)
        self.check_nothing_left()

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

    def test_killed(self) -> None:
        """What the client started ends with it: a command that reads, and a terminal's."""
        sessions = [
            self.begin("root@guest", "echo here; exec cat"),
            self.begin("-tt", "root@guest", "echo here; exec sleep 1000"),
        ]
        for session in sessions:
            assert session.stdout
            self.assertEqual(session.stdout.readline().strip(), b"here")
        self.vm.check("pidof sshd && pidof sleep")
        for session in sessions:
            session.kill()
        self.check_nothing_left()

    def test_caller(self) -> None:
        session = self.begin("root@guest", "echo here; exec cat")
        assert session.stdout
        self.assertEqual(session.stdout.readline(), b"here\n")
        caller: dict[str, Any] = {"uid": os.geteuid(), "gid": os.getegid()}
        caller["program"] = self.proxy_program
        for channels in (self.guest.link()["channels"], self.host.link()["channels"]):
            self.assertEqual([channel["service"] for channel in channels], ["ssh"])
            self.assertEqual([channel["caller"] for channel in channels], [caller])


class Ssh(Sessions):
    def test_input(self) -> None:
        data = os.urandom(FILE)
        self.assertEqual(self.ask("root@guest", "sha256sum", data=data).split()[0], _sum(data))

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

    def test_guestmux_killed(self) -> None:
        """The guest keeps nothing. When guestmux is back ssh is told, and the next one works."""
        session = self.begin("-tt", "root@guest", "echo here; exec sleep 1000")
        assert session.stdout
        self.assertEqual(session.stdout.readline().strip(), b"here")
        self.guest.stop("KILL")
        self.vm.wait_until("! pidof sshd sleep", 5)
        self.guest.start()
        self.assertEqual(session.wait(5), TROUBLE)
        self.host.wait_up()
        self.assertEqual(self.ask("root@guest", "echo again"), "again\n")

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
        wait_for(lambda: listens(path), PATIENCE, self.guest.log)
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


class SshFdpass(Sessions):
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


del Sessions

if __name__ == "__main__":
    unittest.main(verbosity=2)
