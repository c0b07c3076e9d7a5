# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How one piece of code serves both blocking callers and asyncio.

What talks to the daemon is a generator that never blocks. It yields a Need when it cannot go on,
and is resumed when that is there. `run` waits in poll(), `run_async` in the event loop.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Need:
    """A descriptor that can be read or written; without one, a pause."""

    fd: int = -1
    write: bool = False
    also: int = -1  # one that can be read does as well; it may be the same


PAUSE = 0.01  # seconds; only when the queue of the daemon's socket is full

Steps = Generator[Need, None, T]


def run(steps: Steps[T], timeout: float | None) -> T:
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        need = next(steps)
        while True:
            _wait(need, deadline)
            need = steps.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


def _wait(need: Need, deadline: float | None) -> None:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    # Even if something is there: it may be the other side that keeps this call busy.
    if left == 0:
        raise TimeoutError("the time is over")
    if need.fd < 0:
        time.sleep(PAUSE)
        return
    poll = select.poll()
    if need.also >= 0:
        poll.register(need.also, select.POLLIN)
    both = need.write and need.also == need.fd
    poll.register(need.fd, (select.POLLOUT if need.write else 0)
                  | (select.POLLIN if both or not need.write else 0))
    if not poll.poll(None if left is None else left * 1000):
        raise TimeoutError("the time is over")


async def run_async(steps: Steps[T], timeout: float | None) -> T:
    try:
        async with asyncio.timeout(timeout):
            need = next(steps)
            while True:
                await _wait_async(need)
                need = steps.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


async def _wait_async(need: Need) -> None:
    if need.fd < 0:
        await asyncio.sleep(PAUSE)
        return
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    readable = {fd for fd in (need.also, -1 if need.write else need.fd) if fd >= 0}
    try:
        for fd in readable:
            loop.add_reader(fd, wake)
        if need.write:
            loop.add_writer(need.fd, wake)
        await ready
    finally:
        for fd in readable:
            loop.remove_reader(fd)
        if need.write:
            loop.remove_writer(need.fd)
