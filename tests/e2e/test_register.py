# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services that programs register: what they can be joined to, how long they live, who may."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from client import Client
from daemon import Daemon, wait_until
from stack import Stack, StackTest, read_exactly
from user import GID, UID, being, needs_root, talk

SIDES = ("guest", "host")
OF_USER, IN_ALL = 64, 512


class RegisterTest(StackTest):
    def start(self, **keys: object) -> Stack:
        self.folder.chmod(0o755)
        return self.stack(**keys)

    def client(self, daemon: Daemon, uid: int = 0) -> Client:
        if uid:
            with being(uid):
                client = Client(daemon.socket)
        else:
            client = Client(daemon.socket)
        self.addCleanup(client.close)
        return client

    def other(self, stack: Stack, side: str) -> tuple[Daemon, str]:
        """The daemon of that side, and the side from which its services are opened."""
        return (stack.guest, "host") if side == "guest" else (stack.host, "guest")

    def take(self, client: Client) -> tuple[dict[str, Any], socket.socket]:
        event, sock = client.channel()
        self.addCleanup(sock.close)
        return event, sock

    def check(self, app: socket.socket, handler: socket.socket) -> None:
        """Bytes go both ways."""
        for one, another in ((app, handler), (handler, app)):
            one.sendall(b"there")
            self.assertEqual(read_exactly(another, 5), b"there")

    def offered(self, daemon: Daemon) -> set[str]:
        return {service["service"] for service in daemon.ask("services")["services"]}

    def seen(self, daemon: Daemon) -> set[str]:
        """What can be opened there."""
        return {service["service"] for service in daemon.ask("services")["remote"]}

    def wait_gone(self, stack: Stack, side: str) -> None:
        daemon, other = self.other(stack, side)
        wait_until(lambda: not self.offered(daemon), "nothing is registered")
        wait_until(lambda: not self.seen(stack.guest if other == "guest" else stack.host),
                   "the other side knows")


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
        """The registrant sees that its daemon ended; the other daemon's restart is nothing to it."""
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


class Names(RegisterTest):
    def test_taken(self) -> None:
        """And the text says by whom."""
        stack = self.start()
        stack.host.service("file", exec=["/bin/cat"])
        stack.host.reload()
        client, another = self.client(stack.host), self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        program = Path("/proc/self/comm").read_text().strip()
        for who in (client, another):
            self.assertEqual(who.error("register", service="clip", accept="fd"),
                             ("taken", f"'clip' is held by {program} (uid 0)"))
            self.assertEqual(who.error("register", service="file", accept="fd"),
                             ("taken", f"'file' is held by {stack.host.services}/file.json"))
        stack.open("clip")
        self.take(client)

    def test_file_takes_the_name(self) -> None:
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        app = stack.open("clip")
        _, sock = self.take(client)
        stack.host.service("clip", exec=["/bin/echo", "file"])
        file = stack.host.services / "clip.json"
        self.assertEqual(client.event(), {"event": "unregistered", "service": "clip",
                                          "reason": f"{file} took the name"})
        self.assertEqual(read_exactly(stack.open("clip"), 5), b"file\n")
        self.check(app, sock)
        self.assertEqual(client.error("unregister", service="clip")[0], "no-service")
        file.unlink()
        wait_until(lambda: not self.offered(stack.host), "the file is gone")
        client.good("register", service="clip", accept="fd")

    def test_policy_changes(self) -> None:
        stack = self.start()
        client = self.client(stack.host, UID)
        root = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        root.good("register", service="note", accept="fd")
        stack.host.config.write_text(json.dumps({"policy": {"*": {"register": {"users": []}}}}))
        stack.host.reload()
        self.assertEqual(client.event(), {"event": "unregistered", "service": "clip",
                                          "reason": "the policy has changed"})
        self.assertEqual(client.error("register", service="clip", accept="fd")[0], "denied")
        self.assertEqual(self.offered(stack.host), {"note"})


@needs_root
class Users(RegisterTest):
    def test_rights(self) -> None:
        """Others than root would have the daemon connect, or run, in its own name."""
        stack = self.start()
        client = self.client(stack.guest, UID)
        for target in ({"connect": "unix:/run/secret"}, {"exec": ["/bin/sh"]}):
            code, text = client.error("register", service="clip", **target)
            self.assertEqual(code, "denied")
            self.assertIn('use "accept"', text)
        client.good("register", service="clip", accept="fd")
        (shown,) = stack.guest.ask("services")["services"]
        self.assertEqual((shown["registered_by"]["uid"], shown["registered_by"]["gid"]),
                         (UID, GID))
        self.check(stack.open("clip", side="host"), self.take(client)[1])

    def test_process(self) -> None:
        stack = self.start()
        said = talk(stack.guest.socket, b'@control\n{"verb":"register","service":"a","exec":["/b"]}\n'
                    b'{"verb":"register","service":"a","accept":"fd"}\n', UID).splitlines()
        self.assertEqual(said[0], b"OK")
        self.assertEqual(json.loads(said[1])["error"]["code"], "denied")
        self.assertTrue(json.loads(said[2])["ok"])
        self.wait_gone(stack, "guest")

    def test_not_another_ones(self) -> None:
        """Not even the same user, or root, on another connection."""
        stack = self.start()
        client = self.client(stack.host, UID)
        client.good("register", service="clip", accept="fd")
        for uid in (0, UID, UID + 1):
            another = self.client(stack.host, uid)
            self.assertEqual(another.error("unregister", service="clip")[0], "no-service")
            code, text = another.error("register", service="clip", accept="fd")
            self.assertEqual(code, "taken")
            self.assertIn(f"(uid {UID})", text)
            another.close()
        self.check(stack.open("clip"), self.take(client)[1])

    def test_limits(self) -> None:
        stack = self.start()
        mine = [self.client(stack.host, UID) for _ in range(2)]
        for n in range(OF_USER):
            mine[n % 2].good("register", service=f"u{n}", accept="fd")
        for client in mine:
            self.assertEqual(client.error("register", service="more", accept="fd")[0], "limit")
        another = self.client(stack.host, UID + 1)
        another.good("register", service="another", accept="fd")
        mine[0].good("unregister", service="u0")
        mine[1].good("register", service="u0", accept="fd")
        mine[0].close()
        wait_until(lambda: len(self.offered(stack.host)) == 1 + OF_USER // 2 + 1, "half are gone")
        root = self.client(stack.host)
        for n in range(IN_ALL - len(self.offered(stack.host))):
            root.good("register", service=f"r{n}", accept="fd")
        for client in (root, another):
            code, text = client.error("register", service="more", accept="fd")
            self.assertEqual((code, text), ("limit", "512 services are registered already"))
        wait_until(lambda: len(self.seen(stack.guest)) == IN_ALL, "all are announced")
        root.close()
        wait_until(lambda: len(self.seen(stack.guest)) == 34, "and that they are gone")
        another.good("register", service="more", accept="fd")


if __name__ == "__main__":
    unittest.main()
