# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Being somebody else for a moment, as root can: what is connected meanwhile is his."""

from __future__ import annotations

import os
import select
import socket
import unittest
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon import PATIENCE

# Nobody has these.
UID, GID, GROUP = 65001, 65002, 65003

needs_root = unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")


@contextmanager
def being(uid: int, gid: int = GID, groups: Sequence[int] = ()) -> Iterator[None]:
    before = os.getegid(), os.getgroups()
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[0])
        os.setgroups(before[1])


def _talk(path: Path, data: bytes) -> bytes:
    said = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        try:
            sock.connect(str(path))
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(1 << 16):
                said += piece
        except OSError as error:
            said += type(error).__name__.encode()
    return said


def talk(path: Path, data: bytes, uid: int, gid: int = GID, groups: Sequence[int] = ()) -> bytes:
    """What a process of that user is told until the end; or the name of the error that it had."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.write(writer, _talk(path, data))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@contextmanager
def knocking(path: Path, uid: int) -> Iterator[None]:
    """Meanwhile somebody tries to connect, without a pause; he must not succeed once."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(writer)
            os.setgroups([])
            os.setresgid(GID, GID, GID)
            os.setresuid(uid, uid, uid)
            status = 2 if _gets_in(path, reader) else 0
        finally:
            os._exit(status)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        _, result = os.waitpid(child, 0)
    assert result == 0, f"{os.waitstatus_to_exitcode(result)}; 2: he could connect"


def _gets_in(path: Path, stop: int) -> bool:
    """Whether it works before `stop` has an end."""
    while not select.select([stop], [], [], 0)[0]:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(path))
                return True
            except OSError:
                continue
    return False
