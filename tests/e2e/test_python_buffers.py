# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Buffers in the Python module: on both sides of a stack, and against a daemon that the test plays."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon import PATIENCE, wait_until
from fake_buffers import NOTIFY, SET, FakeDaemon, Handle, listed
from memory_stack import MIB, MemoryTest
from stack import VM

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients" / "python"))
import guestmux  # noqa: E402
from guestmux import aio  # noqa: E402


class Fake(unittest.TestCase):
    """With a daemon that the test plays."""

    def setUp(self) -> None:
        self.before = len(os.listdir("/proc/self/fd"))
        self.addCleanup(self.check_descriptors)
        folder = tempfile.TemporaryDirectory(prefix="mux-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.daemon = FakeDaemon(Path(folder.name) / "socket")
        self.addCleanup(self.daemon.close)

    def check_descriptors(self) -> None:
        wait_until(lambda: len(os.listdir("/proc/self/fd")) == self.before,
                   "the daemon's threads, and no descriptor is left")

    def open(self, **keys: Any) -> tuple[guestmux.Buffer, Handle]:
        buffer = guestmux.open_buffer("clip", socket=self.daemon.socket, timeout=PATIENCE, **keys)
        self.addCleanup(buffer.close)
        return buffer, self.daemon.handle()

    def test_requests(self) -> None:
        path = self.daemon.socket
        calls: list[tuple[Callable[[], guestmux.Buffer], dict[str, object]]] = [
            (lambda: guestmux.open_buffer("a", socket=path), {"open": "a"}),
            (lambda: guestmux.open_buffer("a", write=False, socket=path),
             {"open": "a", "write": False}),
            (lambda: guestmux.create_buffer("a", 5, socket=path), {"create": "a", "size": 5}),
            (lambda: guestmux.create_buffer("web1/a", 0, properties={"k": "v"},
                                            read_only_for="guest", from_object="/x", socket=path),
             {"create": "web1/a", "properties": {"k": "v"}, "read_only_for": "guest",
              "from": "/x"})]
        for call, request in calls:
            with call() as buffer:
                self.assertEqual(self.daemon.asked.get(), request)
                self.assertEqual((buffer.size, buffer.info.buffer), (MIB, "a"))
                self.assertEqual(buffer.name, "host/a" if "from" in request else "a")
                self.assertEqual(buffer.info.owner, guestmux.Caller(1000, 1000, "paint"))

    def test_telling(self) -> None:
        buffer, handle = self.open()
        buffer.memory[:2] = b"hi"
        self.assertEqual(self.daemon.memory[:2], b"hi")
        buffer.notify(258, 3)
        self.assertEqual(handle.heard(), (NOTIFY, struct.pack("<QQ", 258, 3)))
        buffer.notify(MIB - 1)
        self.assertEqual(handle.heard(), (NOTIFY, struct.pack("<QQ", MIB - 1, 1)))
        buffer.set({"a": "1", "b": None})
        kind, payload = handle.heard() or (0, b"")
        self.assertEqual((kind, json.loads(payload)), (SET, {"a": "1", "b": None}))
        for offset, length in ((-1, 1), (0, MIB + 1), (MIB, 1), (0, -1)):
            with self.assertRaises(ValueError):
                buffer.notify(offset, length)
        with self.assertRaises(ValueError):
            buffer.set({"a": "x" * 70000})

    def test_news(self) -> None:
        buffer, handle = self.open()
        for timeout, text in ((0, "no news within 0 s"), (0.1, "no news within 0.1 s")):
            with self.assertRaisesRegex(TimeoutError, text):
                buffer.next(timeout)
        handle.notice(1, 2, 3)
        handle.say(99, b"of a later version")
        handle.properties({"a": "1", "b": 2})
        self.assertEqual(buffer.next(PATIENCE), guestmux.Notice(1, 2, 3))
        self.assertEqual(buffer.next(PATIENCE), guestmux.Properties({"a": "1"}))
        self.assertEqual(buffer.properties, {"a": "1"})
        handle.notice(4, MIB, 0)
        handle.gone("owner")
        self.assertEqual(list(buffer), [guestmux.Notice(4, MIB, 0)])
        for _ in range(2):
            with self.assertRaises(guestmux.Gone) as caught:
                buffer.next()
            self.assertEqual(caught.exception.reason, "owner")
        with self.assertRaises(guestmux.Gone):
            buffer.notify()
        buffer.memory[:1] = b"x"  # still there
        buffer.close()
        handle.closed()

    def test_read_only(self) -> None:
        buffer, _ = self.open(write=False)
        with self.assertRaises(TypeError):
            buffer.memory[:1] = b"x"
        for call in (buffer.notify, lambda: buffer.set({})):
            with self.assertRaises(PermissionError):
                call()

    def test_views(self) -> None:
        buffer, handle = self.open()
        view = memoryview(buffer.memory)
        with self.assertRaises(BufferError):
            buffer.close()
        handle.closed()
        view.release()

    def test_daemon_dies(self) -> None:
        buffer, _ = self.open()
        self.daemon.die()
        for _ in range(2):
            with self.assertRaises(ConnectionResetError):
                buffer.next(PATIENCE)
        with self.assertRaises(ConnectionError):
            buffer.notify()

    def test_gone_before_writing(self) -> None:
        """A write to a daemon that has closed raises what it has said before."""
        buffer, handle = self.open()
        handle.notice(1, 2, 3)
        handle.say(1, b"nonsense")
        handle.gone("owner")
        handle.sock.shutdown(socket.SHUT_RDWR)
        handle.closed()
        for call in (buffer.notify, lambda: buffer.set({"a": "b"}), buffer.next):
            with self.assertRaises(guestmux.Gone) as caught:
                call()
            self.assertEqual(caught.exception.reason, "owner")

    def test_nonsense(self) -> None:
        for kind, payload in ((1, b""), (1, b"x" * 24), (2, b"[]"), (2, b"{")):
            buffer, handle = self.open()
            handle.say(kind, payload)
            handle.notice(1, 0, 1)
            with self.assertRaises(ConnectionError):
                buffer.next(PATIENCE)
            self.assertEqual(buffer.next(PATIENCE), guestmux.Notice(1, 0, 1))
        buffer, handle = self.open()
        handle.sock.sendall(struct.pack("<II", 1, 65537))
        for _ in range(2):
            with self.assertRaises(ConnectionError):
                buffer.next(PATIENCE)

    def test_bad_memory(self) -> None:
        """Nothing is mapped that is not there."""
        for size in (MIB - 1, 1, 0):
            os.truncate(self.daemon.memfd, size)
            with self.assertRaises(ConnectionError):
                self.open()
            self.daemon.handle().closed()
        os.truncate(self.daemon.memfd, MIB)

    def test_list(self) -> None:
        path = self.daemon.socket
        self.daemon.answers["buffers"] = {"buffers": [listed("a", node="/n"), 1, {}, {"name": 1}]}
        for kind, name in (("guestmux", "a"), ("hostmux", "host/a")):
            self.daemon.name = kind
            (one,) = guestmux.buffers(socket=path)
            self.assertEqual((one.name, one.buffer, one.link, one.node, one.state),
                             (name, "a", "host", "/n", "ready"))
        guestmux.release_buffer("a", socket=path)
        self.assertEqual(list(self.daemon.asked.queue)[-1], {"verb": "release", "buffer": "a"})

    def test_events(self) -> None:
        self.daemon.events = [{"event": "buffer-added", "buffer": listed("a")},
                              {"event": "buffer-removed", "buffer": 7, "reason": "owner"}]
        self.daemon.name = "hostmux"
        with guestmux.buffer_events("paint", socket=self.daemon.socket) as events:
            self.assertEqual(self.daemon.asked.get(), {"verb": "events", "only": ["buffers"],
                                                       "application": "paint"})
            added, removed = events.next(PATIENCE), events.next(PATIENCE)
        assert added.buffer is not None
        self.assertEqual(added.buffer.name, "host/a")
        self.assertEqual((removed.kind, removed.buffer, removed["reason"]),
                         ("buffer-removed", None, "owner"))

    def test_asyncio(self) -> None:
        async def main() -> None:
            path = self.daemon.socket
            async with await aio.create_buffer("clip", 1, socket=path) as buffer:
                handle = await asyncio.to_thread(self.daemon.handle)
                task = asyncio.create_task(buffer.next())
                await buffer.notify(1, 2)
                self.assertEqual(await asyncio.to_thread(handle.heard),
                                 (NOTIFY, struct.pack("<QQ", 1, 2)))
                handle.notice(1, 2, 3)
                self.assertEqual(await task, guestmux.Notice(1, 2, 3))
                await buffer.set({"a": "b"})
                handle.properties({"a": "b"})
                handle.gone("released")
                self.assertEqual([one async for one in buffer], [guestmux.Properties({"a": "b"})])
            self.daemon.answers["buffers"] = {"buffers": [listed("a")]}
            self.assertEqual([one.name for one in await aio.buffers(socket=path)], ["a"])
            await aio.release_buffer("a", socket=path)
            self.daemon.events = [{"event": "buffer-added", "buffer": listed("a")}]
            async with await aio.buffer_events(socket=path) as events:
                self.assertEqual((await events.next()).kind, "buffer-added")
            (await aio.open_buffer("clip", write=True, socket=path)).close()

        asyncio.run(main())


class Real(MemoryTest):
    def test_both_sides(self) -> None:
        stack = self.memory_stack()
        guest, host = stack.guest.socket, stack.host.socket
        events = guestmux.buffer_events("paint", socket=host, timeout=PATIENCE)
        self.addCleanup(events.close)
        with guestmux.create_buffer("clip", 1000, properties={"application": "paint"},
                                    socket=guest, timeout=PATIENCE) as mine:
            self.assertEqual(mine.size, MIB)
            mine.memory[:5] = b"hello"
            added = events.next(PATIENCE)
            assert added.buffer is not None
            self.assertEqual((added.kind, added.buffer.name), ("buffer-added", f"{VM}/clip"))
            theirs = guestmux.open_buffer(added.buffer.name, socket=host, timeout=PATIENCE)
            self.addCleanup(theirs.close)
            self.assertEqual(theirs.info.id, mine.info.id)
            self.assertEqual(theirs.memory[:5], b"hello")
            theirs.memory[:5] = b"world"
            theirs.notify(0, 5, PATIENCE)
            news = mine.next(PATIENCE)
            assert isinstance(news, guestmux.Notice)
            self.assertEqual((news.offset, news.length, mine.memory[:5]), (0, 5, b"world"))
            theirs.set({"k": "v"})
            self.assertEqual(mine.next(PATIENCE),
                             guestmux.Properties({"application": "paint", "k": "v"}))
            self.assertEqual([one.name for one in guestmux.buffers(socket=guest)], ["clip"])
            with self.assertRaises(guestmux.Refused) as caught:
                guestmux.create_buffer("clip", 1, socket=guest, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, "exists")
        while True:
            try:
                theirs.next(PATIENCE)
            except guestmux.Gone as gone:
                self.assertEqual(gone.reason, "owner")
                break
        theirs.close()
        self.wait_nothing_left(stack)

    def test_release(self) -> None:
        stack = self.memory_stack()
        with guestmux.create_buffer(f"{VM}/clip", 1, socket=stack.host.socket,
                                    timeout=PATIENCE) as buffer:
            wait_until(lambda: self.buffers(stack.guest).get("clip") == "ready", "the guest knows")
            with self.assertRaises(guestmux.Refused) as caught:
                guestmux.release_buffer("clip", socket=stack.guest.socket, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, "denied")
            guestmux.release_buffer(buffer.name, socket=stack.host.socket, timeout=PATIENCE)
            self.assertEqual(list(buffer), [])
        self.wait_nothing_left(stack)


if __name__ == "__main__":
    unittest.main()
