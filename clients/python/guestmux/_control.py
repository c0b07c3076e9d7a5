# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A control connection: a request a line, an answer a line, events in between.

A line is peeked at and then read exactly up to its end. So what was not read yet is in the kernel,
and the descriptor is readable while there is more; and a descriptor that is passed belongs to the
line with which it was read, since the daemon sends it with the line's first byte.
"""

from __future__ import annotations

import array
import json
import os
import socket as sockets

from ._dial import open_name, send
from ._model import Json, Refused
from ._steps import Need, Steps

PIECE = 65536
PASSED_MAX = 253  # the kernel's SCM_MAX_FD
EVENT_MAX = 256 * 1024
ANSWER_MAX = 64 * 1024 * 1024


class Control:
    """The connection. `passed` is the descriptor that came with the line read last, or -1."""

    def __init__(self, sock: sockets.socket, line_max: int) -> None:
        self.sock = sock
        self.line_max = line_max
        self.passed = -1
        self.daemon = ""  # "hostmux" or "guestmux", when it has answered
        self.cut = False  # a descriptor that came with it was lost: there was no number for it
        self._line = bytearray()

    @staticmethod
    def open(path: str | os.PathLike[str] | None, line_max: int = EVENT_MAX,
             name: str = "@control") -> Steps[Control]:
        return Control((yield from open_name(name, path)), line_max)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self._drop_passed()
        self.sock.close()

    def take_passed(self) -> int:
        fd, self.passed = self.passed, -1
        return fd

    def next(self) -> Steps[Json]:
        """The next line."""
        while (line := self._read_line()) is None:
            yield Need(self.fileno())
        try:
            value = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ConnectionError("what the daemon says makes no sense")
        return value

    def pause(self) -> Steps[None]:
        """To be taken in every loop that goes on as long as something comes: time may be over."""
        yield Need(self.fileno())

    def ask(self, request: Json) -> Steps[Json]:
        yield from send(self.sock, json.dumps(request).encode() + b"\n")
        while "ok" not in (answer := (yield from self.next())):
            yield from self.pause()
        if answer["ok"] is True:
            self.daemon = str(answer.get("daemon", ""))
            return answer
        error = answer.get("error")
        if not isinstance(error, dict):
            raise ConnectionError("what the daemon says makes no sense")
        raise Refused(str(error.get("code", "")), str(error.get("text", "")))

    # --- reading

    def _read_line(self) -> bytes | None:
        """None when the rest of it is not there yet."""
        if self._line.endswith(b"\n"):
            self._line.clear()
            self._drop_passed()
        while not self._line.endswith(b"\n"):
            if len(self._line) >= self.line_max:
                self.close()
                raise ConnectionError("a line of the daemon is too long")
            try:
                seen = self.sock.recv(PIECE, sockets.MSG_PEEK)
                if not seen:
                    raise ConnectionResetError("the daemon closed the connection")
                self._receive((seen.find(b"\n") + 1) or len(seen))
            except BlockingIOError:
                return None
        return bytes(self._line)

    def _receive(self, size: int) -> None:
        room = sockets.CMSG_SPACE(PASSED_MAX * array.array("i").itemsize)
        data, controls, flags, _ = self.sock.recvmsg(size, room, sockets.MSG_CMSG_CLOEXEC)
        for level, kind, content in controls:
            if level == sockets.SOL_SOCKET and kind == sockets.SCM_RIGHTS:
                self._keep_one(content)
        self.cut = self.cut or bool(flags & sockets.MSG_CTRUNC)
        self._line += data

    def _keep_one(self, content: bytes) -> None:
        fds = array.array("i")
        fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        for fd in fds:
            if self.passed < 0:
                self.passed = fd
            else:
                os.close(fd)

    def _drop_passed(self) -> None:
        self.cut = False
        if (fd := self.take_passed()) >= 0:
            os.close(fd)
