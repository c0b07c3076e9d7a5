# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A pipe between hostmux and QEMU's socket that can be cut, and remembers what hostmux said."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from pathlib import Path

#: So many of the last bytes in each direction are remembered.
MEMORY = 1 << 20


class Proxy:
    """Connects both ends by itself and carries bytes in a thread, until it is cut or stopped.

    listen: where hostmux connects (unix:). port: where QEMU listens.
    said: the last bytes that hostmux sent, in all its connections.
    """

    def __init__(self, listen: Path, port: Path) -> None:
        self._port = port
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(listen))
        self._listener.listen()
        self._wake, self._woken = socket.socketpair()
        self.said = bytearray()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self, half_a_frame: bool = False) -> None:
        """Close both connections, as they are. half_a_frame: after a piece of a frame more."""
        self._wake.send(b"h" if half_a_frame else b"c")

    def stop(self) -> None:
        self._wake.send(b"s")
        self._thread.join()
        for sock in (self._listener, self._wake, self._woken):
            sock.close()

    def _run(self) -> None:
        again = True
        while again:
            self._listener.settimeout(0.05)
            try:
                host, _ = self._listener.accept()
            except TimeoutError:
                again = not self._order()
                continue
            host.setblocking(True)
            with host, socket.socket(socket.AF_UNIX) as port:
                port.connect(str(self._port))
                again = self._carry(host, port)

    def _order(self) -> bool:
        """Whether it is to stop; orders to cut what is not connected are dropped."""
        self._woken.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return b"s" in self._woken.recv(100)
        return False

    def _carry(self, host: socket.socket, port: socket.socket) -> bool:
        """False when it is to stop."""
        with selectors.DefaultSelector() as selector:
            for sock in (host, port, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data: bytes = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if key.fileobj is self._woken:
                        if data == b"h":
                            port.sendall(bytes(self.said[-100:]))
                        return data != b"s"
                    if not data:
                        return True
                    if key.fileobj is host:
                        self.said = (self.said + data)[-MEMORY:]
                    (port if key.fileobj is host else host).sendall(data)
