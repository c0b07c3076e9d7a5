# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon dies and comes back: what apps and handlers see of it, and how soon it is over."""

from __future__ import annotations

import errno
import select
import socket
import time
import unittest

from daemon import PATIENCE, SANITIZED, Daemon, wait_until
from stack import Listener, Stack, StackTest, read_exactly, read_to_end
from traffic import Receiver, Sender, echo_all, pattern

# From both ends being there again to the first new channel.
SOON = 5.0 if SANITIZED else 1.0


class Restart(StackTest):
    def start(self) -> tuple[Stack, Listener]:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        guests = self.listener()
        stack.guest.service("svc", connect=guests.connect)
        self.guests = guests
        for daemon in stack.daemons:
            daemon.service("echo", connect=self.echo() if daemon is stack.guest else self.address)
        return stack.start(), listener

    def echo(self) -> str:
        self.address = super().echo()
        return self.address

    def assert_closed(self, sock: socket.socket) -> None:
        """Both directions: end of file when reading, POLLHUP, and EPIPE when writing."""
        sock.settimeout(PATIENCE)
        read_to_end(sock)
        poll = select.poll()
        poll.register(sock, 0)
        self.assertTrue(poll.poll(PATIENCE * 1000), "no POLLHUP")
        with self.assertRaises(OSError) as caught:
            sock.sendall(b"x")
        self.assertIn(caught.exception.errno, (errno.EPIPE, errno.ECONNRESET))

    def open_several(self, stack: Stack, listener: Listener) -> list[socket.socket]:
        """Idle ones, one with data that nobody reads, half-closed ones; of both sides."""
        ends = [*stack.join(listener, "svc"), *stack.join(self.guests, "svc", side="host")]
        app, peer = stack.join(listener, "svc", b"unread" * 10000)
        peer.sendall(b"unread" * 10000)
        ends += [app, peer]
        app, peer = stack.join(listener, "svc")
        app.shutdown(socket.SHUT_WR)
        self.assert_eof(peer)
        ends += [app, peer]
        for half in ends[-2:]:
            half.settimeout(PATIENCE)
        return ends

    def check_closed(self, ends: list[socket.socket]) -> None:
        for sock in ends:
            self.assert_closed(sock)
            sock.close()

    def check_new_channels(self, stack: Stack, since: float) -> None:
        """One works within SOON of `since`, in both directions."""
        while True:
            try:
                app = stack.open("echo", b"after")
                break
            except Exception:  # pylint: disable=broad-except
                if time.monotonic() - since > SOON:
                    raise
                time.sleep(0.01)
        self.assertEqual(read_exactly(app, 5), b"after")
        took = time.monotonic() - since
        print(f"a new channel {took:.3f} s after both ends were back")
        self.assertLess(took, SOON)
        stack.wait_up()
        app = stack.open("echo", b"after", side="host")
        self.assertEqual(read_exactly(app, 5), b"after")

    def check_told(self, survivor: Daemon, channels: int) -> None:
        """The reason is in status and in the log."""
        end = survivor.link()["last_end"]
        self.assertEqual(end["channels"], channels)
        self.assertTrue(end["reason"])
        self.assertLess(end["age"], PATIENCE)
        self.assertIn(f"session ended: {end['reason']} ({channels} channels closed)",
                      survivor.log())

    def die(self, victim_kind: str) -> None:
        stack, listener = self.start()
        victim, survivor = stack.daemons if victim_kind == "guestmux" else stack.daemons[::-1]
        for _ in range(3):
            ends = self.open_several(stack, listener)
            victim.kill()
            begin = time.monotonic()
            self.check_closed(ends)
            self.assertLess(time.monotonic() - begin, SOON)
            wait_until(lambda: survivor.link()["state"] != "up", "the other side knows")
            self.check_told(survivor, 4)
            self.assertEqual(survivor.channels(), [])
            victim.start()
            self.check_new_channels(stack, time.monotonic())
            stack.close_apps()
            stack.check_settled()
        stack.measure()

    def test_guestmux_killed(self) -> None:
        self.die("guestmux")

    def test_hostmux_killed(self) -> None:
        self.die("hostmux")

    def test_stopped_in_good_order(self) -> None:
        """SIGTERM is the same for those on the other side."""
        stack, listener = self.start()
        ends = self.open_several(stack, listener)
        stack.host.stop()
        self.check_closed(ends)
        self.assertIn("the port went down: ", stack.guest.link()["last_end"]["reason"])
        stack.host.start()
        self.check_new_channels(stack, time.monotonic())

    def test_killed_amid_bulk(self) -> None:
        """What arrived until then is a prefix of what was sent; nothing of it comes later."""
        stack, listener = self.start()
        for victim in stack.daemons:
            app, peer = stack.join(listener, "svc")
            sender, receiver = Sender(app, 1 << 30, 1), Receiver(peer)
            wait_until(lambda r=receiver: r.size > 4 << 20,  # type: ignore[misc]
                       "some of it arrives")
            victim.kill()
            sender.join(PATIENCE)
            receiver.join(PATIENCE)
            self.assertFalse(sender.is_alive() or receiver.is_alive())
            self.assertIsNotNone(sender.error)
            stack.close_apps()
            victim.start()
            stack.wait_up()
            fresh, handler = stack.join(listener, "svc", b"fresh")
            fresh.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(handler), b"fresh")
            handler.close()
            fresh.close()
        stack.check_settled()

    def test_both_killed(self) -> None:
        stack, listener = self.start()
        ends = self.open_several(stack, listener)
        stack.guest.kill()
        stack.host.kill()
        self.check_closed(ends)
        stack.guest.start()
        stack.host.start()
        self.check_new_channels(stack, time.monotonic())

    def test_killed_at_any_point(self) -> None:
        """One or the other, again and again, with apps that never stop trying."""
        stack, _ = self.start()
        for n in range(10):
            stack.daemons[n % 2].kill()
            stack.daemons[n % 2].start()
            wait_until(stack.is_up, "a session")
            echo_all([(stack.open("echo"), pattern(k, 5000)) for k in range(5)])
            if n % 3 == 0:
                stack.close_apps()


if __name__ == "__main__":
    unittest.main()
