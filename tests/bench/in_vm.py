# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part "vm": one guest, in which all contenders are there all the time and take turns.

Ports, all of one virtio-serial device:  org.guestmux.0     with shared memory   (guestmux, bulk)
                                         org.guestmux.1     without any          (guestmux_inline)
                                         org.bench.raw.0/1  without a mux        (raw)

In the guest runs `load serve`, behind each of them. On the host `load` measures, with the host's
clock; for the socket pair, both run in the guest.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from figures import Figures, Goal
from image import ImageError
from measure import LOAD, BenchError, Measure, Round, Values, load, parse, rtt, take_turns
from qmp import QmpError
from sides import INLINE, SHARED, Guest, Host
from vm import Vm, VmError, find_accelerator

#: What a guest can fail with.
ERRORS = (ImageError, QmpError, VmError)

#: Contenders, and what each is.
NAMES = {
    "raw": "one program on a port of its own, no mux; loaded: the load is on another port",
    "socketpair": "both programs in the guest, with a unix socket pair between them",
    "guestmux_inline": "a channel, all through the port",
    "guestmux": "a channel, with two regions of 16 MiB as shared memory; notice: of a buffer",
    "guestmux_bulk": "pieces of 256 KiB in a buffer of 4 MiB, made and looked at in place; messages"
    " on a channel, one for 1 MiB",
    "guestmux_bulk_64k": "the same with pieces of 64 KiB",
}
#: Two tables: heading by metric.
TABLES = [
    {
        "rtt_p50_us": "RTT p50 µs",
        "rtt_p99_us": "p99 µs",
        "notice_rtt_p50_us": "notice p50 µs",
        "loaded_rtt_p50_us": "loaded p50 µs",
        "loaded_rtt_p99_us": "loaded p99 µs",
    },
    {
        "g2h_MBps": "g→h MB/s",
        "h2g_MBps": "h→g MB/s",
        "g2h_touched_MBps": "g→h touched",
        "h2g_touched_MBps": "h→g touched",
        "g2h_cpu_ms": "g→h cpu ms",
        "h2g_cpu_ms": "h→g cpu ms",
    },
]
#: What the headings mean.
NOTES = """\
RTT: a message of 64 bytes and its echo. notice: of a buffer, and the notice that answers it.
loaded: the same beside another channel that is busy in one direction; the worse direction counts.
MB/s: 64 MiB in writes of 64 KiB, in 10⁶ bytes. touched: the sender makes each byte, the receiver
looks at each; bulk is always so. cpu ms: how long the guest's processor worked for that,
which other programs of the host disturb less than the time."""
GOALS = [
    Goal("guestmux h→g / socketpair", ("guestmux", "h2g_MBps"), ("socketpair", "h2g_MBps"), 0.9),
    Goal("guestmux h→g / inline", ("guestmux", "h2g_MBps"), ("guestmux_inline", "h2g_MBps"), 1.3),
    Goal("bulk g→h / raw", ("guestmux_bulk", "g2h_MBps"), ("raw", "g2h_MBps"), 2),
    Goal("bulk h→g / raw", ("guestmux_bulk", "h2g_MBps"), ("raw", "h2g_MBps"), 2),
    Goal("notice / channel RTT", ("guestmux", "notice_rtt_p50_us"), ("guestmux", "rtt_p50_us"),
         at_most=1.2),
]  # fmt: skip

#: Bytes of a piece.
BULK = {"guestmux_bulk": 256 << 10, "guestmux_bulk_64k": 64 << 10}
RAW_PORTS = ("org.bench.raw.0", "org.bench.raw.1")
INLINE_PORT = "org.guestmux.1"
SERVED = "/run/bench.sock"
REGION_BYTES = 16 << 20


class Bench:
    """The guest and both daemons of each link. What begins here ends with the stack."""

    def __init__(self, stack: ExitStack, wanted: Sequence[str]) -> None:
        self.wanted = wanted
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guestmux-bench-")))
        self.regions = [self._region(folder, name) for name in ("out", "in")]
        extra = [word for region in self.regions for word in self._device(region)]
        self.vm = stack.enter_context(
            Vm(
                programs=[LOAD, *Guest.PROGRAMS], files=Guest.files(SERVED),
                extra=extra if self.shared else (),
            )
        )  # fmt: skip
        self.host = stack.enter_context(Host(folder))
        self.guest = Guest(self.vm)
        self._stack = stack
        self.raw = [self._raw_port(name) for name in RAW_PORTS]
        self.vm.spawn(f"load serve listen {SERVED}")
        self.vm.wait_until(f"test -S {SERVED}")
        self._start()

    @property
    def shared(self) -> bool:
        """Whether a link with shared memory is needed."""
        return not {"guestmux", *BULK}.isdisjoint(self.wanted)

    def _start(self) -> None:
        inline = self.vm.plug_port(INLINE_PORT)
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

    def _raw_port(self, name: str) -> socket.socket:
        """Connected first: nobody waits for a port whose other end is not there."""
        path = self.vm.plug_port(name)
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(str(path))
        names = "/sys/class/virtio-ports/*/name"
        self.vm.wait_until(f"grep -qx {name} {names}")
        device = f"/dev/$(basename $(dirname $(grep -lx {name} {names})))"
        self.vm.spawn(f"load serve device {device}")
        return sock

    # ---- connections ----

    def channel(self, link: str) -> socket.socket:
        """A channel that stays; each measurement on it finds the window that it has."""
        return self._stack.enter_context(self.host.open(f"{link}/bench"))

    def on_host(self, what: str, sockets: Sequence[socket.socket], *options: str) -> Values:
        try:
            return load(what, sockets, *options)
        except BenchError as error:
            raise BenchError(f"{error}\n{self.host.log_tail()}") from error

    def in_guest(self, what: str, *options: str) -> Values:
        """A socket pair. It has no direction, but two ends that are scheduled differently."""
        if what not in ("source", "sink"):
            return self._pair(what, *options)
        rates = [self._pair(one, *options)["MBps"] for one in ("source", "sink")]
        return {"MBps": 2 / sum(1 / rate for rate in rates), "runs": 4}  # each warms up

    def _pair(self, what: str, *options: str) -> Values:
        status, output = self.vm.run(f"load {' '.join(options)} {what} pair", timeout=60)
        if status != 0:
            raise BenchError(f"load {what} in the guest: {output}")
        return parse(output, what)

    def _cpu_ms(self) -> float:
        """How long the guest's processor has run: of QEMU's threads, the one that ran longest."""
        tasks = Path(f"/proc/{self.vm.pid}/task").glob("*/schedstat")
        return max(int(task.read_text().split()[0]) for task in tasks) / 1e6

    def memory(self) -> dict[str, Any]:
        """What each daemon says of the regions; `out` has from how many bytes on it is used."""
        if not self.shared:
            return {}
        return {"host": self.host.memory(SHARED), "guest": self.guest.memory()}

    # ---- what is measured ----

    def rounds(self) -> list[Round]:
        pairs = {"raw": self.raw}
        for name, link in (("guestmux_inline", INLINE), ("guestmux", SHARED)):
            if name in self.wanted:
                pairs[name] = [self.channel(link), self.channel(link)]
        firsts = {name: pair[:1] for name, pair in pairs.items()}
        return [
            Round("RTT", [*self._each(firsts, self._rtt), *self._only("guestmux", self._notices)]),
            *(self._throughput(firsts, what) for what in ("source", "sink")),
            Round("RTT beside a load", self._each(pairs, self._loaded)),
        ]

    def _each(
        self,
        connections: dict[str, list[socket.socket]],
        measure: Callable[[Callable[..., Values]], Values],
    ) -> list[Measure]:
        """Of those that are wanted, and of the socket pair. measure: what is found with a `load`."""
        found = []
        for name in self.wanted:
            if name in connections:
                on = connections[name]
                run: Callable[..., Values] = partial(self._on, on)
            elif name == "socketpair" and len(next(iter(connections.values()))) == 1:
                run = self.in_guest
            else:
                continue
            found.append(Measure(name, partial(measure, run)))
        return found

    def _on(self, sockets: list[socket.socket], what: str, *options: str) -> Values:
        return self.on_host(what, sockets, *options)

    def _only(self, name: str, run: Callable[[], Values]) -> list[Measure]:
        return [Measure(name, run)] if name in self.wanted else []

    def _rtt(self, run: Callable[..., Values]) -> Values:
        return rtt(run("rtt", "-n", "2000"))

    def _throughput(self, firsts: dict[str, list[socket.socket]], what: str) -> Round:
        direction = "g2h" if what == "source" else "h2g"

        def plain(run: Callable[..., Values]) -> Values:
            before = self._cpu_ms()
            values = run(what)
            cpu_ms = (self._cpu_ms() - before) / values.get("runs", 1)
            return {f"{direction}_MBps": values["MBps"], f"{direction}_cpu_ms": cpu_ms}

        def touched(run: Callable[..., Values]) -> Values:
            return {f"{direction}_touched_MBps": run(what, "-t")["MBps"]}

        def bulk(size: int) -> Values:
            with self.host.open(f"{SHARED}/bench") as channel:
                options = ["-k", str(self.host.socket), "-l", SHARED, "-w", str(size)]
                rate = self.on_host(f"bulk-{what}", [channel], *options)["MBps"]
            return {f"{direction}_MBps": rate, f"{direction}_touched_MBps": rate}

        measures = [*self._each(firsts, plain), *self._each(firsts, touched)]
        for name, size in BULK.items():
            measures += self._only(name, partial(bulk, size))
        return Round(f"throughput {direction}", measures)

    def _loaded(self, run: Callable[..., Values]) -> Values:
        """The worse of both directions counts."""
        found = [run(f"loaded-{what}", "-n", "500") for what in ("source", "sink")]
        values = rtt({name: max(one[name] for one in found) for name in found[0]}, "loaded_")
        for direction, one in zip(("g2h", "h2g"), found, strict=True):
            values[f"loaded_{direction}_rtt_p99_us"] = one["p99_us"]
            values[f"load_{direction}_MBps"] = one["load_MBps"]
        return values

    def _notices(self) -> Values:
        with self.host.open(f"{SHARED}/bench") as channel:
            options = ["-n", "2000", "-k", str(self.host.socket), "-l", SHARED]
            values = self.on_host("notices", [channel], *options)
        return rtt(values, "notice_")


def used(memory: dict[str, Any]) -> str:
    """From what size on shared memory was found to be faster; inline it is, where it was not."""
    words = []
    for side, direction in (("guest", "g→h"), ("host", "h→g")):
        out = memory.get(side, {}).get("out", {})
        size = out.get("from_bytes")
        how = f"from {size:,} bytes on" if size else f"NOT USED ({out.get('why', 'no region')})"
        words.append(f"{direction} {how}")
    return f"Shared memory of channels: {', '.join(words)}."


def run(
    wanted: Sequence[str], repetitions: int, say: Callable[[str], None]
) -> tuple[Figures, dict[str, Any]]:
    """What was measured, and about it."""
    accelerator = find_accelerator()
    say(f"a guest under {accelerator}, with {', '.join(wanted)}")
    with ExitStack() as stack:
        bench = Bench(stack, wanted)
        figures = take_turns(bench.rounds(), repetitions, say)
        memory = bench.memory()
        about = {
            "title": f"In a guest with one processor under {accelerator}",
            "notes": f"{NOTES}\n{used(memory)}" if memory else NOTES,
            "accelerator": accelerator,
            "guest_kernel": bench.vm.check("uname -r").strip(),
            "qemu": bench.vm.qmp("query-version")["package"],
            "memory": memory,
        }
    return figures, about
