# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A buffer that is open: its memory, and the connection on which news of it come.

The connection begins as a control connection does, with a line that asks and a line that answers,
with which the descriptor comes. Then both sides write records: type, length, and so many bytes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import mmap
import os
import stat
import struct
from collections.abc import Mapping

from ._control import EVENT_MAX, Control
from ._model import BufferInfo, Gone, Json, Notice, Properties, strings
from ._steps import Need, Steps

HEADER = struct.Struct("<II")
RANGE = struct.Struct("<QQ")
NOTICE = struct.Struct("<QQQ")
RECORD_MAX = 65536
NOTIFY, SET = 1, 2  # to the daemon
NOTICED, CHANGED, ENDED = 1, 2, 3  # from it
NONSENSE = "what the daemon says of a buffer makes no sense"


class Handle:
    """None of this waits but for the daemon."""

    def __init__(self, control: Control, info: BufferInfo, memory: mmap.mmap,
                 writable: bool) -> None:
        self.control = control
        self.info = info
        self.memory = memory
        self.writable = writable
        self.properties: Mapping[str, str] = info.properties
        self._record = b""  # what is there of the next one
        self._unsent = b""
        self._gone: ConnectionError | None = None

    @staticmethod
    def open(path: str | os.PathLike[str] | None, name: str, request: Json) -> Steps[Handle]:
        control = yield from Control.open(path, EVENT_MAX, "@buffer")
        try:
            answer = yield from control.ask(request)
            return _read_answer(control, answer, "/" in name)
        except BaseException:
            control.close()
            raise

    def close(self) -> None:
        """First the memory: that the connection is closed says that it is not mapped any more."""
        try:
            self.memory.close()
        finally:
            self.control.close()

    # --- telling

    def notify(self, offset: int, length: int) -> Steps[None]:
        if offset < 0 or length < 0 or offset + length > len(self.memory):
            raise ValueError("the range is not in the buffer")
        yield from self._send(NOTIFY, RANGE.pack(offset, length))

    def set(self, properties: Mapping[str, str | None]) -> Steps[None]:
        yield from self._send(SET, json.dumps(dict(properties)).encode())

    def _send(self, kind: int, payload: bytes) -> Steps[None]:
        if self._gone:
            raise self._gone
        if not self.writable:
            raise PermissionError(errno.EACCES, "the buffer is not writable")
        if len(payload) > RECORD_MAX:
            raise ValueError("the properties are too long")
        yield from self._flush()  # the rest of one that a time limit cut off
        self._unsent = HEADER.pack(kind, len(payload)) + payload
        yield from self._flush()

    def _flush(self) -> Steps[None]:
        while self._unsent:
            try:
                self._unsent = self._unsent[self.control.sock.send(self._unsent):]
            except BlockingIOError:
                yield Need(self.control.fileno(), write=True)
            except ConnectionError:
                yield from self._end()

    def _end(self) -> Steps[None]:
        """The daemon has closed: what it said before has the reason."""
        while not self._gone:
            with contextlib.suppress(ConnectionError):
                yield from self.next()
        raise self._gone

    # --- news

    def next(self) -> Steps[Notice | Properties]:
        """Raises Gone, and ConnectionResetError when the daemon ended."""
        while True:
            if self._gone:
                raise self._gone
            kind, payload = yield from self._read()
            if kind == NOTICED:
                return self._notice(payload)
            if kind == CHANGED:
                return self._changed(payload)
            if kind == ENDED:
                self._gone = Gone(payload.decode("utf-8", "replace"))
            else:
                yield Need(self.control.fileno())  # of a later version; time may be over

    def _notice(self, payload: bytes) -> Notice:
        if len(payload) != NOTICE.size:
            raise ConnectionError(NONSENSE)
        notice = Notice(*NOTICE.unpack(payload))
        if notice.offset + notice.length > len(self.memory):
            raise ConnectionError(NONSENSE)
        return notice

    def _changed(self, payload: bytes) -> Properties:
        try:
            value = json.loads(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ConnectionError(NONSENSE)
        self.properties = strings(value)
        return Properties(self.properties)

    def _read(self) -> Steps[tuple[int, bytes]]:
        """The next record, exactly up to its end: what follows is left for select() to see."""
        yield from self._fill(HEADER.size)
        kind, length = HEADER.unpack_from(self._record)
        if length > RECORD_MAX:
            self._gone = ConnectionError(NONSENSE)
            raise self._gone
        yield from self._fill(HEADER.size + length)
        payload, self._record = self._record[HEADER.size:], b""
        return kind, payload

    def _fill(self, size: int) -> Steps[None]:
        while len(self._record) < size:
            try:
                piece = self.control.sock.recv(size - len(self._record))
            except BlockingIOError:
                yield Need(self.control.fileno())
                continue
            if not piece:
                self._gone = self._gone or ConnectionResetError("the daemon closed the connection")
                raise self._gone
            self._record += piece


def _read_answer(control: Control, answer: Json, host: bool) -> Handle:
    info = BufferInfo.read(answer.get("buffer"), host)
    if info is None:
        raise ConnectionError(NONSENSE)
    writable = answer["buffer"].get("writable") is True
    if control.passed < 0:
        if control.cut:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise ConnectionError(NONSENSE)
    fd = control.take_passed()
    try:
        return Handle(control, info, _map(fd, info.size, writable), writable)
    finally:
        os.close(fd)


def _map(fd: int, size: int, writable: bool) -> mmap.mmap:
    """What counts is what the descriptor is: memory beyond a file's end kills who touches it."""
    file, access = os.fstat(fd), fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_PATH)
    if not stat.S_ISREG(file.st_mode) or not 0 < size <= file.st_size:
        raise ConnectionError(NONSENSE)
    if access != os.O_RDWR and (writable or access != os.O_RDONLY):
        raise ConnectionError(NONSENSE)
    return mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)


def creation(name: str, size: int, properties: Mapping[str, str] | None, read_only_for: str | None,
             from_object: str | None) -> Json:
    request: Json = {"create": name, "size": size}
    if properties:
        request["properties"] = dict(properties)
    if read_only_for is not None:
        request["read_only_for"] = read_only_for
    if from_object is not None:
        request["from"] = from_object
        if size == 0:
            del request["size"]
    return request


def opening(name: str, write: bool | None) -> Json:
    return {"open": name} if write is None else {"open": name, "write": write}


class View:
    """What a buffer is, however one waits."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @property
    def memory(self) -> mmap.mmap:
        """The memory, mapped; read only unless `writable`. memoryview() of it copies nothing."""
        return self._handle.memory

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._handle.memory)

    @property
    def writable(self) -> bool:
        return self._handle.writable

    @property
    def info(self) -> BufferInfo:
        """As it was when it was opened."""
        return self._handle.info

    @property
    def name(self) -> str:
        return self._handle.info.name

    @property
    def properties(self) -> Mapping[str, str]:
        """Those that next() took last."""
        return self._handle.properties

    def fileno(self) -> int:
        """Readable while there is news to take, or to read. Do nothing else with it."""
        return self._handle.control.fileno()

    def close(self) -> None:
        """Unmaps it. If this program created it, it ends for everybody. BufferError while there are
        memoryviews of it: then it has ended, but they keep the memory."""
        self._handle.close()
