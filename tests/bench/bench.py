#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""./dev bench: how fast the channels are, beside what there is without guestmux.

Each part measures in one run, with contenders in turns, and shows a table; the JSON file has the
medians of all parts under PART.CONTENDER.METRIC, every sample, and what they were measured on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/vm"))

import frames  # noqa: E402
import in_vm  # noqa: E402
import loopback  # noqa: E402
import plots  # noqa: E402
import scale  # noqa: E402
from measure import BenchError, to_stderr  # noqa: E402
from table import figures_table, goals_table  # noqa: E402

#: Each has NAMES, METRICS, TABLES, GOALS, ERRORS, and run().
PARTS = {"vm": in_vm, "loopback": loopback, "scale": scale, "frames": frames}
ABOUT = {
    "vm": "a guest and its host",
    "loopback": "both daemons on one machine, with a unix socket as the port",
    "scale": "the same with many channels, many links, readers that do not read",
    "frames": "instructions and ns to encode and decode one, in memory",
}
ERRORS = (BenchError, *(kind for part in PARTS.values() for kind in part.ERRORS))
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ended(SystemExit):
    """By a signal, which is no failure: everything ends, and nothing is kept to be looked at."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.text = f"ended by {signal.Signals(number).name}"


def at_least_one(text: str) -> int:
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not '{text}'")
    return number


def names(text: str) -> list[str]:
    found = [word for word in text.split(",") if word]
    if not found:
        raise argparse.ArgumentTypeError("no name")
    return list(dict.fromkeys(found))


def parts_and_contenders() -> str:
    lines = ["parts, and their contenders:"]
    for name, part in PARTS.items():
        lines += ["", f"  {name}: {ABOUT[name]}"]
        lines += textwrap.wrap(", ".join(part.NAMES), 80, initial_indent="    ",
                               subsequent_indent="    ", break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """They are right when this returns."""
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Latency and throughput, guest to host and back.",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=parts_and_contenders(),
    )  # fmt: skip
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them there, as SVG")
    parser.add_argument(
        "--repetitions", type=at_least_one, default=5, metavar="N", help="of every measurement (5)"
    )
    parser.add_argument(
        "--contenders", type=names, metavar="NAME,…",
        help="only these, instead of all of the part's",
    )  # fmt: skip
    # For ./dev, before it builds: says what has to be prepared, and ends.
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.parts = {}
    for name in [options.only] if options.only else PARTS:
        there = PARTS[name].NAMES
        options.parts[name] = options.contenders or list(there)
        if unknown := set(options.parts[name]) - set(there):
            has_no = f"{name} has no {', '.join(sorted(unknown))}"
            parser.error(f"argument --contenders: {has_no}; it has {', '.join(there)}")
    return options


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str | None:
    """Of the tree that is measured; with -dirty if that is not all there is."""
    command = ["git", "-C", ROOT, "describe", "--always", "--abbrev=12", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error


@contextmanager
def room(options: argparse.Namespace) -> Iterator[None]:
    """What cannot be written should be known before a quarter of an hour of measuring. What was
    made for that, and has remained empty, goes."""
    folders: list[Path] = []
    file: Path | None = None
    try:
        if options.plots:
            folders = [one for one in (options.plots, *options.plots.parents) if not one.exists()]
            with writing(options.plots):
                options.plots.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=options.plots).close()
        if options.json:
            file = None if options.json.exists() else options.json
            with writing(options.json):
                options.json.open("ab").close()
        yield
    finally:
        with suppress(OSError):
            if file and file.stat().st_size == 0:
                file.unlink()
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()


def run(options: argparse.Namespace) -> dict[str, Any]:
    report: dict[str, Any] = {"machine": machine(), "repetitions": options.repetitions}
    for name, wanted in options.parts.items():
        part = PARTS[name]
        figures, about = part.run(wanted, options.repetitions, to_stderr)
        print(f"\n{about['title']}; medians of {options.repetitions} (least–greatest)\n")
        for columns in part.TABLES:
            print(figures_table(figures, columns))
        if goals := goals_table(figures, part.GOALS):  # some contenders have none
            print(goals)
        for contender in figures.contenders():
            print(f"{contender}: {part.NAMES[contender]}")
        print(about["notes"], flush=True)
        report[name] = figures.medians(part.METRICS)
        report.setdefault("ratios", {})[name] = figures.ratios(part.GOALS)
        report.setdefault("samples", {})[name] = figures.all_samples()
        report.setdefault("about", {})[name] = about | {"contenders": part.NAMES}
        if options.json:  # after each: what is measured is not lost if the next part fails
            with writing(options.json):
                options.json.write_text(json.dumps(report, indent=1) + "\n")
    return report


def on_signal(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:  # another one would disturb the end
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)  # so that guests and daemons end


def main() -> int:
    options = arguments()
    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        with room(options):
            if options.check:
                print(*options.parts, *(["plots"] if options.plots else []))
                return 0
            report = run(options)
            for file in plots.draw(report, options.plots) if options.plots else ():
                print(f"plot: {file}")
    except BaseException as error:
        # What broke because a signal made it end is not worth a word.
        if ended := by_signal(error):
            print(f"bench: {ended.text}", file=sys.stderr)
            raise ended from None
        if not isinstance(error, ERRORS):
            raise
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def by_signal(error: BaseException | None) -> Ended | None:
    """What an error began with."""
    while error:
        if isinstance(error, Ended):
            return error
        error = error.__cause__ or error.__context__
    return None


if __name__ == "__main__":
    sys.exit(main())
