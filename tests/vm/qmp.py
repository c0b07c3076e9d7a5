# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small client of QEMU's machine protocol: one command at a time, events kept until asked for."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, gave no answer in time, or is gone."""


class Qmp:
    """Owns the socket. Events are kept in the order of arrival, until wait_event takes them."""

    def __init__(self, sock: socket.socket, timeout: float = 30.0) -> None:
        self._sock = sock
        self._timeout = timeout
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._id = 0
        if "QMP" not in self._receive(time.monotonic() + timeout):
            raise QmpError("no QMP greeting")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Give a command and return its answer. Argument names are sent as they are."""
        self._id += 1  # so that an answer that came too late is not taken for this one's
        request = {"execute": command, "arguments": arguments, "id": self._id}
        deadline = time.monotonic() + self._timeout
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{command}: QEMU is gone ({error})") from error
        while True:
            message = self._receive(deadline)
            if "event" in message:
                self._events.append(message)
            elif message.get("id") == self._id:
                if "error" in message:
                    raise QmpError(f"{command}: {message['error']['desc']}")
                return message["return"]

    def wait_event(
        self,
        name: str,
        timeout: float = 10.0,
        match: Callable[[dict[str, Any]], bool] = lambda data: True,
    ) -> dict[str, Any]:
        """Take the first event of this name whose data match; other events are kept."""
        deadline = time.monotonic() + timeout
        looked_at = 0
        while True:
            for at, event in enumerate(self._events[looked_at:], looked_at):
                if event["event"] == name and match(event.get("data", {})):
                    return self._events.pop(at)
            looked_at = len(self._events)
            message = self._receive(deadline)
            if "event" in message:
                self._events.append(message)

    def close(self) -> None:
        self._sock.close()

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._sock.recv(65536)
            except TimeoutError as error:
                raise QmpError("QEMU did not answer in time") from error
            except OSError as error:
                raise QmpError(f"QEMU is gone ({error})") from error
            if not data:
                raise QmpError("QEMU is gone")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
