# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for QEMU: its QMP, and a folder in which each device's memory is a file for guestmux.

It takes the commands that hostmux gives, keeps the rules that QEMU 7.2 was seen to keep, and goes
wrong on demand: `faults[COMMAND]` is one of the functions below, or of a test's own.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "fake"},
                    "capabilities": ["oob"]}}


class QmpRefusal(Exception):
    def __init__(self, text: str, kind: str = "GenericError") -> None:
        super().__init__(text)
        self.kind = kind


class Silence(Exception):
    """No answer."""


Fault = Callable[["FakeQemu", Json], None]


def refuse(_: FakeQemu, __: Json) -> None:
    raise QmpRefusal("it is refused, as the test wants")


def no_answer(_: FakeQemu, __: Json) -> None:
    raise Silence


def garbage(qemu: FakeQemu, _: Json) -> None:
    qemu.say_raw(b"\x00\xff{not QMP}\r\n")
    raise Silence


def endless(qemu: FakeQemu, _: Json) -> None:
    with contextlib.suppress(OSError):
        for _n in range(40):
            qemu.say_raw(b'{"return": "' + b"x" * 65536 if _n == 0 else b"x" * 65536)
    raise Silence


def hang_up(qemu: FakeQemu, _: Json) -> None:
    qemu.hang_up()
    raise Silence


class FakeQemu:
    """root_ports: None for a machine of the kind "pc"; otherwise the name and window of each."""

    def __init__(self, folder: Path, *, root_ports: dict[str, int] | None = None,
                 slots: int = 28) -> None:
        self.path = folder / "test-qmp"
        self.devices_folder = folder / "devices"
        self.devices_folder.mkdir(exist_ok=True)
        self.root_ports = root_ports
        self.slots = slots
        self.faults: dict[str, Fault] = {}
        self.lets_go = True  # the guest acknowledges an unplug
        self.said: list[Json] = []  # what hostmux said
        self.objects: dict[str, Json] = {}
        self.devices: dict[str, Json] = {}
        self.sets: dict[int, int] = {}
        self.connections = 0
        self.lock = threading.RLock()
        self.client: socket.socket | None = None
        self.listener: socket.socket | None = None
        self.thread: threading.Thread | None = None
        self.closing = False

    # --- its life

    def start(self) -> FakeQemu:
        self.closing = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._serve, args=(self.listener,))
        self.thread.start()
        return self

    def stop(self) -> None:
        """As when the process ends: all that it had is gone."""
        self.closing = True
        if self.listener:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        if self.thread:
            self.thread.join()
        if self.listener:
            self.listener.close()
            self.path.unlink()
        self.thread = self.listener = None
        with self.lock:
            for device in list(self.devices):
                self._forget(device)
            for fd in [o["fd"] for o in self.objects.values()] + list(self.sets.values()):
                os.close(fd)
            self.objects.clear()
            self.sets.clear()

    def hang_up(self) -> None:
        with self.lock:
            if self.client:
                with contextlib.suppress(OSError):
                    self.client.shutdown(socket.SHUT_RDWR)

    def _serve(self, listener: socket.socket) -> None:
        while not self.closing:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                with self.lock:
                    self.client = client
                    self.connections += 1
                with contextlib.suppress(OSError):
                    self._talk(client)
                with self.lock:
                    self.client = None
                    for fd in self.sets.values():  # as QEMU does when its monitor is left
                        os.close(fd)
                    self.sets.clear()

    # --- talking

    def say_raw(self, data: bytes) -> None:
        with self.lock:
            client = self.client
        if client:
            client.sendall(data)

    def say(self, message: Json) -> None:
        with contextlib.suppress(OSError):
            self.say_raw(json.dumps(message).encode() + b"\r\n")

    def event(self, name: str, **data: object) -> None:
        self.say({"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}})

    def _talk(self, client: socket.socket) -> None:
        buffer = b""
        fds: list[int] = []
        try:
            if "greeting" in self.faults:
                self.faults["greeting"](self, {})
            else:
                self.say(GREETING)
        except Silence:
            pass
        while True:
            data, ancillary, _, _ = client.recvmsg(65536, 4096)
            for level, kind, body in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    received = array.array("i")
                    received.frombytes(body[:len(body) - len(body) % received.itemsize])
                    fds += received
            if not data:
                for fd in fds:
                    os.close(fd)
                return
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                self._take(json.loads(line), fds)

    def _take(self, request: Json, fds: list[int]) -> None:
        command, arguments = request["execute"], request.get("arguments", {})
        with self.lock:
            self.said.append(request)
        answer: Json = {"id": request["id"]} if "id" in request else {}
        try:
            if command in self.faults:
                self.faults[command](self, arguments)
            with self.lock:
                answer["return"] = self._do(command, arguments, fds)
        except Silence:
            self._drop(fds)
            return
        except QmpRefusal as refusal:
            self._drop(fds)
            answer["error"] = {"class": refusal.kind, "desc": str(refusal)}
        self.say(answer)
        if command == "device_del" and "return" in answer and self.lets_go:
            self.let_go(arguments["id"])

    @staticmethod
    def _drop(fds: list[int]) -> None:
        while fds:
            os.close(fds.pop())

    def commands(self) -> list[str]:
        with self.lock:
            return [request["execute"] for request in self.said]

    # --- what it does

    def _do(self, command: str, arguments: Json, fds: list[int]) -> Any:
        method = getattr(self, "_do_" + command.replace("-", "_"), None)
        if not method:
            raise QmpRefusal(f"The command {command} has not been found", "CommandNotFound")
        return method(fds) if command == "add-fd" else method(**{
            key.replace("-", "_"): value for key, value in arguments.items()})

    def _do_qmp_capabilities(self) -> Json:
        return {}

    def _do_add_fd(self, fds: list[int]) -> Json:
        if not fds:
            raise QmpRefusal("No file descriptor supplied via SCM_RIGHTS")
        number = len(self.sets)
        while number in self.sets:
            number += 1
        self.sets[number] = fds.pop(0)
        return {"fd": self.sets[number], "fdset-id": number}

    def _do_remove_fd(self, fdset_id: int, fd: int) -> Json:
        if self.sets.get(fdset_id) != fd:
            raise QmpRefusal("File descriptor named 'fd' not found")
        os.close(self.sets.pop(fdset_id))
        return {}

    def _do_object_add(self, qom_type: str, id: str, mem_path: str, size: int, share: bool,
                       readonly: bool = False) -> Json:
        assert qom_type == "memory-backend-file" and share
        assert size >= 1 << 20 and size & (size - 1) == 0, "QEMU would have aborted"
        if id in self.objects:
            raise QmpRefusal(f"attempt to add duplicate property '{id}' to object")
        try:
            fd = os.open(mem_path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)
        except OSError as error:
            raise QmpRefusal(f"can't open backing store {mem_path}: {error.strerror}") from error
        if os.fstat(fd).st_size != size:
            os.close(fd)
            raise QmpRefusal("backing store size does not match 'size' option")
        self.objects[id] = {"fd": fd, "size": size, "readonly": readonly}
        return {}

    def _do_object_del(self, id: str) -> Json:
        if id not in self.objects:
            raise QmpRefusal(f"object '{id}' not found")
        if any(device["memdev"] == id for device in self.devices.values()):
            raise QmpRefusal(f"object '{id}' is in use, can not be deleted")
        os.close(self.objects.pop(id)["fd"])
        return {}

    def _do_device_add(self, driver: str, id: str, memdev: str, bus: str = "") -> Json:
        assert driver == "ivshmem-plain"
        if id in self.devices:
            raise QmpRefusal(f"Duplicate device ID '{id}'")
        if memdev not in self.objects:
            raise QmpRefusal(f"Device '{memdev}' not found", "DeviceNotFound")
        address = self._address(bus)
        self.devices[id] = {"memdev": memdev, "bus": bus, "address": address}
        self._show(id)
        return {}

    def _address(self, bus: str) -> str:
        taken = {device["address"] for device in self.devices.values()}
        if self.root_ports is not None:
            if bus not in self.root_ports:
                raise QmpRefusal("Bus 'pcie.0' does not support hotplugging")
            number = list(self.root_ports).index(bus) + 1
            assert f"0000:{number:02x}:00.0" not in taken, "the guest would not see it"
            return f"0000:{number:02x}:00.0"
        assert not bus
        for slot in range(3, 3 + self.slots):
            if f"0000:00:{slot:02x}.0" not in taken:
                return f"0000:00:{slot:02x}.0"
        raise QmpRefusal("PCI: no slot/function available for ivshmem-plain, all in use")

    def _show(self, id: str) -> None:
        """The guest sees it: where its memory is too large for the window, it does not."""
        device = self.devices[id]
        memory = self.objects[device["memdev"]]
        if self.root_ports is not None and memory["size"] > self.root_ports[device["bus"]]:
            return
        (self.devices_folder / device["address"]).symlink_to(
            f"/proc/{os.getpid()}/fd/{memory['fd']}")

    def _forget(self, id: str) -> None:
        device = self.devices.pop(id)
        (self.devices_folder / device["address"]).unlink(missing_ok=True)

    def _do_device_del(self, id: str) -> Json:
        if id not in self.devices:
            raise QmpRefusal(f"Device '{id}' not found", "DeviceNotFound")
        return {}

    def let_go(self, id: str) -> None:
        with self.lock:
            if id not in self.devices:
                return
            self._forget(id)
        self.event("DEVICE_DELETED", device=id, path=f"/machine/peripheral/{id}")

    def _do_qom_list(self, path: str) -> list[Json]:
        names = self.objects if path == "/objects" else self.devices
        return [{"name": "type", "type": "string"}] + [
            {"name": name, "type": "child<thing>"} for name in names]

    def _do_query_pci(self) -> list[Json]:
        if self.root_ports is None:
            return [{"bus": 0, "devices": [self._device(d) for d in self.devices]}]
        ports = []
        for number, (name, window) in enumerate(self.root_ports.items(), 1):
            behind = [self._device(d) for d, at in self.devices.items() if at["bus"] == name]
            ranges = {"prefetchable_range": {"base": 1 << 32, "limit": (1 << 32) + window - 1}}
            ports.append({"bus": 0, "slot": number + 1, "function": 0, "qdev_id": name,
                          "id": {"vendor": 0x1b36, "device": 0x000c}, "regions": [],
                          "class_info": {"class": 1540, "desc": "PCI bridge"},
                          "pci_bridge": {"bus": {"number": 0, "secondary": number, **ranges},
                                         "devices": behind}})
        return [{"bus": 0, "devices": ports}]

    def _device(self, id: str) -> Json:
        bus, slot = (int(part, 16) for part in self.devices[id]["address"][5:10].split(":"))
        return {"bus": bus, "slot": slot, "function": 0, "qdev_id": id, "regions": [],
                "id": {"vendor": 0x1af4, "device": 0x1110},
                "class_info": {"class": 1280, "desc": "RAM controller"}}
