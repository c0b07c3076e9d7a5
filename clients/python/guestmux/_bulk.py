# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bulk streams: pieces that lie in a buffer and are copied nowhere, told of on a channel.

What the two ends say to each other is in clients/libmuxclient/bulk.h; either may be a C program.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import re
import socket as sockets
import struct
from collections.abc import Iterator
from types import TracebackType

from . import _handle
from ._model import Gone, Refused
from ._steps import Need, Steps, run
from ._sync import Buffer

MAGIC = b"muxbulk1"
HELLO = struct.Struct("<8sQQQI")
MESSAGE = struct.Struct("<QQ")
NAME = re.compile(rb"[A-Za-z0-9._-]{1,128}")
PIECES = 1024  # that are in use at once, at most
ALIGN = 64  # bytes
NEWS_MAX = 64  # that are read of a buffer at once
OPEN_TIMEOUT = 5.0  # seconds, for the daemon's answer


class Piece:
    """A piece of the buffer, in place."""

    def __init__(self, offset: int, memory: memoryview) -> None:
        self.offset = offset
        self.memory = memory


class _Pieces:
    """Which parts of so many bytes are in use; no two share one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used: list[tuple[int, int]] = []  # begin and end, sorted
        self.start = 0  # where room is looked for at first

    def add(self, offset: int, length: int) -> bool:
        at = bisect.bisect_left(self.used, (offset, 0))
        if length == 0 or offset + length > self.size or len(self.used) == PIECES:
            return False
        if (at > 0 and self.used[at - 1][1] > offset) or (
                at < len(self.used) and self.used[at][0] < offset + length):
            return False
        self.used.insert(at, (offset, offset + length))
        return True

    def remove(self, offset: int, length: int) -> bool:
        at = bisect.bisect_left(self.used, (offset, 0))
        if at == len(self.used) or self.used[at] != (offset, offset + length):
            return False
        del self.used[at]
        return True

    def reserve(self, length: int) -> int | None:
        for start in (self.start, 0):
            for begin, end in [*self.used, (self.size, self.size)]:
                if begin - start >= length and self.add(start, length):
                    self.start = _align(start + length)
                    return start
                start = max(start, _align(end))
        return None


def _align(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


class _Stream:
    """What both ends have."""

    def __init__(self, channel: sockets.socket) -> None:
        self.channel = channel
        self._unsent = bytearray()
        self._read = b""

    def fileno(self) -> int:
        """The channel's. Readable while there is something to take; do nothing else with it."""
        return self.channel.fileno()

    def _say(self, offset: int, length: int) -> None:
        self._unsent += MESSAGE.pack(offset, length)

    def _push(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                flags = sockets.MSG_DONTWAIT | sockets.MSG_NOSIGNAL
                del self._unsent[:self.channel.send(self._unsent, flags)]

    def _fill(self, size: int) -> bool:
        """False when there is nothing more now. EOFError at the end."""
        while len(self._read) < size:
            try:
                piece = self.channel.recv(size - len(self._read), sockets.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise EOFError("the other end of the stream has ended")
            self._read += piece
        return True

    def _message(self) -> tuple[int, int] | None:
        if not self._fill(MESSAGE.size):
            return None
        offset, length = MESSAGE.unpack(self._read)
        self._read = b""
        return offset, length

    def _need(self, also: int = -1) -> Need:
        if self._unsent:
            return Need(self.fileno(), write=True, also=self.fileno())
        return Need(self.fileno(), also=also)


class BulkSender(_Stream):
    """The sender's end, on a channel and a buffer that stay the caller's, who closes both."""

    def __init__(self, channel: sockets.socket, buffer: Buffer) -> None:
        super().__init__(channel)
        if not buffer.writable:
            raise PermissionError("the buffer is not writable")
        self._buffer = buffer
        self._pieces = _Pieces(buffer.size)
        self._told: set[int] = set()  # where those begin that the receiver knows of
        name = buffer.info.buffer.encode()
        self._unsent += HELLO.pack(MAGIC, int(buffer.info.id, 16), 0, buffer.size, len(name)) + name

    def reserve(self, size: int, timeout: float | None = None) -> Piece:
        """Room for a piece. `timeout` 0 does not wait: TimeoutError while there is none. EOFError
        when the receiver is gone."""
        if not 0 < size <= self._buffer.size:
            raise ValueError("that does not fit into the buffer")
        return run(self._reserve(size), timeout)

    def _reserve(self, size: int) -> Steps[Piece]:
        while (offset := self._pieces.reserve(size)) is None:
            self._push()
            if not self._collect():
                yield self._need()
        return Piece(offset, memoryview(self._buffer.memory)[offset:offset + size])

    def commit(self, piece: Piece, length: int | None = None) -> None:
        """Hand over a piece, or its first bytes; 0 gives it back. Its memory is not to be used from
        then on. It does not wait. ConnectionError when the receiver is gone."""
        size = len(piece.memory)
        length = size if length is None else length
        if not 0 <= length <= size or not self._pieces.remove(piece.offset, size):
            raise ValueError("no such piece was reserved")
        piece.memory.release()
        if length > 0:
            self._pieces.add(piece.offset, length)
            self._told.add(piece.offset)
            self._say(piece.offset, length)
            self._push()

    def end(self, timeout: float | None = None) -> None:
        """No more follows: waits until the receiver has released everything. EOFError when it went
        before."""
        run(self._end(), timeout)

    def _end(self) -> Steps[None]:
        self._push()
        while self._unsent:
            self._collect()
            yield self._need()
            self._push()
        with contextlib.suppress(OSError):
            self.channel.shutdown(sockets.SHUT_WR)
        try:
            while True:
                self._collect()
                yield self._need()
        except EOFError:
            if self._told:
                raise

    def _collect(self) -> bool:
        """Whether anything was given back."""
        any_back = False
        while (message := self._message()) is not None:
            if message[0] not in self._told or not self._pieces.remove(*message):
                raise ConnectionError("the receiver releases what it does not have")
            self._told.remove(message[0])
            any_back = True
        return any_back


class BulkReceiver(_Stream):
    """The receiver's end. What the sender attached is opened, read only, with the first piece.

    `link` is where the channel comes from: on a host the VM's name, in a guest "host" or None;
    `socket` is this side's daemon. The channel stays the caller's, who closes it.

        with guestmux.BulkReceiver(channel.socket, channel.link) as stream:
            for piece in stream:
                show(piece.memory)
                stream.release(piece)
    """

    def __init__(self, channel: sockets.socket, link: str | None = None, *,
                 socket: str | os.PathLike[str] | None = None) -> None:
        super().__init__(channel)
        self._link = link
        self._socket = socket
        self._buffer: Buffer | None = None
        self._begin = 0
        self._pieces = _Pieces(0)
        self._ended = False

    def take(self, timeout: float | None = None) -> Piece:
        """The next piece; what is in it is the sender's, who could still change it. `timeout` 0
        does not wait. EOFError at the end; Gone when the buffer has ended before; Refused when it
        cannot be opened; ConnectionError when what the sender says makes no sense."""
        return run(self._take(), timeout)

    def _take(self) -> Steps[Piece]:
        try:
            while (piece := self._piece()) is None:
                self._quietly_push()
                buffer = self._check_buffer()
                yield self._need(-1 if buffer is None else buffer.fileno())
        except EOFError:
            self._ended = True
            self._finish()
            while self._unsent:  # the sender waits for that
                yield Need(self.fileno(), write=True)
                self._finish()
            raise
        return piece

    def _piece(self) -> Piece | None:
        if self._buffer is None and not self._open():
            return None
        if self._is_full():
            return None
        message = self._message()
        if message is None:
            return None
        offset, length = message
        if not self._pieces.add(offset, length):
            raise ConnectionError("what the sender says makes no sense")
        self._check_buffer()
        assert self._buffer is not None
        begin = self._begin + offset
        return Piece(offset, memoryview(self._buffer.memory)[begin:begin + length])

    def _is_full(self) -> bool:
        """To a sender that does not want to hear what it gets back nothing more is given back."""
        return len(self._unsent) >= (PIECES - len(self._pieces.used)) * MESSAGE.size > 0

    def _need(self, also: int = -1) -> Need:
        return Need(self.fileno(), write=True) if self._is_full() else super()._need(also)

    def release(self, piece: Piece) -> None:
        """Give a piece back, in any order. Gone when the buffer ended meanwhile: what was read of
        it may have been zero."""
        if not self._pieces.remove(piece.offset, len(piece.memory)):
            raise ValueError("no such piece was taken")
        self._say(piece.offset, len(piece.memory))
        piece.memory.release()
        try:
            self._check_buffer()
        finally:
            self._finish()

    def _finish(self) -> None:
        self._quietly_push()
        if self._ended and not self._pieces.used and not self._unsent:
            with contextlib.suppress(OSError):
                self.channel.shutdown(sockets.SHUT_WR)

    def _quietly_push(self) -> None:
        """A sender that has ended does not hear it; what it said before counts."""
        try:
            self._push()
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()

    def _check_buffer(self) -> Buffer | None:
        """Raises Gone. What else is said of the buffer does not matter here."""
        for _ in range(NEWS_MAX if self._buffer is not None else 0):
            try:
                assert self._buffer is not None
                self._buffer.next(timeout=0)
            except TimeoutError:
                break
            except Gone:
                raise
            except ConnectionResetError:
                raise Gone("the daemon has ended") from None
            except ConnectionError:
                continue  # what it said made no sense
        return self._buffer

    def _open(self) -> bool:
        """The sender may name nothing but a buffer of its link, whose id it knows."""
        if not self._fill(HELLO.size):
            return False
        magic, number, begin, size, length = HELLO.unpack_from(self._read)
        if magic != MAGIC or not 0 < length <= 128:
            raise ConnectionError("what the sender says makes no sense")
        if not self._fill(HELLO.size + length):
            return False
        name = self._read[HELLO.size:]
        if not NAME.fullmatch(name):
            raise ConnectionError("what the sender says makes no sense")
        buffer = self._open_named(name.decode())
        if not number or buffer.info.id != f"{number:016x}" or not 0 < size <= buffer.size - begin:
            buffer.close()
            raise ConnectionError("what the sender says makes no sense")
        self._buffer, self._begin, self._pieces, self._read = buffer, begin, _Pieces(size), b""
        return True

    def _open_named(self, name: str) -> Buffer:
        if self._link in (None, "host"):
            try:
                return self._open_buffer(name)
            except Refused as refused:
                if refused.code != "bad-name" or self._link is None:
                    raise
        return self._open_buffer(f"{self._link}/{name}")

    def _open_buffer(self, name: str) -> Buffer:
        request = _handle.opening(name, False)
        return Buffer(run(_handle.Handle.open(self._socket, name, request), OPEN_TIMEOUT))

    def __iter__(self) -> Iterator[Piece]:
        """Pieces, up to the sender's end."""
        while True:
            try:
                piece = self.take()
            except EOFError:
                return
            yield piece

    def close(self) -> None:
        """Closes the buffer. BufferError while there are memoryviews of pieces."""
        if self._buffer is not None:
            self._buffer.close()

    def __enter__(self) -> BulkReceiver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
