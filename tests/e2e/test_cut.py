# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The port is cut, stalls, splits, merges, repeats or makes up bytes; both daemons live on."""

from __future__ import annotations

import socket
import time
import unittest

from cable import TO_GUEST, TO_HOST, Cable, wait_connected
from daemon import PATIENCE, SANITIZED, wait_until
from stack import VM, Listener, Stack, StackTest, read_exactly, read_to_end
from traffic import Receiver, Sender, echo_all, pattern

SOON = 5.0 if SANITIZED else 1.3  # a reconnection and a new session


class Cut(StackTest):
    def start(self) -> tuple[Stack, Listener, Cable]:
        port = self.folder / "test-cable"
        stack = self.stack(start=False, guest_port=port)
        listener = self.serve(stack)
        stack.host.service("echo", connect=self.echo())
        cable = Cable(port, stack.port)
        self.addCleanup(cable.close)
        return stack.start(), listener, cable

    def wait_session(self, stack: Stack, number: int) -> None:
        wait_until(lambda: all(daemon.link()["sessions"] >= number and daemon.is_up()
                               for daemon in stack.daemons), f"session {number}")

    def test_cut(self) -> None:
        stack, listener, cable = self.start()
        for n in range(5):
            pairs = [stack.join(listener, "svc", b"old %d" % k) for k in range(5)]
            cable.cut()
            begin = time.monotonic()
            for app, peer in pairs:
                self.assert_eof(app)
                self.assertIn(read_to_end(peer)[:3], (b"old", b""))
            self.wait_session(stack, n + 2)
            self.assertLess(time.monotonic() - begin, SOON)
            for daemon in stack.daemons:
                self.assertIn("port went down", daemon.link()["last_end"]["reason"])
            self.check_fresh(stack, listener)

    def check_fresh(self, stack: Stack, listener: Listener) -> None:
        """A new channel has its own bytes and no others, both ways."""
        app, peer = stack.join(listener, "svc", b"fresh")
        app.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(peer), b"fresh")
        peer.sendall(b"as well")
        peer.close()
        self.assertEqual(read_to_end(app), b"as well")
        for sock in listener.accepted:
            sock.close()
        listener.accepted.clear()

    def test_unplugged_for_a_while(self) -> None:
        stack, listener, cable = self.start()
        cable.unplug()
        for daemon in stack.daemons:
            wait_until(lambda d=daemon: not d.is_up(), "down")  # type: ignore[misc]
        self.assert_refused("link-down", stack, "svc")
        self.assert_refused("link-down", stack, "svc", "host")
        for daemon in stack.daemons:
            self.assertLess(daemon.cpu_over(1.0), 0.1, f"{daemon.name} is busy with nothing")
        cable.plug()
        self.wait_session(stack, 2)
        self.check_fresh(stack, listener)

    def test_cut_in_mid_frame(self) -> None:
        """At many places of the stream: in the greeting, in headers, in payloads."""
        stack, listener, cable = self.start()
        for direction in (TO_HOST, TO_GUEST):
            for place in (1, 17, 80, 200, 1000, 40_000):
                with self.subTest(direction=direction, place=place):
                    number = stack.guest.link()["sessions"]
                    connections = cable.connections
                    with cable.lock:
                        cable.directions[direction].cut_after = place
                    if place < 100:
                        cable.cut()  # it is the next greeting that is cut
                        connections += 1
                    else:
                        self.send_much(stack)
                    wait_connected(cable, connections + 1)
                    with cable.lock:
                        cable.directions[direction].cut_after = -1
                    wait_until(lambda n=number: stack.is_up()  # type: ignore[misc]
                               and stack.guest.link()["sessions"] > n, "a new session")
                    self.check_fresh(stack, listener)
        stack.close_apps()
        stack.check_settled()

    def send_much(self, stack: Stack) -> None:
        """Over an echo, so that both directions carry enough to be cut."""
        app = stack.open("echo", silent=True)
        app.settimeout(PATIENCE)
        try:
            app.sendall(b"much" * 25_000)
        except OSError:
            pass
        read_to_end(app)

    def test_stale_bytes(self) -> None:
        """What an earlier connection carried comes again in front of the next, as QEMU does it."""
        stack, listener, cable = self.start()
        for n in range(6):
            app, peer = stack.join(listener, "svc", b"STALE" * 20_000)
            peer.sendall(b"STALE" * 20_000)
            read_exactly(app, 50_000)
            with cable.lock:
                for direction in cable.directions:
                    kept = bytes(direction.kept)
                    # Whole, and beginning and ending in the middle of a frame.
                    direction.front = (kept, kept[7:], kept[:-9], kept[-5000:], kept[-100:],
                                       kept + kept)[n]
                    direction.kept.clear()
            cable.cut()
            read_to_end(app)
            self.wait_session(stack, n + 2)
            self.check_fresh(stack, listener)
        self.assertEqual(stack.host.link()["lost_steps"], 0)

    def test_garbage_in_front(self) -> None:
        stack, listener, cable = self.start()
        fronts = (b"\0" * 5000, pattern(1, 300_000), b"guestmux" * 1000, b"\xff",
                  b"HTTP/1.1 200 OK\r\n\r\n<html>", b"login: ")
        for n, front in enumerate(fronts):
            with cable.lock:
                for direction in cable.directions:
                    direction.front = front
            cable.cut()
            self.wait_session(stack, n + 2)
            self.check_fresh(stack, listener)
        for daemon in stack.daemons:
            self.assertEqual(daemon.link()["lost_steps"], 0)

    def test_garbage_in_the_middle(self) -> None:
        """Noticed at once: the session starts anew, without a reconnection."""
        stack, listener, cable = self.start()
        sessions = 1
        for direction, data in ((TO_HOST, b"x"), (TO_GUEST, pattern(2, 50_000)),
                                (TO_HOST, b"\xff" * 16), (TO_GUEST, b"\n" * 20)):
            app, peer = stack.join(listener, "svc", b"before")
            self.assertEqual(read_exactly(peer, 6), b"before")
            cable.put(direction, data)
            for sock in (app, peer):  # a lone byte shows when more comes behind it
                try:
                    sock.sendall(b"after" * 10)
                except BrokenPipeError:  # noticed already
                    pass
            read_to_end(app)
            read_to_end(peer)
            sessions += 1
            self.wait_session(stack, sessions)
            self.check_fresh(stack, listener)
        reasons = [daemon.link()["last_end"]["reason"] for daemon in stack.daemons]
        self.assertTrue(any("lost or repeated" in reason for reason in reasons), reasons)
        self.assertEqual(cable.connections, 1)

    def test_repeated_bytes(self) -> None:
        """A frame comes twice: a restored snapshot looks like that."""
        stack, listener, cable = self.start()
        app, peer = stack.join(listener, "svc", b"once")
        self.assertEqual(read_exactly(peer, 4), b"once")
        with cable.lock:
            frame = bytes(cable.directions[TO_HOST].kept[-24:])  # DATA: header, payload, guard
        cable.put(TO_HOST, frame)
        self.assertEqual(read_to_end(peer), b"")
        self.assert_eof(app)
        self.wait_session(stack, 2)
        self.assertEqual(stack.host.link()["lost_steps"], 1)
        self.check_fresh(stack, listener)

    def test_one_byte_pieces(self) -> None:
        stack, listener, cable = self.start()
        with cable.lock:
            for direction in cable.directions:
                direction.chunk = 1
        cable.cut()
        self.wait_session(stack, 2)
        echo_all([(stack.open("echo"), pattern(n, 10_000)) for n in range(4)], 2 * PATIENCE)
        self.check_fresh(stack, listener)
        for daemon in stack.daemons:
            self.assertEqual((daemon.link()["sessions"], daemon.link()["lost_steps"]), (2, 0))

    def test_odd_pieces(self) -> None:
        stack, listener, cable = self.start()
        with cable.lock:
            cable.directions[TO_HOST].chunk = 33
            cable.directions[TO_GUEST].chunk = 4099
        echo_all([(stack.open("echo"), pattern(n, 100_000)) for n in range(4)], 2 * PATIENCE)
        self.check_fresh(stack, listener)
        self.assertEqual(stack.host.link()["sessions"], 1)

    def test_stall(self) -> None:
        """The VM is paused: nothing is closed because of it, nothing is busy, all goes on after."""
        stack, listener, cable = self.start()
        app, peer = stack.join(listener, "svc")
        cable.stall()
        data = pattern(5, 2 << 20)
        sender, receiver = Sender(app, len(data), 5), Receiver(peer)
        wait_until(lambda: stack.guest.link()["session"]["in_flight"] > 0, "it is under way")
        # What can be sent has been sent, when nothing changes any more.
        for daemon in stack.daemons:
            self.assertLess(daemon.cpu_over(1.0), 0.15, f"{daemon.name} is busy with nothing")
        self.assertTrue(sender.is_alive())
        opening = stack.dial()
        opening.sendall(b"svc\n")
        cable.stall(False)
        sender.join(PATIENCE)
        receiver.join(PATIENCE)
        self.assertEqual((receiver.size, receiver.digest), (len(data), sender.digest))
        self.assertEqual(read_exactly(opening, 3), b"OK\n")
        listener.accept()
        self.assertEqual(stack.host.link(VM)["sessions"], 1)

    def test_cut_while_stalled(self) -> None:
        """With a full port and channels being opened."""
        stack, listener, cable = self.start()
        app, peer = stack.join(listener, "svc")
        cable.stall()
        sender, receiver = Sender(app, 64 << 20, 5), Receiver(peer)
        opening = [stack.dial() for _ in range(10)]
        for sock in opening:
            sock.sendall(b"svc\n")
        wait_until(lambda: len(stack.guest.channels()) == 11, "they are being opened")
        cable.cut()
        for sock in opening:
            self.assertIn(read_to_end(sock).split(b" ")[1], (b"link-down",))
        sender.join(PATIENCE)
        receiver.join(PATIENCE)
        self.assertIsNotNone(sender.error)
        cable.stall(False)
        self.wait_session(stack, 2)
        self.check_fresh(stack, listener)


if __name__ == "__main__":
    unittest.main()
