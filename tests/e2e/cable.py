# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The port with something wrong with it: a relay between guestmux and hostmux that can be told what
to do with the bytes.

guestmux connects to `path`; for each such connection the cable connects to hostmux's port. One
thread moves the bytes; the test changes the fields under `lock`, or calls the methods, which do.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from pathlib import Path

from daemon import PATIENCE, wait_until

TO_HOST, TO_GUEST = 0, 1


class Direction:
    """What is done with the bytes that go one way."""

    def __init__(self) -> None:
        self.front = b""  # comes before the next connection's first byte
        self.chunk = 1 << 16  # bytes a write, but for the zeros of a greeting
        self.cut_after = -1  # so many more, and the port is cut; -1: never
        self.kept = bytearray()  # the last bytes that were carried
        self.total = 0

    def shape(self, piece: bytes) -> bytes:
        """What of the piece goes through; the caller cuts when cut_after has become 0."""
        if self.cut_after >= 0:
            piece = piece[:self.cut_after]
            self.cut_after -= len(piece)
        self.total += len(piece)
        self.kept = (self.kept + piece)[-(1 << 18):]
        return piece


class Cable:
    def __init__(self, path: Path, host_port: Path) -> None:
        self.lock = threading.RLock()
        self.directions = (Direction(), Direction())
        self.connections = 0
        self.plugged = True  # takes connections
        self.stalled = False
        self._host_port = host_port
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- what a test does

    def cut(self) -> None:
        """The connection ends, with all bytes that are under way."""
        with self.lock:
            self._drop()
        self._wake()

    def unplug(self) -> None:
        with self.lock:
            self.plugged = False
            self._drop()
        self._wake()

    def plug(self) -> None:
        with self.lock:
            self.plugged = True
        self._wake()

    def stall(self, stalled: bool = True) -> None:
        with self.lock:
            self.stalled = stalled
        self._wake()

    def put(self, direction: int, data: bytes) -> None:
        """Slips bytes in, between two of its own."""
        with self.lock:
            self._ends[1 - direction].sendall(data)

    def close(self) -> None:
        with self.lock:
            self._closing = True
        self._wake()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._listener.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # --- the thread

    def _wake(self) -> None:
        os.write(self._wake_write, b"x")

    def _drop(self) -> None:
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self._ends.clear()

    def _run(self) -> None:
        while True:
            with self.lock:
                if self._closing:
                    self._drop()
                    return
                readable: list[int | socket.socket] = [self._wake_read]
                if self._ends and not self.stalled:
                    readable += self._ends
                elif not self._ends and self.plugged:
                    readable.append(self._listener)
            try:
                ready, _, _ = select.select(readable, [], [])
            except (OSError, ValueError):  # an end was closed by cut() just now
                continue
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
            with self.lock:
                self._act(ready)

    def _act(self, ready: list[int | socket.socket]) -> None:
        if self._listener in ready and self.plugged and not self._ends:
            self._connect()
        for n, end in enumerate(list(self._ends)):
            if end in ready and self._ends and not self._carry(n):
                self._drop()
                return

    def _connect(self) -> None:
        guest, _ = self._listener.accept()
        host = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            host.connect(str(self._host_port))
        except OSError:  # hostmux is away
            guest.close()
            host.close()
            return
        self.connections += 1
        self._ends = [guest, host]
        for n, direction in enumerate(self.directions):
            if direction.front:
                self._ends[1 - n].sendall(direction.front)
            direction.front = b""

    def _carry(self, n: int) -> bool:
        """Moves what end `n` has. False when the connection is to be dropped."""
        direction, to = self.directions[n], self._ends[1 - n]
        try:
            # Little at a time, so that the other direction has its turn.
            piece = self._ends[n].recv(min(1 << 16, direction.chunk * 4096))
            shaped = direction.shape(piece)
            zeros = len(shaped) - len(shaped.lstrip(b"\0"))
            to.sendall(shaped[:zeros])
            for start in range(zeros, len(shaped), direction.chunk):
                to.sendall(shaped[start:start + direction.chunk])
        except OSError:
            return False
        return bool(piece) and direction.cut_after != 0


def wait_connected(cable: Cable, connections: int) -> None:
    wait_until(lambda: cable.connections >= connections, f"connection {connections} of the cable")
