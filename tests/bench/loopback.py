# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part "loopback": both daemons on one machine, with a unix socket as the port.

All contenders are there all the time and take turns. Behind each of them is the same `load serve`,
and directions mean what they do in the part "vm": the client is on the host's side (h), the server
on the guest's (g). local_peers.py has what is between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from figures import Figures, Goal
from local_peers import PROGRAMS, START, Peer
from measure import (
    LOAD, BenchError, Measure, Round, Values, load, rtt, run_load, take_turns, worse_rtt,
)  # fmt: skip
from programs import Program
from table import shown

#: Programs of tests/parts/fetch that are not there.
ERRORS = (SkipTest,)

#: Contenders, and what each is.
NAMES = {
    "socketpair": "client and server on a socket pair, and nothing between them",
    "direct": "the client connected to the server's socket, and nothing between them",
    "guestmux": "both daemons, a channel",
    "socat": "two socats, as they come; two processes more for each connection",
    "socat_64k": "the same with a buffer of 64 KiB instead of 8",
    "yamux": "a relay of our own over hashicorp's yamux on both ends, in Go; one port for all",
    "yamux_1M": "the same with windows of 1 MiB instead of yamux's own 256 KiB",
    "ssh": "OpenSSH with a forwarded socket, sshd as its proxy command; encrypts, too",
}
#: Metrics that the JSON file has for each contender, null where there is none …
METRICS = ("rtt_p50_us", "rtt_p99_us", "g2h_MBps", "h2g_MBps", "loaded_rtt_p99_us", "opens_per_s")
#: … and why there is none.
MISSING = {"socketpair": "loaded_rtt, opens_per_s: it is one connection, and cannot be made again"}
#: Two tables: heading by metric.
TABLES = [
    {
        "rtt_p50_us": "RTT p50 µs",
        "rtt_p99_us": "p99 µs",
        "opens_per_s": "opens/s",
    },
    {
        "loaded_rtt_p50_us": "loaded RTT p50 µs",
        "loaded_rtt_p99_us": "p99 µs",
        "load_g2h_MBps": "load g→h MB/s",
        "load_h2g_MBps": "load h→g MB/s",
    },
    {
        "g2h_MBps": "g→h MB/s",
        "h2g_MBps": "h→g MB/s",
        "rtt_cpu_us": "RTT cpu µs",
        "g2h_cpu_us_per_MiB": "g→h cpu µs/MiB",
        "h2g_cpu_us_per_MiB": "h→g cpu µs/MiB",
    },
]
MIB = 256
MESSAGES = 5000
LOADED_MESSAGES = ("-n", "1000")
AT_ONCE = 16
OPENS, OPENS_OF_SOCAT = 2000, 200
DIRECTIONS = {"source": "g2h", "sink": "h2g"}
#: What the headings mean.
NOTES = f"""\
RTT: a message of 64 bytes and its echo. loaded: the same beside another connection that is busy in
one direction; the worse direction counts. opens/s: connections that the client makes, uses for one
message and its echo, and closes, {AT_ONCE} at a time.
MB/s: {MIB} MiB in writes of 64 KiB, in 10⁶ bytes. cpu: how long the processes between client and
server worked, all together, for one round trip or one MiB of that."""


def _goals(to: str) -> list[Goal]:
    found = [
        Goal(f"guestmux {text} / {to}", ("guestmux", metric), (to, metric), at_least=1)
        for text, metric in (("g→h", "g2h_MBps"), ("h→g", "h2g_MBps"))
    ]
    metric = "rtt_p50_us"
    return [*found, Goal(f"guestmux RTT / {to}", ("guestmux", metric), (to, metric), at_most=1)]


GOALS = [*_goals("socat"), *_goals("socat_64k")]

#: How `load` is run for a contender: what, and options.
Run = Callable[..., Values]


class Bench:
    """The server, and all contenders. What begins here ends with the stack."""

    def __init__(self, stack: ExitStack, wanted: Sequence[str], say: Callable[[str], None]) -> None:
        self.wanted = wanted
        self.peers: dict[str, Peer] = {}
        self.missing = dict(MISSING)
        self._say = say
        folder = tempfile.TemporaryDirectory(prefix="guestmux-bench-")
        self._folder = Path(stack.enter_context(folder))
        self._served = self._folder / "served"
        stack.enter_context(Program([LOAD, "serve", "listen", self._served], self._served))
        for name in wanted:
            if name in START:
                self._start(stack, name)
        # Connections that stay: each measurement on one finds the window that it has. The second
        # carries the load.
        self._connections = {
            name: [stack.enter_context(peer.open()) for _ in range(2)]
            for name, peer in self.peers.items()
        }

    def commands(self) -> dict[str, dict[str, list[str]]]:
        """By contender and side, without the folders that there are only here and now."""
        return {
            name: {
                side: [self._plain(name, command) for command in found]
                for side, found in peer.commands().items()
            }
            for name, peer in self.peers.items()
        }

    def _plain(self, name: str, command: str) -> str:
        for folder in (self._folder / name, self._folder, *PROGRAMS):
            command = command.replace(f"{folder}/", "")
        return command

    def _start(self, stack: ExitStack, name: str) -> None:
        """What others use may not start everywhere; it is left out then."""
        folder = self._folder / name
        folder.mkdir()
        try:
            self.peers[name] = START[name](stack, folder, self._served)
        except BenchError as error:
            if name == "guestmux":
                raise
            self._say(f"without {name}: {error}")
            self.missing[name] = f"it did not start: {error}"

    # ---- how load is run ----

    def _on(self, name: str, what: str, *options: str, connections: int = 1) -> Values:
        sockets = self._connections[name][:connections]
        return self._explained(name, lambda: load(what, sockets, *options))

    def _explained(self, name: str, run: Callable[[], Values]) -> Values:
        try:
            return run()
        except BenchError as error:
            raise BenchError(f"{error}\n{self.peers[name].explain()}") from error

    @staticmethod
    def _pair(what: str, *options: str) -> Values:
        return run_load([*options, what, "pair"])

    def _with_cpu(self, name: str, run: Run, metric: str, count: int) -> tuple[Values, Values]:
        """What a run finds, and how long the peer worked for each of `count`."""
        if name not in self.peers or not self.peers[name].pids():
            return run(), {}
        before = self.peers[name].cpu_us()
        values = run()
        return values, {metric: (self.peers[name].cpu_us() - before) / count}

    # ---- what is measured ----

    def rounds(self) -> list[Round]:
        return [
            Round("RTT", self._each(self._rtt)),
            *(
                Round(f"throughput {direction}", self._each(partial(self._throughput, what)))
                for what, direction in DIRECTIONS.items()
            ),
            Round("RTT beside a load", [Measure(n, partial(self._loaded, n)) for n in self.peers]),
            Round("opens", [Measure(name, partial(self._opens, name)) for name in self.peers]),
        ]

    def _each(self, measure: Callable[[str, Run], Values]) -> list[Measure]:
        """In the order in which they were asked for. measure: what is found with a `load`."""
        found = []
        for name in self.wanted:
            if name in self.peers:
                found.append(Measure(name, partial(measure, name, partial(self._on, name))))
            elif name not in START:
                found.append(Measure(name, partial(measure, name, self._pair)))
        return found

    def _rtt(self, name: str, run: Run) -> Values:
        once = partial(run, "rtt", "-n", str(MESSAGES))
        values, cpu = self._with_cpu(name, once, "rtt_cpu_us", MESSAGES)
        return rtt(values) | cpu

    def _throughput(self, what: str, name: str, run: Run) -> Values:
        direction = DIRECTIONS[what]
        once = partial(run, what, "-b", str(MIB << 20))
        values, cpu = self._with_cpu(name, once, f"{direction}_cpu_us_per_MiB", MIB)
        return {f"{direction}_MBps": values["MBps"]} | cpu

    def _loaded(self, name: str) -> Values:
        def one(what: str) -> Values:
            return self._on(name, f"loaded-{what}", *LOADED_MESSAGES, connections=2)

        return worse_rtt(one("source"), one("sink"))

    def _opens(self, name: str) -> Values:
        peer = self.peers[name]
        first = ["-p", peer.name] if peer.name else []
        count = OPENS_OF_SOCAT if name.startswith("socat") else OPENS
        options = ["-n", str(count), "-c", str(AT_ONCE), *first]
        values = self._explained(name, lambda: run_load([*options, "opens", str(peer.path)]))
        return {"opens_per_s": values["opens_per_s"]}


def run(
    wanted: Sequence[str], repetitions: int, say: Callable[[str], None]
) -> tuple[Figures, dict[str, Any]]:
    """What was measured, and about it."""
    say(f"on this machine, with {', '.join(wanted)}")
    with ExitStack() as stack:
        bench = Bench(stack, wanted, say)
        figures = take_turns(bench.rounds(), repetitions, say)
        commands = bench.commands()
        about = {
            "title": "On one machine, with a unix socket as the port",
            "notes": f"{NOTES}\n{shown(commands)}",
            "missing": bench.missing,
            "commands": commands,
        }
    return figures, about
