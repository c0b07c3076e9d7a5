# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""10,000 channels at once: each its own bytes, what an idle one costs in memory and time."""

from __future__ import annotations

import time
import unittest

from daemon import PATIENCE, SANITIZED
from stack import Stack, StackTest, raise_descriptor_limit
from traffic import echo_all, pattern

CHANNELS = 10_000
DESCRIPTORS = CHANNELS + 500
BYTES_A_CHANNEL = 4096  # what an idle channel may cost a daemon


class Many(StackTest):
    def setUp(self) -> None:
        if not raise_descriptor_limit(DESCRIPTORS):
            self.skipTest(f"needs a hard limit of {DESCRIPTORS} descriptors (ulimit -Hn)")
        super().setUp()

    def start(self) -> Stack:
        stack = self.stack(start=False)
        stack.host.service("echo", connect=self.echo())
        return stack.start()

    def test_10000(self) -> None:
        stack = self.start()
        before = {daemon: daemon.memory() for daemon in stack.daemons}
        begin = time.monotonic()
        # The silent style: they are all opened at once, not one after the other.
        apps = [stack.open(f"echo:{n}", silent=True) for n in range(CHANNELS)]
        echo_all([(app, pattern(n, 1000 + n % 7)) for n, app in enumerate(apps)], 8 * PATIENCE)
        print(f"{CHANNELS} channels opened and answered in {time.monotonic() - begin:.1f} s")
        self.check_memory(before)  # now, since status is megabytes that pass through the heap
        for daemon in stack.daemons:
            link = daemon.link()
            self.assertEqual((link["channels_open"], len(link["channels"])), (CHANNELS, CHANNELS))
            self.assertEqual(len({channel["id"] for channel in link["channels"]}), CHANNELS)
        self.check_time(stack)
        echo_all([(app, pattern(-n, 100)) for n, app in enumerate(apps)], 8 * PATIENCE)
        stack.close_apps()
        stack.check_settled()

    def check_memory(self, before: dict) -> None:  # type: ignore[type-arg]
        for daemon, was in before.items():
            each = (daemon.memory() - was) / CHANNELS
            print(f"{daemon.name}: {each:.0f} bytes of memory an idle channel")
            if not SANITIZED:
                self.assertLess(each, BYTES_A_CHANNEL)

    def check_time(self, stack: Stack) -> None:
        """They are idle: they cost nothing, nor do they slow down the one that is not."""
        for daemon in stack.daemons:
            self.assertLess(daemon.cpu_over(0.5), 0.1, daemon.name)
        app = stack.open("echo")
        before = {daemon: daemon.cpu() for daemon in stack.daemons}
        rounds = 1000
        begin = time.monotonic()
        for n in range(rounds):
            app.sendall(b"%8d" % n)
            self.assertEqual(app.recv(8), b"%8d" % n)
        took = time.monotonic() - begin
        for daemon, was in before.items():
            each = (daemon.cpu() - was) / rounds
            print(f"{daemon.name}: {each * 1e6:.0f} us of processor time a round, of "
                  f"{took / rounds * 1e6:.0f} us in all, beside {CHANNELS} idle channels")
            self.assertLess(each, 0.002 if SANITIZED else 0.0005)

    def test_churn(self) -> None:
        """Opened and closed in a storm, in all orders; nothing is left of it."""
        stack = self.start()
        for turn in range(5):
            apps = [stack.open("echo", b"q", silent=True) for _ in range(400)]
            for n, app in enumerate(apps):
                if n % 4 == turn % 4:
                    self.assertEqual(app.recv(1), b"q")
                if n % 4 == 1:
                    app.close()
            stack.close_apps()
        stack.check_settled()
        for daemon in stack.daemons:
            self.assertEqual(daemon.link()["opened"], 2000)
            self.assertEqual(daemon.link()["sessions"], 1)


if __name__ == "__main__":
    unittest.main()
