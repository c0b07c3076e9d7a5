# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both daemons and a stand-in for QEMU, so that memory is shared on one machine."""

from __future__ import annotations

import array
import json
import mmap
import os
import socket
import struct
from pathlib import Path
from typing import Any

from daemon import Daemon, Json, dial, read_line, wait_until
from qemu import FakeQemu
from stack import VM, Stack, StackTest

MIB = 1 << 20
NOTIFY, SET = 1, 2  # from a program
NOTICE, PROPERTIES, GONE = 1, 2, 3  # to it


class BufferError(Exception):
    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']}: {error['text']}")
        self.code = error["code"]
        self.text = error["text"]


class Handle:
    """A program that has a buffer open. `memory` is mapped when asked for."""

    def __init__(self, daemon: Daemon, **request: object) -> None:
        self.fd = -1
        self._memory: mmap.mmap | None = None
        self.sock = dial(daemon.socket)
        self.sock.sendall(b"@buffer\n" + json.dumps(request).encode() + b"\n")
        if (line := read_line(self.sock)) != b"OK":
            raise AssertionError(line)

    def answer(self) -> Json:
        data, ancillary, _, _ = self.sock.recvmsg(1, socket.CMSG_SPACE(4))
        for _, _, rights in ancillary:
            self.fd = array.array("i", rights)[0]
        answer: Json = json.loads(data + read_line(self.sock))
        if not answer["ok"]:
            self.close()
            raise BufferError(answer["error"])
        self.shown: Json = answer["buffer"]
        return self.shown

    @property
    def memory(self) -> mmap.mmap:
        if not self._memory:
            access = mmap.ACCESS_WRITE if self.shown["writable"] else mmap.ACCESS_READ
            self._memory = mmap.mmap(self.fd, self.shown["size"], access=access)
        return self._memory

    def say(self, kind: int, payload: bytes) -> None:
        self.sock.sendall(struct.pack("<II", kind, len(payload)) + payload)

    def notify(self, offset: int, length: int) -> None:
        self.say(NOTIFY, struct.pack("<QQ", offset, length))

    def set(self, **properties: str | None) -> None:
        self.say(SET, json.dumps(properties).encode())

    def record(self) -> tuple[int, bytes]:
        head = self.sock.recv(8, socket.MSG_WAITALL)
        if len(head) < 8:
            raise EOFError("the handle was closed")
        kind, size = struct.unpack("<II", head)
        return kind, self.sock.recv(size, socket.MSG_WAITALL)

    def wait(self, kind: int) -> bytes:
        while (record := self.record())[0] != kind:
            pass
        return record[1]

    def gone(self) -> str:
        """Waits until it is told that the buffer is gone, and lets go."""
        text = self.wait(GONE).decode()
        self.close()
        return text

    def close(self) -> None:
        if self._memory:
            self._memory.close()
        self._memory = None
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self.sock.close()


class MemoryTest(StackTest):
    """stack: both daemons; qemu: what hostmux takes for QEMU. Regions are off unless asked for."""

    def memory_stack(self, *, start: bool = True, offload: bool = False, limits: Json | None = None,
                     config: Json | None = None, **keys: Any) -> Stack:
        self.qemu = FakeQemu(self.folder, **keys).start()
        self.addCleanup(self.qemu.stop)
        self.handles: list[Handle] = []
        stack = self.stack(start=False)
        stack.host.arguments = []
        vm = {"port": f"listen:{stack.port}", "qmp": f"unix:{self.qemu.path}", "offload": offload}
        self.configure(stack.host, vms={VM: vm}, **({"limits": limits} if limits else {}),
                       **(config or {}))
        self.configure(stack.guest, devices=str(self.qemu.devices_folder))
        self.addCleanup(self.close_handles)
        if start:
            stack.host.start()
            self.wait_qmp(stack)
            stack.guest.start()
            stack.wait_up()
        return stack

    @staticmethod
    def configure(daemon: Daemon, **keys: object) -> None:
        daemon.config.write_text(json.dumps(keys))

    def close_handles(self) -> None:
        for handle in self.handles:
            handle.close()

    def handle(self, daemon: Daemon, **request: object) -> Handle:
        handle = Handle(daemon, **request)
        self.handles.append(handle)
        return handle

    def create(self, daemon: Daemon, name: str = "clip", size: int = MIB, **keys: object) -> Handle:
        full = f"{VM}/{name}" if daemon.kind == "hostmux" else name
        handle = self.handle(daemon, create=full, size=size, **keys)
        handle.answer()
        return handle

    def open(self, daemon: Daemon, name: str = "clip", **keys: object) -> Handle:
        """Opens it, as soon as that side knows of it."""
        wait_until(lambda: self.buffers(daemon).get(name) == "ready", f"{name} is there")
        full = f"{VM}/{name}" if daemon.kind == "hostmux" else name
        handle = self.handle(daemon, open=full, **keys)
        handle.answer()
        return handle

    def assert_fails(self, code: str, daemon: Daemon, name: str = "clip", size: int = MIB,
                     **keys: object) -> str:
        with self.assertRaises(BufferError) as caught:
            self.create(daemon, name, size, **keys)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return str(caught.exception.text)

    # --- looking

    def wait_qmp(self, stack: Stack, state: str = "connected") -> None:
        wait_until(lambda: state in self.qmp_state(stack), f"QMP is {state}")

    @staticmethod
    def qmp_state(stack: Stack) -> str:
        return str(stack.host.link(VM)["memory"]["qmp"])

    @staticmethod
    def buffers(daemon: Daemon) -> dict[str, str]:
        """Names and states."""
        return {b["name"]: b["state"] for b in daemon.ask("buffers")["buffers"]}

    def wait_nothing_left(self, stack: Stack) -> None:
        """Neither daemon has a buffer, QEMU has nothing, and no node is there."""
        for daemon in stack.daemons:
            wait_until(lambda d=daemon: not self.buffers(d),  # type: ignore[misc]
                       f"{daemon.name} has no buffer, but {self.buffers(daemon)}")
        wait_until(lambda: not self.qemu.devices and not self.qemu.objects, "QEMU has nothing")
        self.assertEqual(self.qemu.sets, {})
        self.assertEqual(list(self.folder.glob("hostmux/*")), [])

    def node(self, name: str = "clip", vm: str = VM) -> Path:
        return self.folder / "hostmux" / vm / "shm" / name
