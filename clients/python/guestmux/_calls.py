# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The calls that block."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Mapping, Sequence

from . import _handle, _verbs
from ._dial import open_name
from ._model import BufferInfo, Service
from ._steps import run
from ._sync import Buffer, Events, Listener


def connect(name: str | bytes, *, socket: str | os.PathLike[str] | None = None,
            timeout: float | None = None) -> sockets.socket:
    """Open a channel to "service[:argument]"; on a host "VM/service[:argument]".

    The socket blocks, has no timeout, and is the channel: shutdown(SHUT_WR) reaches the other side,
    close() ends it.
    """
    sock = run(open_name(name, socket), timeout)
    sock.setblocking(True)
    return sock


def services(*, socket: str | os.PathLike[str] | None = None,
             timeout: float | None = None) -> list[Service]:
    """What can be opened from here, now."""
    return run(_verbs.services(socket), timeout)


def wait(name: str, *, socket: str | os.PathLike[str] | None = None,
         timeout: float | None = None) -> Service:
    """Wait until `name` can be opened; at once if it can. An argument behind it does not matter."""
    return run(_verbs.wait(name, socket), timeout)


def events(*only: str, socket: str | os.PathLike[str] | None = None,
           timeout: float | None = None) -> Events:
    """Subscribe to what happens from now on: "services", "links", "channels", "buffers";
    without, to all."""
    return Events(run(_verbs.subscribe(only, socket), timeout))


def create_buffer(name: str, size: int, *, properties: Mapping[str, str] | None = None,
                  read_only_for: str | None = None, from_object: str | None = None,
                  socket: str | os.PathLike[str] | None = None,
                  timeout: float | None = None) -> Buffer:
    """Make a buffer, "name" in a guest and "VM/name" on a host; it lives until it is closed.

    The size is rounded up to a power of two, at least 1 MiB. `read_only_for` is "guest" or "host".
    `from_object` (on a host) is the POSIX shared memory object that it is to be. Refused: "exists",
    "bad-size", "limit", "denied", "no-memory", …
    """
    request = _handle.creation(name, size, properties, read_only_for, from_object)
    return Buffer(run(_handle.Handle.open(socket, name, request), timeout))


def open_buffer(name: str, *, write: bool | None = None,
                socket: str | os.PathLike[str] | None = None,
                timeout: float | None = None) -> Buffer:
    """Open a buffer that there is; if `write` is not said, as this program may."""
    request = _handle.opening(name, write)
    return Buffer(run(_handle.Handle.open(socket, name, request), timeout))


def buffers(*, socket: str | os.PathLike[str] | None = None,
            timeout: float | None = None) -> list[BufferInfo]:
    """The buffers that can be opened from here, now."""
    return run(_verbs.buffers(socket), timeout)


def release_buffer(name: str, *, socket: str | os.PathLike[str] | None = None,
                   timeout: float | None = None) -> None:
    """End somebody's buffer, for everybody; on its owner's side his user and root may."""
    run(_verbs.release_buffer(name, socket), timeout)


def buffer_events(application: str | None = None, *,
                  socket: str | os.PathLike[str] | None = None,
                  timeout: float | None = None) -> Events:
    """Subscribe to buffers whose property "application" is this, or to all. Those that there are
    already are told as added."""
    return Events(run(_verbs.subscribe(["buffers"], socket, application), timeout))


def listen(service: str, *, description: str = "", properties: Mapping[str, str] | None = None,
           vms: Sequence[str] | None = None, max_channels: int | None = None,
           max_opens_per_second: int | None = None,
           socket: str | os.PathLike[str] | None = None,
           timeout: float | None = None) -> Listener:
    """Offer a service to the other side, until the listener is closed.

    `vms` (on a host) are globs of the VMs that may open it; `max_channels` of each may be open at
    once. Refused: "taken", "denied", "bad-request", "limit".
    """
    return Listener(run(_verbs.register(service, socket, description=description,
                                        properties=properties, vms=vms, max_channels=max_channels,
                                        max_opens_per_second=max_opens_per_second), timeout))
