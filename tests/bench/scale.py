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
from figures import Figures, Goal
from measure import Measure, Round, Values, load, rtt, run_load, take_turns
from pair import CROWD, Pair, wait_until

ERRORS = (OSError,)

CHANNELS = (1, 10, 100, 1000, 10_000)
LINKS = (1, 10, 50, 200)
BUDGETS = {"budget_4MiB": 4 << 20, "budget_64MiB": 64 << 20}

NAMES = (
    {str(n): f"channels in all; {'one' if n > 1 else 'it'} is in use"
     f"{', or all of them' if 1 < n <= 1000 else ''}" for n in CHANNELS}
    | {f"links_{n}": "links of one hostmux, each to a guestmux; one is in use" for n in LINKS}
    | {name: f"{size:,} bytes for a link, and 1,000 channels whose readers stop"
       for name, size in BUDGETS.items()}
)  # fmt: skip
METRICS: Sequence[str] = ()
TABLES = [
    {
        "rtt_p50_us": "RTT p50 µs",
        "rtt_p99_us": "p99 µs",
        "g2h_MBps": "g→h MB/s",
        "h2g_MBps": "h→g MB/s",
        "opens_per_s": "opens/s",
    },
    {
        "guest_channel_bytes": "guestmux B/channel",
        "host_channel_bytes": "hostmux B/channel",
        "open_ms": "opened in ms",
        "close_ms": "closed in ms",
        "jain": "Jain",
        "kept": "kept full",
    },
    {
        "links_up": "links up",
        "up_s": "up in s",
        "link_rtt_p50_us": "RTT p50 µs",
        "host_link_bytes": "hostmux B/link",
        "guest_own_bytes": "a guestmux B",
    },
    {
        "held_max_bytes": "held at most, B",
        "budget_bytes": "budget B",
        "host_grew_bytes": "hostmux grew, B",
        "guest_grew_bytes": "guestmux grew, B",
    },
]
NOTES = """\
RTT, MB/s: of one channel, as in the other parts, while the others are open and idle. opens/s: of 10,000
channels, 64 at once, each with a message of 64 bytes and its answer.
B/channel: resident memory of fresh daemons, before and after; with few it is whole pages of 4 KiB.
Jain: of bytes that each channel got when all were busy, channel i with writes of 2^(i mod 17) bytes,
1 to 65,536, on a link that carries 8 MB/s, which is what their writer can keep full; three turns
of 32 KiB each. kept full: how often the least supplied of them had bytes waiting.
up: from the first guestmux's start; most of it is starting so many programs.
held: bytes that a daemon has for readers that stopped after 1 MB, both directions at once; grew: its
resident memory, with all it needs for the channels themselves."""


def per_channel(side: str, most: float = 1024) -> Goal:
    name = f"{side}mux: bytes an idle channel, of 10,000"
    return Goal(name, ("10000", f"{side}_channel_bytes"), None, at_most=most)


def beside(metric: str, text: str, at_least: float | None, at_most: float | None) -> Goal:
    return Goal(f"{text} beside 9,999 / alone", ("10000", metric), ("1", metric), at_least, at_most)


GOALS = [
    per_channel("guest"),
    per_channel("host"),
    beside("rtt_p50_us", "RTT", None, 1.1),
    beside("g2h_MBps", "g→h", 0.9, None),
    beside("h2g_MBps", "h→g", 0.9, None),
    Goal("opens and closes a second", ("1", "opens_per_s"), None, 10_000),
    Goal("Jain's index of 1,000 busy channels", ("1000", "jain"), None, 0.99),
    Goal("links up of 200", ("links_200", "links_up"), None, 200),
    *(Goal(f"held / {name.replace('_', ' of ')}", (name, "held_max_bytes"),
           (name, "budget_bytes"), at_most=1) for name in BUDGETS),
]  # fmt: skip

#: What takes long is done so many times.
SLOW_REPETITIONS = 3
#: A turn of each channel, three times.
SHARE_BYTES, SHARE_RATE = 3 * 32748, 8_000_000
#: Readers that stop: how many, and after how many bytes.
STUCK, STUCK_AFTER = 1000, 1_000_000


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

    def throughput(self, what: str, metric: str) -> Values:
        """With 256 MiB it takes long enough for the clock of a processor that has just slept."""
        return {metric: load(what, [self._channel], "-b", str(256 << 20))["MBps"]}

    def opens(self) -> Values:
        options = ["-n", "10000", "-c", "64", "-p", "bench", "opens", self.pair.guest.socket]
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


# ---- readers that stop ----


def held(pair: Pair) -> int:
    """Of what either daemon has for those that do not read, the larger."""
    return max(
        sum(channel["unread"] for channel in daemon.ask("status")[0]["channels"])
        for _, daemon in pair.sides()
    )


def stuck(budget: int) -> Values:
    """The windows of all have grown when the readers stop, and so are as large as they get.

    What is unread then only grows, so that what there is at the end was never more. status is
    asked for at the end, since it takes memory itself; what is resident does not grow after that.
    """
    with Pair({"channels": 2048, "budget_bytes": budget}) as pair:
        pair.service("sip", [CROWD, "hold"], str(STUCK_AFTER))
        pair.start()
        pair.open("sip").close()
        before = {side: daemon.memory() for side, daemon in pair.sides()}
        with ExitStack() as stack:
            # The first stays stuck while the second fills up.
            for socket, name in ((pair.guest.socket, "sip"), (pair.host.socket, "vm0/sip")):
                stack.enter_context(Crowd(pair, "fill", STUCK, socket, name))
            grew = {f"{side}_grew_bytes": daemon.memory() - before[side]
                    for side, daemon in pair.sides()}  # fmt: skip
            return {"held_max_bytes": held(pair), "budget_bytes": budget} | grew


# ---- all of it ----


def fast_rounds(stack: ExitStack, wanted: Sequence[str]) -> list[Round]:
    counts = [n for n in CHANNELS if str(n) in wanted]
    pairs = {str(n): Beside(stack, n) for n in counts}

    def each(text: str, run: Callable[[Beside], Values]) -> Round:
        return Round(text, [Measure(name, partial(run, pair)) for name, pair in pairs.items()])

    return [
        each("RTT", Beside.rtt),
        each("throughput g2h", lambda pair: pair.throughput("sink", "g2h_MBps")),
        each("throughput h2g", lambda pair: pair.throughput("source", "h2g_MBps")),
        each("opens", Beside.opens),
    ]


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
