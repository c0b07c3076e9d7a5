# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part "scale": both daemons on one machine, with many channels, many links, stuck readers.

A row of the table is so many channels, or links; together they are a curve. For each number of
channels a pair of daemons is there all the time, so that they take turns in what is timed.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from crowd import Crowd, share
from figures import Figures
from measure import Measure, Round, Values, load, rtt, run_load, take_turns
from pair import CROWD, Pair, wait_until
from scale_goals import BUDGETS, CHANNELS, GOALS, LINKS, METRICS, NAMES, NOTES, TABLES
from stuck import stuck

__all__ = ["ERRORS", "GOALS", "METRICS", "NAMES", "TABLES", "run"]

#: What a daemon can fail with.
ERRORS = (OSError,)

#: What takes long is done so many times; what is short, twice so often in each repetition, since
#: one channel's rate depends on how four processes share the processors, and that changes often.
SLOW_REPETITIONS, TIMES = 3, 2
#: A turn of each channel, three times.
SHARE_BYTES, SHARE_RATE = 3 * 32748, 8_000_000


# ---- idle channels ----


def idle(count: int) -> Values:
    """What so many channels cost a pair of daemons that has had no more than one."""
    with Pair() as pair:
        pair.service("hold", [CROWD, "hold"])
        pair.start()
        pair.open("hold").close()
        wait_until(lambda: pair.channels() == 0, "the first channel is closed")
        before = {side: daemon.memory() for side, daemon in pair.sides()}
        begin = time.monotonic()
        with Crowd(pair, "keep", count, pair.guest.socket, "hold"):
            opened = time.monotonic()
            after = {side: daemon.memory() for side, daemon in pair.sides()}
            closing = time.monotonic()
        wait_until(lambda: pair.channels() == 0, "all are closed")
        return {
            "open_ms": (opened - begin) * 1e3, "close_ms": (time.monotonic() - closing) * 1e3,
        } | {
            f"{side}_channel_bytes": (after[side] - was) / count for side, was in before.items()
        }  # fmt: skip


class Beside:
    """A pair of daemons with so many channels, all but one of them idle."""

    def __init__(self, stack: ExitStack, count: int) -> None:
        self.pair = stack.enter_context(Pair())
        self.pair.service("hold", [CROWD, "hold"])
        self.pair.start()
        if count > 1:
            stack.enter_context(Crowd(self.pair, "keep", count - 1, self.pair.guest.socket, "hold"))
        self._channel = self.pair.channel()

    def rtt(self) -> Values:
        return rtt(load("rtt", [self._channel], "-n", "2000"))

    def throughput(self, what: str, direction: str) -> Values:
        """And how long both daemons worked for it, which other programs disturb less."""
        before = self.pair.cpu_us()
        found = load(what, [self._channel], "-b", str(128 << 20))
        cpu = (self.pair.cpu_us() - before) / (found["bytes"] / 1e6)
        return {f"{direction}_MBps": found["MBps"], f"{direction}_cpu_us_per_MB": cpu}

    def opens(self) -> Values:
        options = ["-n", "5000", "-c", "64", "-p", "bench", "opens"]
        options.append(str(self.pair.guest.socket))
        return {"opens_per_s": run_load(options)["opens_per_s"]}


# ---- busy ones ----


def busy(count: int) -> Values:
    with Pair(cable_rate=SHARE_RATE) as pair:
        sink = pair.service("sink")
        pair.start()
        found = share(pair, count, SHARE_BYTES, sink)
    return {"jain": found["jain"], "kept": found["kept"],
            "least_share": found["least"] * count / found["bytes"],
            "most_share": found["most"] * count / found["bytes"]}  # fmt: skip


# ---- links ----


def links(count: int) -> Values:
    with Pair() as pair:
        up_s = pair.start(count)
        with pair.open() as channel:
            found = load("rtt", [channel], "-n", "2000")
        own = sum(guest.own_memory() for guest in pair.guests)
        return {
            "links_up": pair.host.links_up(), "up_s": up_s, "link_rtt_p50_us": found["p50_us"],
            "link_rtt_p99_us": found["p99_us"], "host_link_bytes": pair.host.own_memory() / count,
            "guest_own_bytes": own / count,
        }  # fmt: skip


# ---- all of it ----


def fast_rounds(stack: ExitStack, wanted: Sequence[str]) -> list[Round]:
    pairs = {str(n): Beside(stack, n) for n in CHANNELS if str(n) in wanted}

    def each(text: str, run: Callable[[Beside], Values]) -> Round:
        return Round(text, [Measure(name, partial(run, pair)) for name, pair in pairs.items()])

    timed = [
        each("RTT", Beside.rtt),
        each("throughput g2h", lambda pair: pair.throughput("sink", "g2h")),
        each("throughput h2g", lambda pair: pair.throughput("source", "h2g")),
    ]
    # Back and forth: who comes first in a round finds the processors as the last round left them.
    back = [Round(one.text, one.measures[::-1]) for one in timed]
    return [*(timed + back) * TIMES, each("opens", Beside.opens)]


def slow_measures(wanted: Sequence[str]) -> list[Measure]:
    found = [Measure(str(n), partial(idle, n)) for n in CHANNELS]
    found += [Measure(str(n), partial(busy, n)) for n in CHANNELS if 1 < n <= 1000]
    found += [Measure(f"links_{n}", partial(links, n)) for n in LINKS]
    found += [Measure(name, partial(stuck, size)) for name, size in BUDGETS.items()]
    return [measure for measure in found if measure.contender in wanted]


def need_descriptors() -> None:
    """For what is started here; crowd says what is missing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(
    wanted: Sequence[str], repetitions: int, say: Callable[[str], None]
) -> tuple[Figures, dict[str, Any]]:
    """What was measured, and about it."""
    need_descriptors()
    say(f"both daemons on one machine, {', '.join(wanted)}")
    with ExitStack() as stack:
        figures = take_turns(fast_rounds(stack, wanted), repetitions, say)
    for repetition in range(min(repetitions, SLOW_REPETITIONS)):
        for measure in slow_measures(wanted):
            say(f"{measure.contender}, repetition {repetition + 1}")
            figures.add(measure.contender, measure.run())
    about = {
        "title": "On one machine, with a unix socket as the port",
        "notes": NOTES,
        "slow_repetitions": min(repetitions, SLOW_REPETITIONS),
    }
    return figures, about
