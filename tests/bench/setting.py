# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the part "vm" measures in: one guest, both daemons of each link, and the peers.

Ports:  org.guestmux.0   with shared memory   (guestmux, bulk)
        org.guestmux.1   without any          (guestmux_inline)
        org.bench.…      the peers' own

Each is the only one of its virtio-serial device, or an interrupt of one would wake up the others'
programs, too.

In the guest runs `load serve`, behind each of them.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from measure import BenchError, Values, load, parse, run_load
from peers import Contender, Peers
from sides import INLINE, SHARED, Guest, Host
from vm import Vm

INLINE_PORT = "org.guestmux.1"
SERVED = "/run/bench.sock"
REGION_BYTES = 16 << 20
#: Contenders that are a channel of a link.
LINKS = {"guestmux_inline": INLINE, "guestmux": SHARED}


class Setting:
    """What begins here ends with the stack."""

    def __init__(self, stack: ExitStack, wanted: Sequence[str]) -> None:
        self.wanted = wanted
        self._stack = stack
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guestmux-bench-")))
        self._folder = folder
        self.regions = [self._region(folder, name) for name in ("out", "in")]
        extra = [word for region in self.regions for word in self._device(region)]
        self.vm = stack.enter_context(
            Vm(
                programs=[*Peers.PROGRAMS, *Guest.PROGRAMS], files=Guest.files(SERVED),
                extra=extra if self.shared else (),
            )
        )  # fmt: skip
        self.host = stack.enter_context(Host(folder))
        self.guest = Guest(self.vm)
        self.peers = Peers(self.vm, stack, folder, SERVED)
        self.vm.spawn(f"load serve listen {SERVED}")
        self.vm.wait_until(f"test -S {SERVED}")
        self._start_daemons()
        self.contenders = self._make_contenders()

    @property
    def shared(self) -> bool:
        """Whether a link with shared memory is needed."""
        return any(name == "guestmux" or name.startswith("guestmux_bulk") for name in self.wanted)

    # ---- its beginning ----

    @staticmethod
    def _region(folder: Path, name: str) -> Path:
        path = folder / name
        with path.open("wb") as file:
            file.truncate(REGION_BYTES)
        return path

    @staticmethod
    def _device(region: Path) -> list[str]:
        read_only = ",readonly=on" if region.name == "out" else ""
        memory = f"memory-backend-file,id=region-{region.name},size={REGION_BYTES},share=on"
        return ["-object", f"{memory},mem-path={region}{read_only}",
                "-device", f"ivshmem-plain,memdev=region-{region.name}"]  # fmt: skip

    def _start_daemons(self) -> None:
        inline = self.vm.plug_port(INLINE_PORT, own_device=True)
        self.vm.wait_until(f"grep -qx {INLINE_PORT} /sys/class/virtio-ports/*/name")
        vms = {INLINE: f"unix:{inline}"}
        if self.shared:
            out, in_ = self.regions
            vms[SHARED] = (
                f"unix:{self.vm.port_path},qmp=unix:{self.vm.qmp_path},shm-out={out},shm-in={in_}"
            )
            self.guest.start(SHARED)
        self.guest.start(INLINE, INLINE_PORT)
        self.host.start(vms)
        self.host.wait_up(INLINE)
        if self.shared:
            self.host.wait_up(SHARED)
            self.host.wait_shared(SHARED)
            self.guest.wait_measured()

    def _make_contenders(self) -> dict[str, Contender]:
        make: dict[str, Callable[[], Contender]] = {
            "raw": self.peers.raw,
            "socat": partial(self.peers.socat, "socat"),
            "socat_64k": partial(self.peers.socat, "socat_64k", "-b", "65536"),
            "yamux": partial(self.peers.yamux, "yamux"),
            "yamux_1M": partial(self.peers.yamux, "yamux_1M", "-w", str(1 << 20)),
            **{name: partial(self._channels, link) for name, link in LINKS.items()},
        }
        return {name: make[name]() for name in self.wanted if name in make}

    def commands(self) -> dict[str, dict[str, list[str]]]:
        """What was run for each contender, without the names of temporary folders."""

        def short(command: str) -> str:
            for folder in (self._folder, self.vm.folder):
                command = command.replace(f"{folder}/", "")
            return command

        return {
            name: {side: [short(one) for one in found] for side, found in made.commands.items()}
            for name, made in self.contenders.items()
        }

    def _channels(self, link: str) -> Contender:
        """Channels that stay: each measurement on one finds the window that it has."""
        found = [self._stack.enter_context(self.open(link)) for _ in range(2)]
        commands = {"host": [self.host.command], "guest": [self.guest.commands[link]]}
        return Contender(found, self.host.socket, f"{link}/bench", commands)

    # ---- using it ----

    def open(self, link: str) -> socket.socket:
        return self.host.open(f"{link}/bench")

    def on_host(self, what: str, sockets: Sequence[socket.socket], *options: str) -> Values:
        """`load` on the host, with connections to the guest."""
        return self._explained(lambda: load(what, sockets, *options))

    def opens(self, contender: Contender, *options: str) -> Values:
        """`load opens` on the host."""
        assert contender.opens_at
        name = ["-p", contender.opens_name] if contender.opens_name else []
        arguments = [*options, *name, "opens", contender.opens_at]
        return self._explained(lambda: run_load(arguments))

    def _explained(self, run: Callable[[], Values]) -> Values:
        try:
            return run()
        except BenchError as error:
            tails = f"{self.host.log_tail()}\n{self.peers.log_tail()}"
            raise BenchError(f"{error}\n{tails}") from error

    def in_guest(self, what: str, *arguments: str) -> Values:
        """`load` in the guest, with nothing outside it."""
        status, output = self.vm.run(f"load {' '.join(arguments)}", timeout=60)
        if status != 0:
            raise BenchError(f"load {what} in the guest: {output}")
        return parse(output, what)

    def cpu_ms(self) -> float:
        """How long the guest's processor has run: of QEMU's threads, the one that ran longest."""
        tasks = Path(f"/proc/{self.vm.pid}/task").glob("*/schedstat")
        return max(int(task.read_text().split()[0]) for task in tasks) / 1e6

    def memory(self) -> dict[str, Any]:
        """What each daemon says of the regions; `out` has from how many bytes on it is used."""
        if not self.shared:
            return {}
        return {"host": self.host.memory(SHARED), "guest": self.guest.memory()}
