# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each user may have of a link, so that no one has what is there for all; and the pace."""

from __future__ import annotations

import json
import socket
import time
import unittest

from client import Client, open_client
from daemon import SANITIZED, Daemon, Json, wait_until
from stack import Listener, Refused, Stack, StackTest, raise_descriptor_limit, read_exactly
from user import UID, being, needs_root

OTHER = UID + 10
# What a window starts with, and what a channel may always have.
PIECE = b"x" * (16 << 10)


class UserTest(StackTest):
    def limited(self, side: str = "guest", **limits: int) -> Stack:
        """One side's programs have these limits; both sides have "cat", and "no" that refuses."""
        self.folder.chmod(0o755)
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("cat", exec=["/bin/cat"], max_channels=1000)
            daemon.service("no", connect="unix:/nowhere")
        daemon = stack.guest if side == "guest" else stack.host
        daemon.config.write_text(json.dumps({"limits": limits}))
        return stack.start()

    def opens(self, stack: Stack, uid: int, side: str, name: str = "cat") -> str:
        """OK, or the code."""
        try:
            with being(uid):
                app = stack.open(name, b"x", side=side)
        except Refused as refused:
            return refused.code
        self.assertEqual(read_exactly(app, 1), b"x")
        return "OK"


@needs_root
class Visitors(UserTest):
    def test_silent(self) -> None:
        """Who connects and says nothing, over and over, makes no room for himself at others' cost."""
        if not raise_descriptor_limit(8192):
            self.skipTest("too few descriptors")
        stack = self.limited()
        first, later = stack.dial(), []
        with being(UID):
            later = [stack.dial() for _ in range(3000)]
        # His last ones are there; his first ones have gone, and nobody else's.
        wait_until(lambda: stack.guest.descriptors_open() < stack.baseline["guestmux"] + 1100,
                   "what he has is bounded")
        self.assertEqual(later[0].recv(1), b"")
        for sock in (first, later[-1]):
            sock.sendall(b"cat\nx")
            self.assertEqual(read_exactly(sock, 4), b"OK\nx")


@needs_root
class Asking(UserTest):
    def client(self, stack: Stack, uid: int) -> Client:
        return open_client(self, stack.guest.socket, uid)

    def test_pace(self) -> None:
        """One user asks as fast as he can, until he is told to wait; another one need not."""
        stack = self.limited()
        storm, other = self.client(stack, UID), self.client(stack, OTHER)
        storm.sock.sendall(b'{"verb": "links"}\n' * 3000)
        codes = [storm.answer().get("error", {}).get("code") for _ in range(3000)]
        self.assertGreater(codes.count("busy"), 500)
        for _ in range(50):
            other.good("services")
        other.good("register", service="mine", accept="fd")

    def test_room_for_root(self) -> None:
        """Many users with all that each may have do not keep the administrator out."""
        stack = self.limited()
        for n in range(8):
            with being(UID + n):
                for _ in range(32):
                    stack.dial().sendall(b"@control\n")
        stack.guest.ask("links")
        self.client(stack, 0).good("register", service="mine", accept="fd")
        with self.assertRaises(AssertionError):
            self.client(stack, UID + 8)

    def test_policy_changes(self) -> None:
        """Whoever watches services is told to look again; not at a reload that changes nothing."""
        stack = self.limited()
        watcher = self.client(stack, UID)
        watcher.good("events", only=["services"])
        config: Json = {"policy": {"cat": {"users": [OTHER]}}}
        for expected in ([{"event": "lost", "count": 0}], []):
            stack.guest.config.write_text(json.dumps(config))
            stack.guest.reload()
            self.assertEqual(watcher.pending(), expected)
        self.assertEqual([one["name"] for one in watcher.good("services")["remote"]], ["no"])


@needs_root
class Channels(UserTest):
    def test_guest(self) -> None:
        self.check_limit("guest")

    def test_host(self) -> None:
        self.check_limit("host")

    def check_limit(self, side: str) -> None:
        """Each user has his own; root has none."""
        stack = self.limited(side, user_channels=3)
        for uid in (UID, OTHER):
            codes = [self.opens(stack, uid, side) for _ in range(5)]
            self.assertEqual(codes, ["OK"] * 3 + ["limit"] * 2)
        self.assertEqual([self.opens(stack, 0, side) for _ in range(5)], ["OK"] * 5)
        stack.opened.pop(0).close()
        wait_until(lambda: self.opens(stack, UID, side) == "OK", "there is room again")
        self.assertEqual(self.opens(stack, OTHER, side), "limit")

    def test_message(self) -> None:
        stack = self.limited(user_channels=1)
        self.assertEqual(self.opens(stack, UID, "guest"), "OK")
        with self.assertRaises(Refused) as caught, being(UID):
            stack.open("cat")
        self.assertIn("this user", str(caught.exception))
        self.assertIn(f"(uid {UID})", stack.guest.log())

    def test_refused_opens(self) -> None:
        """As many as may be, several times over, each in its way: the counters are at zero."""
        stack = self.limited(user_channels=5)
        for name, code in (("no", "refused"), ("nobody", "no-service"), ("@x", "bad-name"),
                           ("no", "refused")):
            for _ in range(12):
                self.assertEqual(self.opens(stack, UID, "guest", name), code)
        # All at once, by programs that do not wait for the answer.
        for gone in (False, True):
            with being(UID):
                apps = [stack.dial() for _ in range(20)]
            for app in apps:
                app.sendall(b"no\n")
                if gone:
                    app.close()
            stack.check_settled() if gone else [app.recv(100) for app in apps]
        self.assertEqual([self.opens(stack, UID, "guest") for _ in range(6)],
                         ["OK"] * 5 + ["limit"])

    def test_link_goes_down(self) -> None:
        stack = self.limited(user_channels=5)
        for _ in range(3):
            self.assertEqual([self.opens(stack, UID, "guest") for _ in range(6)],
                             ["OK"] * 5 + ["limit"])
            stack.host.kill()
            wait_until(lambda: not stack.guest.is_up(), "the link is down")
            self.assertEqual(self.opens(stack, UID, "guest"), "link-down")
            stack.host.start()
            stack.wait_up()

    def test_reload(self) -> None:
        """A new limit counts for what comes."""
        stack = self.limited(user_channels=1)
        self.assertEqual([self.opens(stack, UID, "guest") for _ in range(2)], ["OK", "limit"])
        stack.guest.config.write_text(json.dumps({"limits": {"user_channels": 3}}))
        stack.guest.reload()
        self.assertEqual([self.opens(stack, UID, "guest") for _ in range(3)],
                         ["OK", "OK", "limit"])

    def test_flood(self) -> None:
        """One user opens and closes as fast as he can; another one is served meanwhile."""
        stack = self.limited(user_channels=50)
        with being(UID):
            apps = [stack.dial() for _ in range(600)]
        for app in apps:
            app.sendall(b"cat\n")
        times = []
        for _ in range(10):
            begin = time.monotonic()
            self.assertEqual(self.opens(stack, OTHER, "guest"), "OK")
            times.append(time.monotonic() - begin)
        self.assertLess(sorted(times)[5], 2 if SANITIZED else 0.5)
        self.assertEqual(sum(app.recv(2) == b"OK" for app in apps), 50)


@needs_root
class Bytes(UserTest):
    BUDGET, OF_USER = 4 << 20, 256 << 10

    def deaf(self, stack: Stack, listener: Listener, uid: int, count: int) -> int:
        """So many channels are sent more than anybody reads; how much of it was taken."""
        handlers = []
        for _ in range(count):
            with being(uid):
                app = stack.dial()
                app.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                app.sendall(b"svc\n")
            handler = listener.accept()
            handler.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            handler.setblocking(False)
            handlers.append(handler)
        sent = 0
        quiet = time.monotonic()
        while time.monotonic() - quiet < 0.3:
            for handler in handlers:
                try:
                    sent += handler.send(PIECE)
                    quiet = time.monotonic()
                except BlockingIOError:
                    continue
        return sent

    def unread(self, daemon: Daemon) -> int:
        return sum(int(channel["unread"]) for channel in daemon.channels())

    def test_limit(self) -> None:
        """What is kept for one user is bounded; another one has his share at full speed."""
        self.folder.chmod(0o755)
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.service("cat", exec=["/bin/cat"])
        stack.guest.config.write_text(json.dumps({"limits": {
            "channels": 512, "budget_bytes": self.BUDGET, "user_bytes": self.OF_USER}}))
        stack.start()
        self.deaf(stack, listener, UID, 40)
        # Besides his share each channel has the little that any channel can always have.
        floors = 40 * (self.BUDGET // 2 // 513 + 1)
        kept = self.unread(stack.guest)
        self.assertGreater(kept, self.OF_USER // 4)
        self.assertLess(kept, self.OF_USER + floors)
        used = stack.guest.link()["session"]["budget_used"]
        self.assertLess(used, self.BUDGET // 2)
        with being(OTHER):
            app = stack.open("cat")
        size, begin = 8 << 20, time.monotonic()
        app.setblocking(False)
        sent = got = 0
        while got < size and time.monotonic() - begin < 10:
            try:
                sent += app.send(PIECE[:size - sent]) if sent < size else 0
            except BlockingIOError:
                pass
            try:
                got += len(app.recv(1 << 16))
            except BlockingIOError:
                pass
        self.assertEqual(got, size)
        # And after the first one has gone, his share is there again.
        for one in stack.opened[:-1]:
            one.close()
        for one in listener.accepted:
            one.close()
        wait_until(lambda: len(stack.guest.channels()) == 1, "his have gone")
        self.deaf(stack, listener, UID, 40)
        self.assertGreater(self.unread(stack.guest), self.OF_USER // 4)


class Pace(UserTest):
    def test_opens_per_second(self) -> None:
        """A burst of as many, then that many a second; then there is room again."""
        stack = self.stack(start=False)
        listener = self.serve(stack, "slow", max_opens_per_second=5)
        stack.host.service("cat", exec=["/bin/cat"])
        stack.start()
        begin = time.monotonic()
        codes = []
        while time.monotonic() - begin < 1:
            try:
                stack.open("slow").close()
                listener.accept().close()
                codes.append("OK")
            except Refused as refused:
                codes.append(refused.code)
        self.assertEqual(set(codes), {"OK", "limit"})
        self.assertEqual(codes[:6], ["OK"] * 5 + ["limit"])
        self.assertIn(codes.count("OK"), (9, 10, 11))
        app = stack.open("cat", b"x")
        self.assertEqual(read_exactly(app, 1), b"x")
        wait_until(lambda: self.opens_slow(stack, listener), "it may again", 2)

    def opens_slow(self, stack: Stack, listener: Listener) -> bool:
        try:
            stack.open("slow").close()
            listener.accept().close()
        except Refused:
            return False
        return True


if __name__ == "__main__":
    unittest.main()
