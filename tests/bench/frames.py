# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part "frames": what it costs to make a frame and to take it apart, beside nghttp2.

No kernel, no guest: the programs of frames.c have both ends in memory.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from callgrind import CountError, instructions
from figures import Figures, Goal
from measure import BUILD, BenchError, Measure, Round, Values, parse, take_turns

METRICS: tuple[str, ...] = ()
ERRORS = (CountError,)

#: Bytes of payload, and the rounds that take some tens of milliseconds.
SIZES = {0: 1000, 1: 1000, 64: 1000, 4096: 5000, 32000: 10000}
PROGRAMS = {
    "guestmux": "two sessions, one channel",
    "nghttp2": "a client and a server session, DATA of one stream",
}

#: Contenders, and what each is.
NAMES = {f"{name} {size}": text for size in SIZES for name, text in PROGRAMS.items()} | {
    "guestmux 0": "the frame layer alone, without sessions: there is no empty DATA"
}
TABLES = [
    {
        "encode_instructions": "encode instr.",
        "decode_instructions": "decode instr.",
        "encode_ns": "encode ns",
        "decode_ns": "decode ns",
    }
]
NOTES = """\
All for one frame of so many bytes of payload. encode: from a buffer in the place of a socket into a
frame, and from there into one in the place of the port; what came back (credit, ACK) is taken in.
decode: from the port's buffer into the session, and from there to a socket's; credit is given.
ns has these copies, of which there are as many with both; instructions are without them, counted by
callgrind, twice, with the same result. guestmux gives credit and ACKs all the time; nghttp2 has
windows of 2 GiB, and says next to nothing of them."""


def goals() -> list[Goal]:
    """Not for 0 bytes, where it is not the same that is compared."""
    return [
        Goal(f"{what} {size} / nghttp2", (f"guestmux {size}", f"{what}_instructions"),
             (f"nghttp2 {size}", f"{what}_instructions"), at_most=1)
        for size in SIZES
        if size > 0
        for what in ("encode", "decode")
    ]  # fmt: skip


GOALS = goals()


class Counts:
    """Instructions, which are the same each time. That they are is looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, list[Values]] = {}

    def of(self, contender: str) -> Values:
        found = self._found.setdefault(contender, [])
        if len(found) < 2:
            found.append(self._count(contender))
        if found[0] != found[-1]:
            raise BenchError(f"{contender} takes {found[0]}, and the next time {found[-1]}")
        return found[0]

    @staticmethod
    def _count(contender: str) -> Values:
        name, size = contender.split()
        program = BUILD / f"tests/bench/frames-{name}"
        return {
            f"{what}_instructions": instructions(program, int(size), what)
            for what in ("encode", "decode")
        }


def time_of(contender: str) -> Values:
    """Nanoseconds."""
    name, size = contender.split()
    program = BUILD / f"tests/bench/frames-{name}"
    if not program.exists():
        raise BenchError(f"there is no {program}; nghttp2 needs libnghttp2-dev")
    done = subprocess.run(
        [program, size, str(SIZES[int(size)])], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchError(f"{contender}: {done.stderr.strip()}")
    values = parse(done.stdout, contender)
    return {metric: values[metric] for metric in ("encode_ns", "decode_ns")}


def run(
    wanted: Sequence[str], repetitions: int, say: Callable[[str], None]
) -> tuple[Figures, dict[str, Any]]:
    """What was measured, and about it."""
    counts = Counts()
    rounds = [
        Round("time", [Measure(name, partial(time_of, name)) for name in wanted]),
        Round("instructions", [Measure(name, partial(counts.of, name)) for name in wanted]),
    ]
    figures = take_turns(rounds, repetitions, say)
    return figures, {"title": "Frames in memory", "notes": NOTES}
