# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A handler that gives back what it gets, on any number of connections: echo.py SOCKET.

It stops reading a connection whose other end does not read, says "ready" once it listens, and runs
until it is asked to end.
"""

from __future__ import annotations

import resource
import select
import socket
import sys

PIECE = 1 << 16


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.waiting = b""
        self.ended = False

    def step(self, events: int) -> bool:
        """Moves what goes. False when the connection is over."""
        try:
            if not self.waiting and not self.ended and events & ~select.EPOLLOUT:
                self.waiting = self.sock.recv(PIECE)
                self.ended = not self.waiting
            if self.waiting:
                self.waiting = self.waiting[self.sock.send(self.waiting):]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return bool(self.waiting) or not self.ended

    def wanted(self) -> int:
        return select.EPOLLOUT if self.waiting else select.EPOLLIN


def serve(path: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(4096)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections: dict[int, Connection] = {}
    print("ready", flush=True)
    while True:
        for fd, events in epoll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setblocking(False)
                connections[sock.fileno()] = Connection(sock)
                epoll.register(sock, select.EPOLLIN)
            elif connections[fd].step(events):
                epoll.modify(fd, connections[fd].wanted())
            else:
                epoll.unregister(fd)
                connections.pop(fd).sock.close()


if __name__ == "__main__":
    serve(sys.argv[1])
