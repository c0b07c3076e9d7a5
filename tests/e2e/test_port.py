# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Something else is at the other end of the port: another program, a loopback, the wrong daemon.

The test is the port: a socket that either daemon connects to.
"""

from __future__ import annotations

import socket
import threading
import unittest
from collections.abc import Callable

from daemon import PATIENCE, Daemon, wait_until
from stack import VM, StackTest, read_exactly
from traffic import pattern

IDLE = 0.15  # seconds of processor time in one second of nothing to do


def hang_up(sock: socket.socket) -> None:
    """Also wakes the thread that reads it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


class Port(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.port = self.folder / "test-port"
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(self.port))
        self.server.listen(8)
        self.server.settimeout(PATIENCE)
        self.threads: list[threading.Thread] = []
        self.addCleanup(self.wait_for_threads)
        self.addCleanup(self.server.close)

    def wait_for_threads(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())

    def guest(self) -> Daemon:
        daemon = self.daemon("guestmux", ["--port", f"unix:{self.port}"])
        daemon.start()
        return daemon

    def host(self) -> Daemon:
        daemon = self.daemon("hostmux", ["--vm", f"{VM}=unix:{self.port}"])
        daemon.start()
        return daemon

    def accept(self) -> socket.socket:
        sock, _ = self.server.accept()
        sock.settimeout(PATIENCE)
        self.addCleanup(hang_up, sock)
        return sock

    def each(self) -> list[Callable[[], Daemon]]:
        return [self.guest, self.host]

    def join(self, one: socket.socket, other: socket.socket) -> None:
        """Becomes the cable between two ends, until one of them is gone."""

        def carry(source: socket.socket, to: socket.socket) -> None:
            try:
                while piece := source.recv(1 << 16):
                    to.sendall(piece)
            except OSError:
                pass
            for sock in (source, to):
                try:
                    sock.shutdown(socket.SHUT_RDWR)  # the other thread closes nothing under us
                except OSError:
                    pass

        for ends in ((one, other), (other, one)):
            for sock in ends:
                sock.settimeout(None)
            thread = threading.Thread(target=carry, args=ends, daemon=True)
            thread.start()
            self.threads.append(thread)

    def check_works(self, guest: Daemon, host: Daemon) -> None:
        """A channel, now that the right peers face each other."""
        wait_until(lambda: guest.is_up() and host.is_up(), "a session", PATIENCE + 10)

    def test_both_connect(self) -> None:
        """As with QEMU: neither daemon listens."""
        host = self.host()
        first = self.accept()
        guest = self.guest()
        self.join(first, self.accept())
        self.check_works(guest, host)
        self.assertEqual(guest.link()["sessions"], 1)

    def test_another_program(self) -> None:
        """Its bytes are no greeting, whatever they are. (test_patience.py: that is said.)"""
        noises = (b"GET / HTTP/1.1\r\nHost: example\r\n\r\n" * 100, pattern(1, 1 << 20),
                  b"text, and no end of it\n" * 10_000, b"\0" * 100_000, b"guestmux" * 10_000)
        for start in self.each():
            daemon = start()
            for noise in noises:
                sock = self.accept()
                sock.sendall(noise)
                self.assertTrue(sock.recv(1 << 16), "it greets")
                wait_until(lambda d=daemon: d.link()["state"] == "greeting",  # type: ignore[misc]
                           "it goes on greeting")
                sock.close()
            daemon.stop()

    def test_the_right_peer_at_last(self) -> None:
        """On the same connection, behind another program's bytes."""
        guest, host = self.guest(), None
        first = self.accept()
        first.sendall(b"\r\nDebian GNU/Linux 12 hostname hvc0\r\n\r\nlogin: ")
        host = self.host()
        self.join(first, self.accept())
        self.check_works(guest, host)

    def test_loopback(self) -> None:
        """The port gives back what is written to it."""
        for start in self.each():
            daemon = start()
            sock = self.accept()
            self.join(sock, sock)
            daemon.wait_for_log("the port gives back what is written to it")
            self.assertLess(daemon.cpu_over(1.0), IDLE, "busy with nothing")
            self.assertEqual(daemon.link()["state"], "greeting")
            self.assertLess(daemon.log().count("gives back"), 5)
            daemon.stop()

    def test_same_role(self) -> None:
        host = self.host()
        first = self.accept()
        other = Daemon("hostmux", self.folder, ["--vm", f"{VM}=unix:{self.port}"], name="other")
        self.daemons.append(other)
        self.addCleanup(other.stop)
        other.start()
        self.join(first, self.accept())
        for daemon in (host, other):
            daemon.wait_for_log("the same role")
            self.assertLess(daemon.cpu_over(1.0), IDLE, "busy with nothing")

    def test_flood(self) -> None:
        """Garbage without end: memory does not grow, and the daemon still answers and ends."""
        for start in self.each():
            daemon = start()
            sock = self.accept()
            block = pattern(1, 1 << 20)
            sock.sendall(block)
            before = daemon.memory()
            for _ in range(32):
                sock.sendall(block)
            self.assertEqual(daemon.link()["state"], "greeting")
            self.assertLess(daemon.memory() - before, 4 << 20)
            sock.close()
            daemon.stop()

    def test_never_reads(self) -> None:
        """The peer takes nothing at all: no busy loop, and one greeting that waits."""
        for start in self.each():
            daemon = start()
            sock = self.accept()
            self.assertLess(daemon.cpu_over(1.0), IDLE, "busy with nothing")
            sock.close()  # with all that in it
            said = "the port went down: closed by the other end"
            wait_until(lambda d=daemon: said in d.log(), said)  # type: ignore[misc]
            daemon.stop()

    def test_closes_at_once(self) -> None:
        """Whoever is there hangs up whenever it is connected to: no busy loop."""
        for start in self.each():
            daemon = start()
            for _ in range(4):
                self.accept().close()
            stop = threading.Event()
            self.server.settimeout(0.1)

            def turn_away() -> None:
                while not stop.is_set():
                    try:
                        self.server.accept()[0].close()
                    except TimeoutError:
                        pass

            thread = threading.Thread(target=turn_away)
            thread.start()
            used = daemon.cpu_over(1.0)
            stop.set()
            thread.join()
            self.server.settimeout(PATIENCE)
            self.assertLess(used, IDLE)
            self.assertLess(daemon.log().count("\n"), 50, "one line a change, not one a try")
            daemon.stop()

    def test_half_open(self) -> None:
        """The other end does not read any more, but does not close either."""
        for start in self.each():
            daemon = start()
            sock = self.accept()
            sock.shutdown(socket.SHUT_RD)
            self.assertLess(daemon.cpu_over(1.0), IDLE, "busy with nothing")
            sock.close()
            self.accept()
            daemon.stop()

    def test_device_that_is_none(self) -> None:
        """--port with a file, a folder, nothing: said, and tried again without haste."""
        text = self.folder / "text"
        text.write_text("")
        for path in (text, self.folder, self.folder / "missing"):
            daemon = Daemon("guestmux", self.folder, ["--port", str(path)], name=f"g{path.name}")
            self.daemons.append(daemon)
            self.addCleanup(daemon.stop)
            daemon.start()
            self.assertFalse(daemon.is_up())
            self.assertLess(daemon.cpu_over(0.5), IDLE, f"busy with {path}")
            self.assertNotEqual(daemon.link()["port_state"], "connected")

    def test_second_connection_waits(self) -> None:
        """A listening port serves one at a time; the next gets its turn."""
        host = self.daemon("hostmux", ["--vm", f"{VM}=listen:{self.folder}/port"])
        host.start()
        self.check_second_waits(host)

    def test_second_connection_waits_after_a_quick_one(self) -> None:
        """So it does if the first one came back before the port's next try was due."""
        host = self.daemon("hostmux", ["--vm", f"{VM}=listen:{self.folder}/port"])
        host.start()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(f"{self.folder}/port")
                read_exactly(sock, 16)
        self.check_second_waits(host)

    def check_second_waits(self, host: Daemon) -> None:
        first, second = (socket.socket(socket.AF_UNIX) for _ in range(2))
        for sock in (first, second):
            self.addCleanup(sock.close)
            sock.settimeout(PATIENCE)
            sock.connect(f"{self.folder}/port")
        greeting = read_exactly(first, 16)
        self.assertTrue(greeting)
        self.assertLess(host.cpu_over(0.5), IDLE)
        second.setblocking(False)
        with self.assertRaises(BlockingIOError):
            second.recv(1)
        first.close()
        second.settimeout(PATIENCE)
        self.assertEqual(read_exactly(second, 16), greeting)


if __name__ == "__main__":
    unittest.main()
