# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands to the guest over its second serial line, on which /init keeps a shell.

The shell reads its script from the line, which is raw and without echo. What a command prints is
framed by two lines with a random token, so nothing that an earlier command left behind is taken for
its output. A shell announces itself with the kernel's boot id, by which a reset is told from a
shell that was merely started again.
"""

from __future__ import annotations

import re
import secrets
import shlex
import socket
import threading
import time
from typing import NamedTuple

#: What a line discipline holds for a shell that is still busy, with room to spare.
MAX_COMMAND = 32 * 1024

_INTERRUPT = b"\x03"
_READY = re.compile(rb"@@ready ([0-9a-f-]{36})\n")


class CommandTimeout(Exception):
    """A command, or the guest's shell, took too long; the command was interrupted."""


class LineClosed(Exception):
    """QEMU closed the serial line."""


class Result(NamedTuple):
    """How a command ended and what it printed, stdout and stderr together."""

    status: int
    output: str


class CommandLine:
    """Owns the socket of the serial line. One command at a time; callers may be several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._boot_id = b""
        self._lock = threading.Lock()

    def wait_boot(self, timeout: float) -> None:
        """Wait for the shell of a boot that was not seen before."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while (boot_id := self._read_until(_READY, deadline)[1]) == self._boot_id:
                pass
            self._boot_id = boot_id

    def run(self, command: str, timeout: float) -> Result:
        """Run a shell command with an empty stdin. On a timeout it gets SIGINT."""
        token = secrets.token_hex(8)
        script = (
            f"echo @@{token}; ( eval {shlex.quote(command)} ) </dev/null 2>&1; "
            f"printf '\\n@@{token} %d\\n' $?\n"
        ).encode()
        if len(script) > MAX_COMMAND or re.search(rb"[\x00-\x08\x0b-\x1f]", script):
            raise ValueError("the command is too long, or has control characters")
        deadline = time.monotonic() + timeout
        with self._lock:
            try:
                self._sock.settimeout(timeout)
                self._sock.sendall(script)
                self._read_until(re.compile(b"@@%s\n" % token.encode()), deadline)
                end = self._read_until(re.compile(b"\n@@%s (\\d+)\n" % token.encode()), deadline)
            except TimeoutError as error:
                said = self._buffer.decode(errors="replace")
                self._interrupt()
                text = f"no end of {command!r} after {timeout:g} s; it printed:\n{said}"
                raise CommandTimeout(text) from error
        return Result(int(end[1]), end.string[: end.start()].decode(errors="replace"))

    def close(self) -> None:
        self._sock.close()

    def _interrupt(self) -> None:
        """Make what runs end, the shell too, and wait for the next shell."""
        try:
            self._sock.sendall(_INTERRUPT)
            self._read_until(_READY, time.monotonic() + 10)
        except TimeoutError as error:
            raise CommandTimeout("the guest's shell does not come back") from error

    def _read_until(self, pattern: re.Pattern[bytes], deadline: float) -> re.Match[bytes]:
        """Read until the pattern is there; it and all before it are taken from the buffer."""
        while not (found := pattern.search(self._buffer)):
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._sock.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise LineClosed("QEMU closed the serial line")
            self._buffer += data
        self._buffer = self._buffer[found.end() :]
        return found
