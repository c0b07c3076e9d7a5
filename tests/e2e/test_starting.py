# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Handlers that take their time: many channels wait for them, and nobody else has to."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
import unittest

from daemon import PATIENCE, Daemon, dial, read_line, wait_until
from stack import StackTest, read_exactly

IDLE = 0.15  # seconds of processor time in one second of nothing to do
MANY = 200  # so many take a second or so: much more than a hiccup of the machine


class Starting(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.sockets: list[socket.socket] = []
        self.addCleanup(lambda: [sock.close() for sock in self.sockets])
        # Closed in the reverse order: the guests end before their host.
        self.host = self.daemon("hostmux", [word for n in range(2) for word in
                                            ("--vm", f"vm{n}=listen:{self.folder}/port{n}")])
        self.host.service("echo", connect=self.echo())
        self.host.service("program", exec=["/bin/cat"], max_channels=MANY)

    def start(self) -> list[Daemon]:
        self.host.start()
        guests = [self.daemon("guestmux", ["--port", f"unix:{self.folder}/port{n}"],
                              name=f"guest{n}") for n in range(2)]
        for guest in guests:
            guest.start()
        wait_until(lambda: all(self.host.is_up(f"vm{n}") for n in range(2)), "both are up")
        return guests

    def ask(self, guest: Daemon, name: str) -> socket.socket:
        """Asks for a channel; the answer is to be read."""
        sock = dial(guest.socket)
        self.sockets.append(sock)
        sock.sendall(name.encode() + b"\n")
        return sock

    def open(self, guest: Daemon, name: str) -> socket.socket:
        sock = self.ask(guest, name)
        self.assertEqual(read_line(sock), b"OK")
        return sock

    def test_others_go_on(self) -> None:
        """One VM has many programs started at once. What another one says meanwhile waits for one
        or two of them, and not for all."""
        busy, quiet = self.start()
        victim = self.open(quiet, "echo")
        slowest, over = 0.0, threading.Event()

        def talk() -> None:
            nonlocal slowest
            while not over.is_set():
                begin = time.monotonic()
                victim.sendall(b"x")
                read_exactly(victim, 1)
                slowest = max(slowest, time.monotonic() - begin)

        thread = threading.Thread(target=talk)
        thread.start()
        begin = time.monotonic()
        try:
            waiting = [self.ask(busy, "program") for _ in range(MANY)]
            for sock in waiting:
                self.assertEqual(read_line(sock), b"OK")
            took = time.monotonic() - begin
        finally:
            over.set()
            thread.join()
        self.assertLess(slowest, took / 4)

    def test_turns(self) -> None:
        """Who wants one program does not wait for all that another VM wants."""
        busy, quiet = self.start()
        self.open(quiet, "program")
        waiting = [self.ask(busy, "program") for _ in range(MANY)]
        self.assertEqual(read_line(waiting[0]), b"OK")
        self.open(quiet, "program")
        served = select.select(waiting[1:], [], [], 0)[0]
        self.assertLess(len(served), MANY // 2)
        for sock in waiting[1:]:
            self.assertEqual(read_line(sock), b"OK")

    def test_deaf(self) -> None:
        """A handler that takes nobody: who waits costs nothing, and is served in turn at last."""
        full = self.listener(backlog=0)
        self.host.service("full", connect=full.connect, preamble="json")
        guest, _ = self.start()
        waiting = [self.ask(guest, f"full:{n}") for n in range(300)]
        wait_until(lambda: len(self.host.channels("vm0")) == len(waiting), "all wait")
        self.assertLess(self.host.cpu_over(1.0), IDLE)
        begin = time.monotonic()
        names = [json.loads(read_line(full.accept()))["argument"] for _ in waiting]
        self.assertLess(time.monotonic() - begin, PATIENCE)
        self.assertEqual(names, [str(n) for n in range(len(waiting))])
        for sock in waiting:
            self.assertEqual(read_line(sock), b"OK")


if __name__ == "__main__":
    unittest.main()
