# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Descriptors run out: clients are turned away, nothing spins, and all is well afterwards."""

from __future__ import annotations

import socket
import time
import unittest

from daemon import Control, Daemon, wait_until
from stack import Refused, Stack, StackTest, read_exactly

LIMIT = 64
CLIENTS = 150
LINES, LINES_PER_SECOND = 50, 5  # what a link may log at once, and then


class Descriptors(StackTest):
    def fill(self, stack: Stack, name: str, side: str = "guest") -> list[socket.socket]:
        """Opens until nothing goes any more; those that were opened."""
        good = []
        for _ in range(CLIENTS):
            try:
                good.append(stack.open(name, side=side))
            except (Refused, EOFError, ConnectionError):
                continue
        return good

    def check_calm(self, stack: Stack) -> None:
        for daemon in stack.daemons:
            self.assertLess(daemon.cpu_over(0.5), 0.1, f"{daemon.name} is busy with nothing")
            lines = daemon.log().count("no file descriptors left")
            self.assertLess(lines, LINES + LINES_PER_SECOND * (time.monotonic() - self.began))

    def check_recovery(self, stack: Stack, name: str) -> None:
        stack.close_apps()
        wait_until(lambda: self.opens(stack, name), "channels can be opened again")
        stack.close_apps()
        stack.check_settled()
        self.assertEqual([daemon.link()["sessions"] for daemon in stack.daemons], [1, 1])

    def opens(self, stack: Stack, name: str) -> bool:
        try:
            app = stack.open(name, b"again")
        except (Refused, EOFError, ConnectionError):
            return False
        return read_exactly(app, 5) == b"again"

    def limited(self, side: str) -> Stack:
        """One of the daemons has few descriptors; the other has enough."""
        self.began = time.monotonic()
        stack = self.stack(start=False)
        (stack.guest if side == "guest" else stack.host).descriptors = LIMIT
        echo = self.echo()
        for daemon in stack.daemons:
            daemon.service("echo", connect=echo)
            daemon.service("cat", exec=["/bin/cat"])
        return stack.start()

    def test_channels_of_apps(self) -> None:
        self.run_out_of_channels("guest")

    def test_channels_to_handlers(self) -> None:
        self.run_out_of_channels("host")

    def run_out_of_channels(self, side: str) -> None:
        stack = self.limited(side)
        good = self.fill(stack, "echo")
        self.assertGreater(len(good), LIMIT // 4)
        self.assertLess(len(good), LIMIT)
        self.check_calm(stack)
        for app in good:  # those that were opened are well
            app.sendall(b"fine")
            self.assertEqual(read_exactly(app, 4), b"fine")
        self.check_recovery(stack, "echo")

    def test_exec(self) -> None:
        stack = self.limited("host")
        starts = stack.port.parent / "starts"
        program = f"echo >>{starts}; exec cat"
        stack.host.service("cat", exec=["/bin/sh", "-c", program])
        stack.host.reload()
        good = self.fill(stack, "cat")
        # No program is started for a channel that there is no descriptor for.
        self.assertEqual(starts.read_text().count("\n"), len(good))
        self.assertGreater(len(good), LIMIT // 8)
        self.check_calm(stack)
        self.check_recovery(stack, "cat")

    def test_silent_visitors(self) -> None:
        """Connections that say nothing hold all descriptors; whoever goes makes room."""
        stack = self.limited("guest")
        visitors = [stack.dial() for _ in range(CLIENTS)]
        self.check_calm(stack)
        self.assertEqual(len(visitors), CLIENTS)
        self.check_recovery(stack, "echo")

    def test_link_of_the_guest_comes_back(self) -> None:
        self.cut_when_there_are_none("guest")

    def test_link_of_the_host_comes_back(self) -> None:
        self.cut_when_there_are_none("host")

    def cut_when_there_are_none(self, side: str) -> None:
        """The other daemon starts again while clients hold every descriptor."""
        stack = self.limited(side)
        limited, other = stack.daemons if side == "guest" else stack.daemons[::-1]
        for _ in range(CLIENTS):
            stack.dial(side)
        other.kill()
        for _ in range(CLIENTS):
            stack.dial(side)
        other.start()
        for daemon in stack.daemons:
            self.assertLess(daemon.cpu_over(0.5), 0.1, f"{daemon.name} is busy with nothing")
        stack.close_apps()
        wait_until(lambda: self.up(limited), "a session")
        wait_until(lambda: self.opens(stack, "echo"), "a channel")

    def up(self, daemon: Daemon) -> bool:
        try:
            with Control(daemon.socket) as control:
                return bool(control.ask({"verb": "status"})["links"][0]["state"] == "up")
        except (EOFError, ConnectionError):
            return False


if __name__ == "__main__":
    unittest.main()
