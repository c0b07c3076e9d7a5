# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux for asyncio: the same calls as coroutines.

    reader, writer = await aio.connect("clipboard")

    async with await aio.listen("clipboard") as listener:
        async for channel in listener:
            asyncio.create_task(serve(channel.reader, channel.writer))

    async with await aio.events("services") as events:
        async for event in events:
            print(event.kind, event.service)

    async with await aio.open_buffer("clip") as buffer:
        async for news in buffer:
            print(news, bytes(buffer.memory[:5]))
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType

from . import _handle, _verbs
from ._control import Control
from ._dial import open_name
from ._handle import View
from ._model import (
    BufferInfo,
    Caller,
    Event,
    Gone,
    Notice,
    Opened,
    Properties,
    Refused,
    Service,
)
from ._steps import run_async

__all__ = ["Buffer", "BufferInfo", "Caller", "Channel", "Event", "Events", "Gone", "Listener",
           "Notice", "Properties", "Refused", "Service", "buffer_events", "buffers", "connect",
           "create_buffer", "events", "listen", "open_buffer", "release_buffer", "services", "wait"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(name: str | bytes, *, socket: str | os.PathLike[str] | None = None,
                  timeout: float | None = None) -> Streams:
    """As guestmux.connect(); the two directions of the channel come back."""
    sock = await run_async(open_name(name, socket), timeout)
    return await asyncio.open_unix_connection(sock=sock)


async def services(*, socket: str | os.PathLike[str] | None = None,
                   timeout: float | None = None) -> list[Service]:
    return await run_async(_verbs.services(socket), timeout)


async def wait(name: str, *, socket: str | os.PathLike[str] | None = None,
               timeout: float | None = None) -> Service:
    return await run_async(_verbs.wait(name, socket), timeout)


async def events(*only: str, socket: str | os.PathLike[str] | None = None,
                 timeout: float | None = None) -> Events:
    return Events(await run_async(_verbs.subscribe(only, socket), timeout))


async def listen(service: str, *, description: str = "",
                 properties: Mapping[str, str] | None = None, vms: Sequence[str] | None = None,
                 max_channels: int | None = None, max_opens_per_second: int | None = None,
                 socket: str | os.PathLike[str] | None = None,
                 timeout: float | None = None) -> Listener:
    return Listener(await run_async(
        _verbs.register(service, socket, description=description, properties=properties, vms=vms,
                        max_channels=max_channels, max_opens_per_second=max_opens_per_second),
        timeout))


async def create_buffer(name: str, size: int, *, properties: Mapping[str, str] | None = None,
                        read_only_for: str | None = None, from_object: str | None = None,
                        socket: str | os.PathLike[str] | None = None,
                        timeout: float | None = None) -> Buffer:
    request = _handle.creation(name, size, properties, read_only_for, from_object)
    return Buffer(await run_async(_handle.Handle.open(socket, name, request), timeout))


async def open_buffer(name: str, *, write: bool | None = None,
                      socket: str | os.PathLike[str] | None = None,
                      timeout: float | None = None) -> Buffer:
    request = _handle.opening(name, write)
    return Buffer(await run_async(_handle.Handle.open(socket, name, request), timeout))


async def buffers(*, socket: str | os.PathLike[str] | None = None,
                  timeout: float | None = None) -> list[BufferInfo]:
    return await run_async(_verbs.buffers(socket), timeout)


async def release_buffer(name: str, *, socket: str | os.PathLike[str] | None = None,
                         timeout: float | None = None) -> None:
    await run_async(_verbs.release_buffer(name, socket), timeout)


async def buffer_events(application: str | None = None, *,
                        socket: str | os.PathLike[str] | None = None,
                        timeout: float | None = None) -> Events:
    return Events(await run_async(_verbs.subscribe(["buffers"], socket, application), timeout))


class Channel:
    """A channel that was accepted, and who opened it. Closing the writer closes it."""

    def __init__(self, opened: Opened, streams: Streams) -> None:
        self.reader, self.writer = streams
        self.service: str = opened.service
        self.argument: str = opened.argument
        self.link: str = opened.link
        self.id: int = opened.id
        self.caller: Caller | None = opened.caller


class Listener:
    """As guestmux.Listener. One task at a time may accept."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def accept(self) -> Channel:
        opened, sock = await run_async(_verbs.accept(self._control), None)
        return Channel(opened, await asyncio.open_unix_connection(sock=sock))

    async def __aiter__(self) -> AsyncIterator[Channel]:
        while True:
            yield await self.accept()

    def close(self) -> None:
        self._control.close()

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self.close()


class Events:
    """As guestmux.Events."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def next(self) -> Event:
        return await run_async(_verbs.next_event(self._control), None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            try:
                event = await self.next()
            except ConnectionResetError:
                return
            yield event

    def close(self) -> None:
        self._control.close()

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self.close()


class Buffer(View):
    """As guestmux.Buffer. One task at a time may wait for news."""

    async def next(self) -> Notice | Properties:
        return await run_async(self._handle.next(), None)

    async def __aiter__(self) -> AsyncIterator[Notice | Properties]:
        while True:
            try:
                news = await self.next()
            except (Gone, ConnectionResetError):
                return
            yield news

    async def notify(self, offset: int = 0, length: int | None = None) -> None:
        await run_async(self._handle.notify(
            offset, self.size - offset if length is None else length), None)

    async def set(self, properties: Mapping[str, str | None]) -> None:
        await run_async(self._handle.set(properties), None)

    async def __aenter__(self) -> Buffer:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self.close()
