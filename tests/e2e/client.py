# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A control connection that takes events, and the descriptors that come with some of them."""

from __future__ import annotations

import os
import socket
import struct
import unittest
from collections import deque
from contextlib import nullcontext
from pathlib import Path

from daemon import PATIENCE, Control, Json
from user import being

LINE_MAX = 16 * 1024
DESCRIPTORS_MAX = 16  # more than ever come at once: one would be seen that is too many


class Client(Control):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.events: deque[Json] = deque()
        self.descriptors: deque[int] = deque()

    def close(self) -> None:
        self.sock.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())

    # --- reading

    def receive(self) -> None:
        piece, extras, flags, _ = self.sock.recvmsg(
            LINE_MAX, socket.CMSG_SPACE(4 * DESCRIPTORS_MAX), socket.MSG_CMSG_CLOEXEC)
        assert not flags & socket.MSG_CTRUNC
        for level, kind, data in extras:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            self.descriptors.extend(struct.unpack(f"{len(data) // 4}i", data))
        if not piece:
            raise EOFError("the control connection was closed")
        self.buffer += piece

    def next(self) -> Json:
        """The next object, be it an answer or an event."""
        while b"\n" not in self.buffer:
            self.receive()
        return super().answer()

    def answer(self) -> Json:
        """The next answer; events that come before it are kept."""
        while "ok" not in (one := self.next()):
            self.events.append(one)
        assert "event" not in one
        return one

    def good(self, verb: str, **keys: object) -> Json:
        answer = self.ask(dict(keys, verb=verb))
        assert answer["ok"], answer
        return answer

    def error(self, verb: str, **keys: object) -> tuple[str, str]:
        """The code and the text."""
        answer = self.ask(dict(keys, verb=verb))
        assert set(answer) == {"ok", "error"} and not answer["ok"], answer
        assert set(answer["error"]) == {"code", "text"}, answer
        assert "\n" not in answer["error"]["text"]
        return answer["error"]["code"], answer["error"]["text"]

    # --- events

    def event(self, kind: str = "") -> Json:
        """The next event, which must be of that kind."""
        event = self.events.popleft() if self.events else self.next()
        assert "event" in event and kind in ("", event["event"]), event
        return event

    def pending(self) -> list[Json]:
        """The events that the daemon has sent until now."""
        self.good("links")
        events = list(self.events)
        self.events.clear()
        return events

    def until(self, kind: str) -> list[Json]:
        """All events up to the next of that kind."""
        events = [self.event()]
        while events[-1]["event"] != kind:
            events.append(self.event())
        return events

    def channel(self) -> tuple[Json, socket.socket]:
        """The next channel of an "accept": "fd"."""
        event = self.event("channel")
        sock = socket.socket(fileno=self.descriptors.popleft())
        assert not self.descriptors or self.events or self.buffer, "more than one descriptor"
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
        assert os.get_blocking(sock.fileno()), "it blocks, as programs expect"
        sock.settimeout(PATIENCE)
        return event, sock


def open_client(test: unittest.TestCase, path: Path, uid: int = 0) -> Client:
    """A client that is closed when the test ends; as somebody else, if he is named."""
    with being(uid) if uid else nullcontext():
        client = Client(path)
    test.addCleanup(client.close)
    return client
