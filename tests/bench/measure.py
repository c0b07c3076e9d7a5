# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measurements that take turns, and the load program that makes one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figures

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("GUESTMUX_BUILD", ROOT / "build"))
LOAD = BUILD / "tests/bench/load"

#: What one measurement found: metric to value.
Values = dict[str, float]


class BenchError(Exception):
    """Something could not be measured."""


@dataclass(frozen=True)
class Measure:
    """One contender's turn."""

    contender: str
    run: Callable[[], Values]


@dataclass(frozen=True)
class Round:
    """Contenders that are measured in the same thing, directly one after the other."""

    text: str
    measures: Sequence[Measure]


def take_turns(rounds: Sequence[Round], repetitions: int, say: Callable[[str], None]) -> Figures:
    """A B C, A B C, …: what disturbs the machine for a while, disturbs all. The first time warms
    caches and windows up and is not counted."""
    figures = Figures()
    for repetition in range(repetitions + 1):
        say(f"repetition {repetition} of {repetitions}" if repetition else "warming up")
        for one in rounds:
            for measure in one.measures:
                try:
                    values = measure.run()
                except BenchError as error:
                    raise BenchError(f"{measure.contender}, {one.text}: {error}") from error
                if repetition > 0:
                    figures.add(measure.contender, values)
    return figures


def parse(output: str, what: str) -> Values:
    """The line of JSON that `load` prints."""
    try:
        values: Values = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise BenchError(f"load {what}: {output.strip() or 'it printed nothing'}") from error
    return values


def load(what: str, sockets: Iterable[socket.socket], *options: str, timeout: float = 60) -> Values:
    """Run `load` here, on connections that are inherited."""
    fds = [sock.fileno() for sock in sockets]
    for sock in sockets:
        sock.setblocking(True)
    return run_load([*options, what, ",".join(map(str, fds))], fds, timeout)


def run_load(
    arguments: Sequence[str | Path], fds: Sequence[int] = (), timeout: float = 60
) -> Values:
    words = " ".join(map(str, arguments))
    try:
        done = subprocess.run(
            [LOAD, *arguments], pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"load {words}: no end after {timeout:g} s") from error
    if done.returncode != 0:
        raise BenchError(f"load {words}: {done.stdout.strip()}")
    return parse(done.stdout, words)


def rtt(values: Values, prefix: str = "") -> Values:
    return {f"{prefix}rtt_p50_us": values["p50_us"], f"{prefix}rtt_p99_us": values["p99_us"]}


def worse_rtt(source: Values, sink: Values) -> Values:
    """Of messages beside a load from the guest and one to it: the worse direction counts."""
    found = {"g2h": source, "h2g": sink}
    values = rtt({name: max(one[name] for one in found.values()) for name in source}, "loaded_")
    for direction, one in found.items():
        values[f"loaded_{direction}_rtt_p99_us"] = one["p99_us"]
        values[f"load_{direction}_MBps"] = one["load_MBps"]
    return values


def to_stderr(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)
