# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host's end of the channel @memory, played by a test, and real devices for it.

    with guest_vm() as vm:
        Guest(vm).start()
        with MemoryHost(vm) as host:
            device = Device(vm.folder).plug(vm)
            host.say(device.line)
            print(host.hear())
"""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from machine import die_with_parent
from stack import BIN, wait_for
from vm import Vm

MIB = 1 << 20
PATIENCE_S = 20.0


class Device:
    """An ivshmem-plain, whose memory is a file on the host."""

    def __init__(self, folder: Path, size: int = MIB, *, write: bool = True) -> None:
        self.id = secrets.token_hex(8)
        self.name = f"guestmux-{self.id}"
        self.size = size
        self.write = write
        self.path = folder / self.name
        self.proof = secrets.token_bytes(16)
        mark = secrets.token_bytes(16)
        with self.path.open("xb") as file:
            file.truncate(size)
            file.write(mark + self.proof)
        self.line: dict[str, Any] = {
            "device": self.id, "size": size, "mark": mark.hex(), "write": write,
        }  # fmt: skip

    def plug(self, vm: Vm, bus: str = "") -> Device:
        backend = {"qom-type": "memory-backend-file", "id": f"{self.name}-memory",
                   "mem-path": str(self.path), "size": self.size, "share": True,
                   "readonly": not self.write}  # fmt: skip
        vm.qmp("object-add", **backend)
        vm.qmp("device_add", driver="ivshmem-plain", id=self.name, memdev=f"{self.name}-memory",
               **({"bus": bus} if bus else {}))  # fmt: skip
        return self

    @property
    def words(self) -> list[str]:
        """Arguments for a QEMU that has it from its start."""
        readonly = "off" if self.write else "on"
        return ["-object", f"memory-backend-file,id={self.name}-memory,mem-path={self.path},"
                f"size={self.size},share=on,readonly={readonly}",
                "-device", f"ivshmem-plain,memdev={self.name}-memory"]  # fmt: skip

    def unplug(self, vm: Vm) -> None:
        vm.qmp("device_del", id=self.name)
        vm.wait_event("DEVICE_DELETED", PATIENCE_S, device=self.name)
        vm.qmp("object-del", id=f"{self.name}-memory")

    def read(self, at: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(at)
            return file.read(size)

    def memory_in(self, vm: Vm) -> str:
        """Where the only device's is in the guest."""
        vm.wait_until(f"grep -lx 0x1110 {DEVICES}/*/device")
        found = vm.check(f"for d in {DEVICES}/*; do test $(cat $d/device) = 0x1110 && "
                         "readlink -f $d/resource2; done; true").split()  # fmt: skip
        assert len(found) == 1, found
        return found[0]


DEVICES = "/sys/bus/pci/devices"


class MemoryHost:
    """The port's end on the host: it speaks the protocol, and what the test says."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self._out: Path = vm.folder / f"rogue-{secrets.token_hex(4)}.out"
        self._log = self._out.with_suffix(".log")
        self._looked = 0

    def __enter__(self) -> MemoryHost:
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(
                [BIN / "rogue", "host", f"unix:{self._vm.port_path}", "--only", "@memory"],
                stdin=subprocess.PIPE, stdout=out, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        wait_for(lambda: "open @memory" in self._log.read_text(), PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin
        self._process.stdin.close()

    def say(self, *lines: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line that guestmux says."""
        wait_for(lambda: self._out.read_bytes().count(b"\n") > self._looked, PATIENCE_S)
        line = self._out.read_bytes().splitlines()[self._looked]
        self._looked += 1
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, **line: Any) -> dict[str, Any]:
        self.say(line)
        return self.hear()
