# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services that programs register: what they can be joined to, and how long they live."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import unittest
from pathlib import Path

from client import Client
from daemon import wait_until
from registering import SIDES, RegisterTest
from stack import read_exactly


class Kinds(RegisterTest):
    def test_accept(self) -> None:
        stack = self.start()
        for side in SIDES:
            daemon, other = self.other(stack, side)
            client = self.client(daemon)
            answer = client.good("register", service="clip", accept="fd")
            self.assertEqual(set(answer), {"ok", "daemon", "version", "service"})
            self.assertEqual(answer["service"], "clip")
            pairs = []
            for n in range(3):
                app = stack.open(f"clip:{n}", b"early", side=other)
                event, sock = self.take(client)
                self.assertEqual(event["argument"], str(n))
                self.assertEqual(read_exactly(sock, 5), b"early")
                pairs.append((app, sock))
            for app, sock in pairs:
                self.check(app, sock)
                sock.shutdown(socket.SHUT_WR)
                self.assert_eof(app)
                app.close()
                self.assert_eof(sock)
                sock.close()
            client.close()

    def test_connect_and_exec(self) -> None:
        stack = self.start()
        listener = self.listener()
        for side in SIDES:
            daemon, other = self.other(stack, side)
            client = self.client(daemon)
            client.good("register", service="sock", connect=listener.connect)
            client.good("register", service="cat", exec=["/bin/sh", "-c", "printf $0; cat", "hi"])
            self.check(*stack.join(listener, "sock", side=other))
            app = stack.open("cat", b"x", side=other)
            self.assertEqual(read_exactly(app, 3), b"hix")
            client.close()
            self.assert_refused("no-service", stack, "cat", other)
            app.sendall(b"y")
            self.assertEqual(read_exactly(app, 1), b"y", "a handler that runs goes on")

    def test_shown(self) -> None:
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd", description="d",
                    properties={"a": "b"}, max_channels=2, max_opens_per_second=9)
        (shown,) = stack.host.ask("services")["services"]
        program = Path("/proc/self/comm").read_text().strip()
        self.assertEqual(shown, {
            "service": "clip", "accept": "fd", "description": "d", "properties": {"a": "b"},
            "channels": 0, "max_channels": 2,
            "registered_by": {"uid": 0, "gid": os.getgid(), "program": program}})
        apps = [stack.open("clip") for _ in range(2)]
        self.assertEqual(stack.host.ask("services")["services"][0]["channels"], len(apps))
        self.assert_refused("limit", stack, "clip")

    def test_vms(self) -> None:
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="mine", accept="fd", vms=["x"])
        client.good("register", service="others", accept="fd", vms=["y*"])
        stack.open("mine")
        self.assert_refused("denied", stack, "others")


class Life(RegisterTest):
    def test_ends_with_connection(self) -> None:
        """Closed or half-closed; nothing else ends it, and channels that are open stay."""
        stack = self.start()
        for side in SIDES:
            daemon, other = self.other(stack, side)
            for how in (socket.SHUT_RDWR, socket.SHUT_WR, None):
                client = self.client(daemon)
                client.good("register", service="clip", accept="fd")
                app = stack.open("clip", side=other)
                _, sock = self.take(client)
                if how is None:
                    client.close()
                else:
                    client.sock.shutdown(how)
                self.wait_gone(stack, side)
                self.assert_refused("no-service", stack, "clip", other)
                self.check(app, sock)

    def test_registrant_is_killed(self) -> None:
        """With a channel open and one on the way to it."""
        stack = self.start()
        code = ("import sys; from pathlib import Path; from client import Client\n"
                "client = Client(Path(sys.argv[1])); client.good('register', service='clip',"
                " accept='fd'); pair = client.channel(); print('ready', flush=True)\n"
                "sys.stdin.read()")
        for side in SIDES:
            daemon, other = self.other(stack, side)
            process = subprocess.Popen([sys.executable, "-B", "-c", code, str(daemon.socket)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       cwd=Path(__file__).parent)
            self.addCleanup(process.communicate)
            wait_until(lambda d=daemon: self.offered(d),  # type: ignore[misc]
                       "it is registered")
            app = stack.open("clip", side=other)
            assert process.stdout
            self.assertEqual(process.stdout.readline(), b"ready\n")
            unread = stack.open("clip", side=other)
            process.send_signal(signal.SIGKILL)
            self.assert_eof(app)
            self.assert_eof(unread)
            self.wait_gone(stack, side)

    def test_daemons_start_again(self) -> None:
        """The registrant sees that its daemon ended; the other one's restart is nothing to it."""
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        stack.guest.stop()
        stack.guest.start()
        stack.wait_up()
        wait_until(lambda: self.seen(stack.guest) == {"clip"}, "it is announced again")
        app = stack.open("clip")
        self.check(app, self.take(client)[1])
        self.assertEqual(client.pending(), [])
        stack.host.stop()
        self.assertEqual(client.sock.recv(1), b"")
        stack.host.start()
        stack.wait_up()
        self.assert_refused("no-service", stack, "clip")

    def test_unregister(self) -> None:
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        client.good("register", service="note", accept="fd")
        app = stack.open("clip")
        _, sock = self.take(client)
        self.assertEqual(set(client.good("unregister", service="clip")),
                         {"ok", "daemon", "version"})
        self.assert_refused("no-service", stack, "clip")
        self.check(app, sock)
        self.assertEqual(client.error("unregister", service="clip")[0], "no-service")
        self.assertEqual(client.error("unregister", service="")[0], "no-service")
        stack.open("note")
        self.take(client)
        another = self.client(stack.host)
        another.good("register", service="clip", accept="fd")
        stack.open("clip")
        self.check(stack.opened[-1], self.take(another)[1])
        self.check(app, sock)

    def test_reload(self) -> None:
        """A reload is nothing to registrations, while the policy is nothing to them."""
        stack = self.start()
        stack.host.service("file", exec=["/bin/cat"])
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        app = stack.open("clip")
        _, sock = self.take(client)
        for _ in range(5):
            stack.host.reload()
        self.assertEqual(client.pending(), [])
        self.check(app, sock)
        stack.open("clip")
        self.take(client)
        self.assertEqual(self.offered(stack.host), {"clip", "file"})


if __name__ == "__main__":
    unittest.main()
