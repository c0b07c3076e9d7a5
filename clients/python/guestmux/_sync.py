# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What blocking calls give back."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator, Mapping
from types import TracebackType

from . import _verbs
from ._control import Control
from ._handle import View
from ._model import Caller, Event, Gone, Notice, Opened, Properties, Refused
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


class Buffer(View):
    """A buffer that is open: its `memory`, and news of it."""

    def next(self, timeout: float | None = None) -> Notice | Properties:
        """The next news. `timeout` 0 does not wait. Gone when the buffer has ended: close it soon,
        since the guest waits for that for some seconds to unplug the memory. ConnectionError when
        the daemon went away, which is the same."""
        try:
            return run(self._handle.next(), timeout)
        except TimeoutError:
            raise TimeoutError(f"no news within {timeout:g} s") from None

    def __iter__(self) -> Iterator[Notice | Properties]:
        """News, up to the buffer's end."""
        while True:
            try:
                news = self.next()
            except (Gone, ConnectionResetError):
                return
            yield news

    def notify(self, offset: int = 0, length: int | None = None,
               timeout: float | None = None) -> None:
        """Tell all others that these bytes were changed; without a length all that follow."""
        run(self._handle.notify(offset, self.size - offset if length is None else length), timeout)

    def set(self, properties: Mapping[str, str | None], timeout: float | None = None) -> None:
        """Set properties; None removes one. Everybody is told, this program too."""
        run(self._handle.set(properties), timeout)

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


__all__ = ["Buffer", "Channel", "Events", "Listener", "Refused"]
