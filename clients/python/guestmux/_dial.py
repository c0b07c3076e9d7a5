# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding the daemon and opening a name."""

from __future__ import annotations

import os
import socket as sockets

from ._model import Refused
from ._steps import Need, Steps

USUAL = ("/run/guestmux.sock", "/run/hostmux.sock")
ANSWER_MAX = 4096


def open_name(name: str | bytes, path: str | os.PathLike[str] | None) -> Steps[sockets.socket]:
    """A channel to the name, as a socket that does not block."""
    raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    if not raw or b"\n" in raw or b"\0" in raw:
        raise Refused("bad-name", "a name is not empty, and has no line's end or NUL in it")
    sock = yield from _dial(path)
    try:
        yield from send(sock, raw + b"\n")
        _judge((yield from _read_line(sock)))
        return sock
    except BaseException:
        sock.close()
        raise


def _dial(path: str | os.PathLike[str] | None) -> Steps[sockets.socket]:
    named = os.fspath(path) if path is not None else os.environ.get("GUESTMUX_SOCKET")
    if named:
        return (yield from _dial_path(named))
    try:
        return (yield from _dial_path(USUAL[0]))
    except OSError as first:
        try:
            return (yield from _dial_path(USUAL[1]))
        except FileNotFoundError:
            raise first from None


def _dial_path(path: str) -> Steps[sockets.socket]:
    sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    sock.setblocking(False)
    try:
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:  # a unix socket with a full queue cannot be waited for
                yield Need()
            except FileNotFoundError as error:
                error.filename = path
                raise
    except BaseException:
        sock.close()
        raise


def send(sock: sockets.socket, data: bytes) -> Steps[None]:
    """Sends all. If the daemon closed the connection, an answer may still be there to be read."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view):]
        except BlockingIOError:
            yield Need(sock.fileno(), write=True)
        except (BrokenPipeError, ConnectionResetError):
            return


def _read_line(sock: sockets.socket) -> Steps[bytes]:
    """Peeks first and reads no further than the line's end: what follows is the channel's."""
    line = b""
    while len(line) < ANSWER_MAX:
        try:
            seen = sock.recv(ANSWER_MAX - len(line), sockets.MSG_PEEK)
        except BlockingIOError:
            yield Need(sock.fileno())
            continue
        if not seen:
            raise ConnectionResetError("the daemon closed the connection without an answer")
        end = seen.find(b"\n") + 1
        line += sock.recv(end or len(seen))
        if end:
            return line[:-1]
    raise ConnectionError("the daemon's answer makes no sense")


def _judge(line: bytes) -> None:
    word, _, rest = line.decode("utf-8", "replace").partition(" ")
    if word == "OK":
        return
    code, _, text = rest.partition(" ")
    if word != "ERR" or not code:
        raise ConnectionError("the daemon's answer makes no sense")
    raise Refused(code, text)
