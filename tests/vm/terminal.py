# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A person's terminal, joined to a guest's console."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
import tty
from collections.abc import Iterator

LEAVE_KEY = b"\x1d"  # Ctrl-]


def join(console: socket.socket, keyboard: int, screen: int) -> None:
    """Carry bytes both ways until Ctrl-] is typed, or the console or the keyboard ends."""
    with _raw(keyboard):
        console.sendall(b"\r")  # the first prompt was written before anyone looked
        while True:
            ready, _, _ = select.select([keyboard, console], [], [])
            if console in ready:
                data = console.recv(65536)
                if not data:
                    return
                os.write(screen, data)
            if keyboard in ready:
                typed = os.read(keyboard, 4096)
                if not typed or LEAVE_KEY in typed:
                    return
                console.sendall(typed)


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
