# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Between hostmux and QEMU's QMP: holds a command back until the test has done something first."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType


class QmpProxy:
    """Carries one connection in a thread, with its descriptors, from `with` to its end.

    held: a command is being held back, and all that follows it.
    """

    def __init__(self, listen: Path, qmp: Path, command: str) -> None:
        self.path = listen
        self._qmp = qmp
        self._command = f'"{command}"'.encode()
        self.held = threading.Event()
        self._go = threading.Event()
        self._wake, self._woken = socket.socketpair()

    def __enter__(self) -> QmpProxy:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._listener.close()

    def release(self) -> None:
        """What was held goes on, and nothing more is held."""
        self._go.set()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._listener, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            if any(key.fileobj is self._woken for key, _ in selector.select()):
                return
        client, _ = self._listener.accept()
        with client, socket.socket(socket.AF_UNIX) as qemu, selectors.DefaultSelector() as selector:
            qemu.connect(str(self._qmp))
            for sock in (client, qemu, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            while self._pass_on(selector, client, qemu):
                pass

    def _pass_on(
        self, selector: selectors.BaseSelector, client: socket.socket, qemu: socket.socket
    ) -> bool:
        """What has come, one way or the other; whether there may be more."""
        for key, _ in selector.select():
            if key.fileobj is self._woken:
                return False
            source, target = (client, qemu) if key.fileobj is client else (qemu, client)
            data, fds, _, _ = socket.recv_fds(source, 65536, 8)
            if source is client and self._command in data and not self._go.is_set():
                self.held.set()
                self._go.wait()
            if data:
                socket.send_fds(target, [data], fds)
            for fd in fds:
                os.close(fd)
            if not data:
                return False
        return True
