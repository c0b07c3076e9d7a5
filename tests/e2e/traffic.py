# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bytes to send and to check: patterns, threads that carry much, one loop for many channels."""

from __future__ import annotations

import hashlib
import random
import select
import socket
import threading
import time
from collections.abc import Iterable

from daemon import PATIENCE


def pattern(seed: int, size: int) -> bytes:
    """Bytes that no other seed has, and that repeat nowhere."""
    return random.Random(seed).randbytes(size)


class Sender(threading.Thread):
    """Writes so much, and then ends its direction. `digest` is of what was written."""

    def __init__(self, sock: socket.socket, size: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.sock, self.size, self.seed = sock, size, seed
        self.digest = ""
        self.error: OSError | None = None
        self.start()

    def run(self) -> None:
        digest = hashlib.sha256()
        block = pattern(self.seed, 1 << 20)
        try:
            for n in range(0, self.size, len(block)):
                piece = n.to_bytes(8, "little") + block[8:min(len(block), self.size - n)]
                digest.update(piece)
                self.sock.sendall(piece)
            self.sock.shutdown(socket.SHUT_WR)
            self.digest = digest.hexdigest()
        except OSError as error:
            self.error = error


class Receiver(threading.Thread):
    """Reads to the end. `digest` is of what was read, `size` how much that was."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.digest = ""
        self.size = 0
        self.error: OSError | None = None
        self.start()

    def run(self) -> None:
        digest = hashlib.sha256()
        try:
            while piece := self.sock.recv(1 << 18):
                digest.update(piece)
                self.size += len(piece)
            self.digest = digest.hexdigest()
        except OSError as error:
            self.error = error


class _Exchange:
    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self.sock, self.data = sock, data
        self.sent = 0
        self.got = bytearray()

    def step(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self.sent += self.sock.send(self.data[self.sent:self.sent + (1 << 16)])
        if events & ~select.EPOLLOUT:
            piece = self.sock.recv(1 << 16)
            if not piece:
                raise AssertionError(f"closed after {len(self.got)} of {len(self.data)} bytes")
            self.got += piece

    def wanted(self) -> int:
        return select.EPOLLIN | (select.EPOLLOUT if self.sent < len(self.data) else 0)


def echo_all(pairs: Iterable[tuple[socket.socket, bytes]], timeout: float = PATIENCE) -> None:
    """Sends each socket its data, all at once, and checks that it comes back whole."""
    exchanges = {sock.fileno(): _Exchange(sock, data) for sock, data in pairs}
    deadline = time.monotonic() + timeout
    with select.epoll() as epoll:
        for fd, exchange in exchanges.items():
            exchange.sock.setblocking(False)
            epoll.register(fd, exchange.wanted())
        left = len(exchanges)
        while left > 0:
            events = epoll.poll(max(0.0, deadline - time.monotonic()))
            if not events and time.monotonic() >= deadline:
                raise AssertionError(f"{left} of {len(exchanges)} channels are not done")
            for fd, bits in events:
                exchange = exchanges[fd]
                exchange.step(bits)
                if len(exchange.got) < len(exchange.data):
                    epoll.modify(fd, exchange.wanted())
                    continue
                if exchange.got != exchange.data:
                    raise AssertionError("a channel's bytes came back changed")
                epoll.unregister(fd)
                left -= 1
    for exchange in exchanges.values():
        exchange.sock.settimeout(PATIENCE)
