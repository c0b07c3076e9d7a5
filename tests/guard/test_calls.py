#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guard: messages and megabytes take the daemons no more system calls than they did."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import unittest
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from limits import CALLS  # noqa: E402
from stack import StackTest  # noqa: E402
from turns import Turns  # noqa: E402

MESSAGE = b"m" * 64
MANY = 64
#: What a socket takes at once, whatever the kernel's defaults are within reason.
PIECE = 128 << 10
PIECES_A_MEGABYTE = (1 << 20) / PIECE
WARM_UP = 16  # pieces, in which the channel's window grows

Pair = tuple[socket.socket, socket.socket]


def take(sock: socket.socket, size: int) -> int:
    """What is there, but no more than `size`."""
    try:
        return len(sock.recv(size, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return 0


def traceable() -> bool:
    """Whether strace is there, and allowed to do what it does, as it may not be in a container."""
    strace = shutil.which("strace")
    command = [strace or "", "-D", "-o", "/dev/null", "true"]
    return bool(strace) and subprocess.run(command, check=False).returncode == 0


@unittest.skipUnless(traceable(), "needs strace, and ptrace() for it")
class Calls(StackTest):
    def setUp(self) -> None:
        super().setUp()
        stack = self.stack(start=False)
        self.turns = Turns(stack)
        self.handler = self.serve(stack)
        stack.start()

    def join(self) -> Pair:
        return self.turns.stack.join(self.handler, "svc")

    def carry(self, pairs: list[Pair], data: bytes) -> None:
        """`data` through each of the channels. Both ends have a turn, and again until it is there;
        and the sender one for what comes back."""
        for app, _ in pairs:
            self.assertEqual(app.send(data, socket.MSG_DONTWAIT), len(data), "room in the socket")
        missing = dict.fromkeys(range(len(pairs)), len(data))
        for _ in range(20):
            self.turns.turn("sender")
            self.turns.turn("receiver")
            for n, left in list(missing.items()):
                missing[n] = left - take(pairs[n][1], left)
            if not any(missing.values()):
                break
        self.assertFalse(any(missing.values()), f"of {len(data)} bytes are missing: {missing}")
        self.turns.turn("sender")

    def check(self, what: str, divisor: float, times: int, act: Callable[[], None]) -> None:
        """What `act` does costs so much, in the middle of so many times: a PING that is due
        meanwhile adds to some of them. divisor: how many of `what` that is."""
        found: dict[str, list[Counter[str]]] = {"sender": [], "receiver": []}
        for _ in range(times):
            before = self.turns.counts()
            act()
            for part, after in self.turns.counts().items():
                found[part].append(after - before[part])
        for part, each in found.items():
            with self.subTest(what=what, part=part):
                self.judge(what, part, divisor, each)

    def judge(self, what: str, part: str, divisor: float, each: list[Counter[str]]) -> None:
        totals = [counter.total() / divisor for counter in each]
        middle, limit = statistics.median_low(totals), CALLS[what, part]
        print(f"{what}, {part}: {middle:.2f} ({min(totals):.2f}–{max(totals):.2f}) of {limit:g}")
        calls = {name: count / divisor for name, count in each[totals.index(middle)].items()}
        self.assertLessEqual(middle, limit, f"system calls for {what}: {calls}")
        self.assertGreater(middle, 0, "nothing was counted")

    def test_message(self) -> None:
        pair = self.join()
        with self.turns.stopped():
            self.check("a message of 64 bytes", 1, 30, lambda: self.carry([pair], MESSAGE))

    def test_many(self) -> None:
        pairs = [self.join() for _ in range(MANY)]
        with self.turns.stopped():
            self.check("a message each on 64 channels at once, for one", MANY, 20,
                       lambda: self.carry(pairs, MESSAGE))  # fmt: skip

    def test_megabyte(self) -> None:
        pair = self.join()

        def carry() -> None:
            self.carry([pair], b"b" * PIECE)

        with self.turns.stopped():
            for _ in range(WARM_UP):
                carry()
            self.check("a megabyte of one channel", 1 / PIECES_A_MEGABYTE, 64, carry)


if __name__ == "__main__":
    unittest.main()
