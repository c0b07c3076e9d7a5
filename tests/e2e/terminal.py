# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program in a terminal of its own: what it paints, the keys that it gets, how it leaves it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

from daemon import PATIENCE

START, STOP = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    def __init__(self, command: Sequence[object], width: int = 100, height: int = 30) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, env=os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def take(self, timeout: float = 0.05) -> None:
        while select.select([self.master], [], [], timeout)[0]:
            self.raw += os.read(self.master, 1 << 16)
            timeout = 0

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace")

    def frames(self) -> list[list[str]]:
        """Whole screens, each a list of lines, without escapes."""
        pieces = re.findall("\x1b\\[H(.*?)\x1b\\[J", self.text, re.DOTALL)
        return [[line.removesuffix("\x1b[K") for line in re.split("\r+\n", piece)]
                for piece in pieces]

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.take()
            if time.monotonic() > deadline:
                raise AssertionError(f"not in time: {what}; there is {self.text[-2000:]!r}")

    def next_frame(self) -> list[str]:
        seen = len(self.frames())
        self.wait_for(lambda: len(self.frames()) > seen, "another frame")
        return self.frames()[-1]

    def wait(self) -> int:
        """Its status; and the terminal has to be as it was."""
        self.wait_for(lambda: self.process.poll() is not None, "its end")
        self.take(0)
        self.check_given_back()
        return self.process.wait()

    def check_given_back(self) -> None:
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's modes were left"
        assert self.text.count(START) == self.text.count(STOP), f"left as it was: {self.text!r}"
        assert not self.text.rsplit(STOP, 1)[-1].count("\x1b"), "escapes behind the end"

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
