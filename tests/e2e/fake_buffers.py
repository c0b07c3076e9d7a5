# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that the test plays: it answers @control with what it is told to, and has buffers.

It is for what clients say and do. Whether daemons do the same is for the tests with the real ones.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import socket
import struct
import threading
from pathlib import Path
from typing import Any

from daemon import PATIENCE

NOTIFY, SET = 1, 2  # from an app
NOTICE, PROPERTIES, GONE = 1, 2, 3  # to it

Json = dict[str, Any]


class Handle:
    """One connection to a buffer: records go both ways."""

    def __init__(self, sock: socket.socket, request: Json) -> None:
        self.sock = sock
        self.request = request
        self.records: queue.Queue[tuple[int, bytes] | None] = queue.Queue()

    def say(self, kind: int, payload: bytes) -> None:
        self.sock.sendall(struct.pack("<II", kind, len(payload)) + payload)

    def notice(self, sequence: int, offset: int, length: int) -> None:
        self.say(NOTICE, struct.pack("<QQQ", sequence, offset, length))

    def properties(self, properties: Json) -> None:
        self.say(PROPERTIES, json.dumps(properties).encode())

    def gone(self, text: str) -> None:
        self.say(GONE, text.encode())

    def heard(self) -> tuple[int, bytes] | None:
        """What the app says next; None: it has closed."""
        return self.records.get(timeout=PATIENCE)

    def closed(self) -> None:
        """Waits until the app has closed, whatever it says before."""
        while self.heard() is not None:
            pass

    def read(self) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while piece := self.sock.recv(1 << 16):
                data += piece
                while len(data) >= 8:
                    kind, length = struct.unpack_from("<II", data)
                    if len(data) < 8 + length:
                        break
                    self.records.put((kind, data[8:8 + length]))
                    data = data[8 + length:]
        self.records.put(None)
        self.sock.close()  # as a daemon does


class FakeDaemon:
    """`kind` is what it says that it is. Every buffer is the same memory."""

    def __init__(self, path: Path, kind: str = "guestmux", size: int = 1 << 20) -> None:
        self.name = kind
        self.socket = path
        self.size = size
        self.memfd = os.memfd_create("buffer", os.MFD_CLOEXEC)
        os.truncate(self.memfd, size)
        self.memory = mmap.mmap(self.memfd, size)
        self.answers: dict[str, Json] = {}  # verb: answer
        self.events: list[Json] = []
        self.asked: queue.Queue[Json] = queue.Queue()
        self.refusal: Json | None = None  # of @buffer
        self.writable = True
        self.properties: dict[str, str] = {}
        self.handles: queue.Queue[Handle] = queue.Queue()
        self.connections: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def close(self) -> None:
        for sock in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        for sock in (self.listener, *self.connections):
            sock.close()
        os.unlink(self.socket)
        self.memory.close()
        os.close(self.memfd)

    def die(self) -> None:
        """All connections end, as when a daemon is killed."""
        for sock in self.connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def handle(self) -> Handle:
        """The next one that somebody has opened."""
        return self.handles.get(timeout=PATIENCE)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.connections.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock.makefile("rb", buffering=0) as stream:
            name = stream.readline()
            if name == b"@buffer\n":
                sock.sendall(b"OK\n")
                self._serve_buffer(sock, json.loads(stream.readline()))
            elif name == b"@control\n":
                sock.sendall(b"OK\n")
                self._serve_control(sock, stream)

    def _serve_control(self, sock: socket.socket, stream: Any) -> None:
        while line := stream.readline():
            request = json.loads(line)
            self.asked.put(request)
            answer = {"ok": True, "daemon": self.name, "version": "0.1.0"}
            answer |= self.answers.get(request["verb"], {})
            sock.sendall(json.dumps(answer).encode() + b"\n")
            if request["verb"] == "events":
                for event in self.events:
                    sock.sendall(json.dumps(event).encode() + b"\n")
        sock.close()

    def _serve_buffer(self, sock: socket.socket, request: Json) -> None:
        self.asked.put(request)
        if self.refusal:
            sock.sendall(json.dumps({"ok": False, "error": self.refusal}).encode() + b"\n")
            sock.close()
            return
        name = request.get("create") or request["open"]
        self.properties |= request.get("properties", {})
        writable = self.writable and request.get("write", True)
        answer = {"ok": True, "buffer": listed(name.rpartition("/")[2], size=self.size,
                                               properties=self.properties) | {"writable": writable}}
        mode = os.O_RDWR if writable else os.O_RDONLY
        fd = os.open(f"/proc/self/fd/{self.memfd}", mode | os.O_CLOEXEC)
        handle = Handle(sock, request)
        socket.send_fds(sock, [json.dumps(answer).encode() + b"\n"], [fd])
        os.close(fd)
        self.handles.put(handle)
        handle.read()


def listed(name: str, **keys: Any) -> Json:
    """A buffer as a daemon lists it."""
    return {"name": name, "link": "host", "id": "00000000000000aa", "size": 1 << 20,
            "state": "ready",
            "owner": {"side": "guest", "uid": 1000, "gid": 1000, "program": "paint"},
            "properties": {}, "handles": 1, "notices": 0} | keys
