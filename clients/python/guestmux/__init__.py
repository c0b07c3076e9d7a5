# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Channels of guestmux and hostmux, between a virtual machine and its host.

    import guestmux

    with guestmux.connect("clipboard") as channel:          # a socket.socket
        channel.sendall(b"hello")

    with guestmux.listen("clipboard") as listener:          # programs on the other side open it
        for channel in listener:
            print(channel.caller, channel.socket.recv(100))

    with guestmux.create_buffer("clip", 1 << 20) as buffer:  # memory of both sides
        buffer.memory[:5] = b"hello"
        buffer.notify(0, 5)

What holds for all calls:

- `socket` is the path of the daemon's socket. None: $GUESTMUX_SOCKET if that is set, else the first
  of /run/guestmux.sock and /run/hostmux.sock that answers.
- `timeout` is for the whole call, in seconds; None is no limit. TimeoutError when it is over.
- Refused is what the daemon answers instead of doing it. Other OSErrors are those of the socket:
  FileNotFoundError and ConnectionRefusedError when there is no daemon, ConnectionError when it went
  away.
- What is said of the other side (a description, a property, a caller) is what the other side says.

guestmux.aio has the same for asyncio, but for bulk streams.
"""

from ._bulk import BulkReceiver, BulkSender, Piece
from ._calls import (
    buffer_events,
    buffers,
    connect,
    create_buffer,
    events,
    listen,
    open_buffer,
    release_buffer,
    services,
    wait,
)
from ._model import BufferInfo, Caller, Event, Gone, Notice, Properties, Refused, Service
from ._sync import Buffer, Channel, Events, Listener

__all__ = ["Buffer", "BufferInfo", "BulkReceiver", "BulkSender", "Caller", "Channel", "Event",
           "Events", "Gone", "Listener", "Notice", "Piece", "Properties", "Refused", "Service",
           "buffer_events", "buffers", "connect", "create_buffer", "events", "listen",
           "open_buffer", "release_buffer", "services", "wait"]
__version__ = "0.1.0"
