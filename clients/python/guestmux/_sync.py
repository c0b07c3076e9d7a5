# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What blocking calls give back."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator
from types import TracebackType

from . import _verbs
from ._control import Control
from ._model import Caller, Event, Opened, Refused
from ._steps import run


class _Connection:
    """A control connection that lives until it is closed. It can be waited for with select()."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def fileno(self) -> int:
        """Readable while there is something to take, or to read. Do nothing else with it."""
        return self._control.fileno()

    def close(self) -> None:
        self._control.close()


class Channel:
    """A channel that was accepted: its socket, and who opened it. Closing it closes the socket."""

    def __init__(self, opened: Opened, socket: sockets.socket) -> None:
        self.socket = socket
        self.service: str = opened.service
        self.argument: str = opened.argument
        self.link: str = opened.link
        self.id: int = opened.id
        self.caller: Caller | None = opened.caller

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class Listener(_Connection):
    """A registration; it ends with close(), which leaves the channels that were accepted."""

    def accept(self, timeout: float | None = None) -> Channel:
        """The next channel. The daemon has accepted it already: close it if you do not want it, and
        call this soon, since not many can wait here. `timeout` 0 does not wait.

        Refused("unregistered") when the daemon took the registration away; ConnectionError when it
        went away itself.
        """
        return Channel(*run(_verbs.accept(self._control), timeout))

    def __iter__(self) -> Iterator[Channel]:
        """Channels, up to the end of the registration, which raises as accept() does."""
        while True:
            yield self.accept()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class Events(_Connection):
    """A subscription; iterating over it gives Events up to the daemon's end."""

    def next(self, timeout: float | None = None) -> Event:
        """The next event. `timeout` 0 does not wait. ConnectionError when the daemon went away."""
        return run(_verbs.next_event(self._control), timeout)

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self.next()
            except ConnectionResetError:
                return
            yield event

    def __enter__(self) -> Events:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


__all__ = ["Channel", "Events", "Listener", "Refused"]
