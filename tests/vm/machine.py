# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU with one virtio-serial port, seen from the host: process, ports, snapshots.

A Machine owns its QEMU process and a temporary folder. The process ends with the Machine, and by
PR_SET_PDEATHSIG with the thread that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands import CommandLine
from qmp import Qmp, QmpError

QEMU = "qemu-system-x86_64"
PORT_NAME = "org.guestmux.0"

# Messages would only slow the boot down. The crypto self-tests take an eighth of it, and under TCG
# on a busy host the kernel can take its timer for broken. TCG translates code for each address that
# it runs at: were these random, a program would start four times as slowly, and after 300 programs
# TCG's memory would be full, and the guest stand still for half a second.
KERNEL_ARGUMENTS = (
    "console=ttyS0,115200 quiet loglevel=1 cryptomgr.notests no_timer_check norandmaps"
)

# Without RDRAND the first getrandom() in the guest waits a second for the kernel's own noise.
TCG_CPU = "qemu64,+rdrand"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class VmError(Exception):
    """The guest did not start, or did not do what was asked."""


class Machine:
    """Paths on the host: folder, port_path (the port's socket), qmp_path (a second QMP).

    port: whether the port is there from the start.
    machine: "pc" or "q35"; on q35, root_ports pcie-root-ports rp0, rp1, … each take a device of any
    size while the guest runs.
    connect_to: QEMU connects the port to this listening socket, and does so again each second;
    otherwise the port listens at port_path.
    extra: more arguments for QEMU; arguments: more for the kernel.
    """

    def __init__(
        self,
        *,
        machine: str = "pc",
        memory_mb: int = 512,
        port: bool = True,
        port_name: str = PORT_NAME,
        connect_to: Path | None = None,
        root_ports: int = 0,
        extra: Sequence[str] = (),
        arguments: str = "",
    ) -> None:
        self._machine = machine
        self._memory_mb = memory_mb
        self._port = port
        self._port_name = port_name
        self._connect_to = connect_to
        self._root_ports = root_ports
        self._extra = extra
        self._arguments = arguments
        self._has_store = False
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._commands: CommandLine | None = None

    # ---- life ----

    def _make_folder(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="guestmux-vm-"))
        self.port_path = self._connect_to or self.folder / "port.sock"
        self.qmp_path = self.folder / "qmp.sock"
        self.console_path = self.folder / "console.sock"
        self.console_log = self.folder / "console.log"

    def _start(self, vmlinuz: Path, initramfs: bytes, accelerator: str) -> None:
        (self.folder / "initramfs").write_bytes(initramfs)
        # Both ends exist before QEMU does, so nothing has to be polled for.
        qmp, qemus_qmp = socket.socketpair()
        commands, qemus_commands = socket.socketpair()
        self._commands = CommandLine(commands)
        with qemus_qmp, qemus_commands, (self.folder / "qemu.log").open("wb") as log:
            fds = (qemus_qmp.fileno(), qemus_commands.fileno())
            self._process = subprocess.Popen(
                self._command(vmlinuz, accelerator, *fds),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=fds,
                preexec_fn=die_with_parent,
            )
        try:
            self._qmp = Qmp(qmp)
        except QmpError as error:
            qmp.close()
            raise VmError(f"QEMU did not start\n{self.logs()}") from error

    def _end(self, keep_folder: bool) -> None:
        if self._qmp:
            self._qmp.close()
        if self._commands:
            self._commands.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        if keep_folder:
            print(f"# the guest's logs are in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, vmlinuz: Path, accelerator: str, qmp: int, commands: int) -> list[str]:
        listen = "server=on,wait=off"
        words = f"""
            -nodefaults -no-user-config -display none -name guestmux-test
            -accel {accelerator} -machine {self._machine} -smp 1 -m {self._memory_mb}
            -initrd {self.folder}/initramfs
            -chardev socket,id=qmp,fd={qmp} -mon chardev=qmp,mode=control
            -chardev socket,id=qmp2,path={self.qmp_path},{listen} -mon chardev=qmp2,mode=control
            -chardev socket,id=console,path={self.console_path},{listen},logfile={self.console_log}
            -serial chardev:console
            -chardev socket,id=commands,fd={commands} -serial chardev:commands
            -device virtio-serial-pci,id=mux
        """.split()
        if self._port:
            port = f"path={self.port_path}," + ("reconnect=1" if self._connect_to else listen)
            words += ["-chardev", f"socket,id={_id(self._port_name)},{port}"]
            words += ["-device", _port_device(self._port_name)]
        words += ["-cpu", "host" if accelerator == "kvm" else TCG_CPU]
        for n in range(self._root_ports):
            root_port = f"pcie-root-port,id=rp{n},chassis={n + 1},slot={n + 1},pref64-reserve=4G"
            words += ["-device", root_port]
        kernel_arguments = f"{KERNEL_ARGUMENTS} {self._arguments}"
        words += ["-kernel", str(vmlinuz), "-append", kernel_arguments]
        return [QEMU, *words, *self._extra]

    @property
    def pid(self) -> int:
        """QEMU's process."""
        assert self._process
        return self._process.pid

    def logs(self) -> str:
        """The tails of the console and of what QEMU said, for an error message."""
        text = ""
        for name in ("console.log", "qemu.log"):
            path = self.folder / name
            tail = path.read_text(errors="replace").splitlines()[-30:] if path.exists() else []
            text += "".join(f"{name}: {line}\n" for line in tail)
        return text

    # ---- QMP ----

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Give QEMU a command; arguments whose names have hyphens: **{"qom-type": …}."""
        assert self._qmp
        return self._qmp.execute(command, **arguments)

    def wait_event(self, name: str, timeout: float = 10.0, **data: Any) -> dict[str, Any]:
        """Take QEMU's next event of this name that has these data."""
        assert self._qmp
        return self._qmp.wait_event(name, timeout, lambda d: data.items() <= d.items())

    # ---- snapshots ----

    def snapshot(self, name: str = "snapshot") -> None:
        """Keep the machine's whole state under a name, instead of what was kept under it before.

        It runs on afterwards, and its sockets stay connected.
        """
        if not self._has_store:
            self._add_store()
        self._job("snapshot-delete", tag=name, devices=["store"])
        self._job("snapshot-save", tag=name, vmstate="store", devices=["store"])

    def restore(self, name: str = "snapshot") -> None:
        """Go back to a snapshot. The sockets stay connected, and know nothing of it."""
        self._job("snapshot-load", tag=name, vmstate="store", devices=["store"])

    def _add_store(self) -> None:
        """Make a disk for snapshots, which no device of the guest stands for."""
        path = self.folder / "store.qcow2"
        path.touch()
        self.qmp("blockdev-add", driver="file", filename=str(path), **{"node-name": "store-file"})
        self._job("blockdev-create", options={"driver": "qcow2", "file": "store-file", "size": 0})
        self.qmp("blockdev-add", driver="qcow2", file="store-file", **{"node-name": "store"})
        self._has_store = True

    def _job(self, command: str, **arguments: Any) -> None:
        """Give a command that QEMU answers before it is done, and wait for its end."""
        self.qmp(command, **{"job-id": "job"}, **arguments)
        self.wait_event("JOB_STATUS_CHANGE", timeout=60, id="job", status="concluded")
        error = self.qmp("query-jobs")[0].get("error")
        self.qmp("job-dismiss", id="job")
        if error:
            raise VmError(f"{command}: {error}")

    # ---- ports ----

    def connect_port(self) -> socket.socket:
        """Be the host's end of the first port, for as long as the socket is open."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.port_path))
        return sock

    def plug_port(
        self, name: str = PORT_NAME, path: Path | None = None, *, own_device: bool = False
    ) -> Path:
        """Add a port that listens at path (by default in folder), and return the path.

        own_device: it gets a virtio-serial device for itself. The ports of one share an interrupt,
        which wakes up whoever waits for any of them.
        """
        path = path or self.folder / f"{name}.sock"
        bus = f"serial-{name}" if own_device else "mux"
        if own_device:
            self.qmp("device_add", driver="virtio-serial-pci", id=bus, max_ports=2)
        address = {"type": "unix", "data": {"path": str(path)}}
        backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
        self.qmp("chardev-add", id=_id(name), backend=backend)
        self.qmp(
            "device_add", driver="virtserialport", bus=f"{bus}.0", id=f"{_id(name)}-dev",
            chardev=_id(name), name=name,
        )  # fmt: skip
        return path

    def unplug_port(self, name: str = PORT_NAME) -> None:
        """Take a port away, the first or one that was plugged, with its socket."""
        self.qmp("device_del", id=f"{_id(name)}-dev")
        self.wait_event("DEVICE_DELETED", device=f"{_id(name)}-dev")
        self.qmp("chardev-remove", id=_id(name))


def _id(port_name: str) -> str:
    """QEMU's id of a port's chardev; its device's has -dev behind it."""
    return f"port-{port_name}"


def _port_device(name: str) -> str:
    return f"virtserialport,bus=mux.0,id={_id(name)}-dev,chardev={_id(name)},name={name}"


def die_with_parent() -> None:
    """For preexec_fn: no process of ours outlives the thread that started it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
