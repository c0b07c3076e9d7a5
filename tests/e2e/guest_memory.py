# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux's end of the channel @memory: the test is the host, and files stand for devices."""

from __future__ import annotations

import array
import json
import mmap
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from daemon import Daemon, Json, dial, read_line, wait_until
from rogue import Rogue
from stack import StackTest

MIB = 1 << 20
#: Maps a file, and nothing else: as a program that does not care that a buffer is gone.
KEEPER = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 0)
os.close(fd)
print("mapped", flush=True)
sys.stdin.read()
"""


class Device:
    """Of the host's: its memory, and the file in the guest's folder that stands for it."""

    def __init__(self, folder: Path, size: int = MIB) -> None:
        self.id = secrets.token_hex(8)
        self.mark = secrets.token_bytes(16)
        self.proof = secrets.token_bytes(16)
        self.size = size
        self.path = folder / self.id
        self.line: Json = {"device": self.id, "size": size, "mark": self.mark.hex(), "write": True}

    def plug(self) -> Device:
        with self.path.with_name(f".{self.id}").open("xb") as file:
            file.truncate(self.size)
            file.write(self.mark + self.proof)
        self.path.with_name(f".{self.id}").rename(self.path)
        return self

    def read(self, at: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(at)
            return file.read(size)


class App:
    """A program of the guest's with a buffer: its connection, and its memory if it was given."""

    def __init__(self, guest: Daemon, **request: object) -> None:
        self.sock = dial(guest.socket)
        self.sock.sendall(b"@buffer\n" + json.dumps(request).encode() + b"\n")
        assert read_line(self.sock) == b"OK"
        self.fd = -1

    def answer(self) -> Json:
        data, ancillary, _, _ = self.sock.recvmsg(1, socket.CMSG_SPACE(4))
        for _, _, rights in ancillary:
            self.fd = array.array("i", rights)[0]
        answer: Json = json.loads(data + read_line(self.sock))
        assert (self.fd >= 0) == answer["ok"], answer
        return answer

    def record(self) -> tuple[int, bytes]:
        head = self.sock.recv(8, socket.MSG_WAITALL)
        size = int.from_bytes(head[4:], "little")
        return int.from_bytes(head[:4], "little"), self.sock.recv(size, socket.MSG_WAITALL)

    def gone(self) -> str:
        while (record := self.record())[0] != 3:
            pass
        return record[1].decode()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self.sock.close()


class MemoryTest(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.devices = self.folder / "devices"
        self.devices.mkdir()
        self.guest = self.daemon("guestmux", ["--port", f"unix:{self.folder}/test-port"])
        self.guest.config.write_text(json.dumps({"devices": str(self.devices)}))
        self.start_host()
        self.guest.start()
        self.host.says("up", "open @memory")

    def start_host(self, *arguments: str) -> None:
        port = self.folder / "test-port"
        port.unlink(missing_ok=True)
        self.host = Rogue(self.folder, "host", f"listen:{port}", *arguments, "--only", "@memory")
        self.addCleanup(self.host.close)
        self.looked = 0
        wait_until(port.exists, "it listens")

    def new_session(self) -> None:
        self.host.close()
        wait_until(lambda: not self.guest.is_up(), "the session is over")
        self.start_host()
        self.host.says("up", "open @memory")

    def device(self, size: int = MIB) -> Device:
        return Device(self.devices, size)

    def hear(self) -> Json:
        """The next line that guestmux says."""
        def line() -> bytes:
            lines = self.host.out.read_bytes().splitlines(keepends=True)
            there = len(lines) > self.looked and lines[self.looked].endswith(b"\n")
            return lines[self.looked] if there else b""

        said = wait_until(line, f"it says more; {self.host.log.read_text()} {self.guest.log()}")
        self.looked += 1
        return dict(json.loads(said))

    def prove(self, device: Device) -> Device:
        self.host.say(device.line)
        said = self.hear()
        self.assertEqual(said["device"], device.id)
        self.assertEqual(said.get("proof"), device.proof.hex(), said)
        if device.line["write"]:
            self.assertEqual(device.read(32, 16).hex(), said["wrote"])
        else:
            self.assertNotIn("wrote", said)
            self.assertEqual(device.read(32, 16), bytes(16))
        return device

    def app(self, **request: object) -> App:
        app = App(self.guest, **request)
        self.addCleanup(app.close)
        return app

    def create(self, name: str, **keys: object) -> tuple[App, Device]:
        """A program makes a buffer, and has it."""
        app = self.app(create=name, size=MIB, **keys)
        asked = self.hear()
        self.assertEqual(asked["create"], name)
        device = self.prove(self.device().plug())
        self.host.say({"buffer": name, "device": device.id, "size": MIB, "owner": "guest",
                       "request": asked["request"], "properties": keys.get("properties", {})})
        self.assertTrue(app.answer()["ok"])
        return app, device

    def offer(self, name: str, owner: str = "host", **keys: object) -> Device:
        """The host makes one."""
        device = self.prove(self.device().plug())
        self.host.say({"buffer": name, "device": device.id, "size": MIB, "owner": owner, **keys})
        return device

    def buffers(self) -> dict[str, Json]:
        return {one["name"]: one for one in self.guest.ask("buffers")["buffers"]}

    def wait_buffers(self, **states: str) -> None:
        wait_until(lambda: {n: b["state"] for n, b in self.buffers().items()} == states,
                   f"{states}, but: {self.buffers()}")

    def keeper(self, device: Device) -> subprocess.Popen[bytes]:
        """A process that has it mapped."""
        process = subprocess.Popen([sys.executable, "-c", KEEPER, str(device.path)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin and process.stdout
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"mapped\n")
        return process

    def check_alive(self, sessions: int = 1) -> None:
        link = self.guest.link()
        self.assertEqual((link["state"], link["sessions"]), ("up", sessions))
