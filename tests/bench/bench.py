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
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Latency and throughput, guest to host and back."
    )
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them there, as SVG")
    parser.add_argument(
        "--repetitions", type=int, default=5, metavar="N", help="of every measurement (5)"
    )
    parser.add_argument(
        "--contenders", metavar="NAME,…", default="", help="only these, instead of all"
    )
    return parser.parse_args()


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def chosen(options: argparse.Namespace) -> dict[str, list[str]]:
    """The contenders of each part that is to run."""
    found = {}
    for name in [options.only] if options.only else PARTS:
        part = PARTS[name]
        wanted = [word for word in options.contenders.split(",") if word] or list(part.NAMES)
        if unknown := set(wanted) - set(part.NAMES):
            raise BenchError(f"{name} has no {', '.join(sorted(unknown))}: {', '.join(part.NAMES)}")
        found[name] = wanted
    return found


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error


def make_room(options: argparse.Namespace) -> None:
    """What cannot be written should be known before a quarter of an hour of measuring."""
    if options.plots:
        with writing(options.plots):
            options.plots.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=options.plots).close()
    if options.json:
        with writing(options.json):
            options.json.touch()


def run(options: argparse.Namespace) -> dict[str, Any]:
    report: dict[str, Any] = {"machine": machine(), "repetitions": options.repetitions}
    parts = chosen(options)
    make_room(options)
    for name, wanted in parts.items():
        part = PARTS[name]
        figures, about = part.run(wanted, options.repetitions, to_stderr)
        print(f"\n{about['title']}; medians of {options.repetitions} (least–greatest)\n")
        for columns in part.TABLES:
            print(figures_table(figures, columns))
        print(goals_table(figures, part.GOALS))
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
    raise SystemExit(128 + number)  # so that guests and daemons end


def main() -> int:
    options = arguments()
    if options.repetitions < 1:
        raise SystemExit("bench: at least one repetition")
    signal.signal(signal.SIGTERM, on_signal)
    try:
        report = run(options)
        for file in plots.draw(report, options.plots) if options.plots else ():
            print(f"plot: {file}")
    except (BenchError, *(kind for part in PARTS.values() for kind in part.ERRORS)) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
