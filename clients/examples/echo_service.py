#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A handler that listens: it gives back what it gets, on any number of channels at once.

    echo_service.py PATH

Its service is a file in the daemon's services folder, echo.json:

    {"service": "echo", "connect": "unix:PATH"}

Each channel is one connection. Nothing here knows of guestmux.
"""

from __future__ import annotations

import socket
import socketserver
import sys
from pathlib import Path


class Echo(socketserver.BaseRequestHandler):
    """One channel."""

    def handle(self) -> None:
        channel: socket.socket = self.request
        try:
            while data := channel.recv(65536):
                channel.sendall(data)
        except ConnectionError:
            pass  # the other end is gone; so is this channel


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    if sys.argv[1:] in (["-h"], ["--help"]):
        print("usage: echo_service.py PATH")
        return 0
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):  # ./-x is a path, too
        print("usage: echo_service.py PATH", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    if path.is_socket():
        path.unlink()  # of a run before
    with Server(str(path), Echo) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
