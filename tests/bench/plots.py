# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots of a report of ./dev bench, as SVG: gnuplot draws them. Each part that is in it has one.

By themselves, from a report that was made before: python3 tests/bench/plots.py REPORT FOLDER
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import BenchError

#: What a part has in the report: contender to metric to median.
Part = Mapping[str, Mapping[str, float | None]]

#: Colours that people who see less of them can tell apart, on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

HEAD = """\
set terminal svg size 900,{height} font "sans-serif,13" background "#ffffff"
set output "{file}"
set border 3 linecolor "#444444"
set tics nomirror textcolor "#222222"
set grid ytics linecolor "#dddddd" linetype 1
set key outside bottom center horizontal samplen 2
set style data linespoints
set style fill solid 0.9 noborder
"""

#: Contenders of the part "vm", as they are drawn, from the left.
BARS = ("raw", "guestmux_inline", "guestmux", "guestmux_bulk", "socat", "yamux")


def value(part: Part, contender: str, metric: str) -> str:
    """As gnuplot takes it; NaN is drawn as nothing."""
    found = part.get(contender, {}).get(metric)
    return "NaN" if found is None else f"{found:.6g}"


def table(name: str, part: Part, contenders: Sequence[str], metrics: Sequence[str]) -> str:
    """Data under a name: contender, and its metrics."""
    rows = [
        " ".join([one, *(value(part, one, metric) for metric in metrics)])
        for one in contenders
    ]
    return "\n".join([f"${name} << END", *rows, "END", ""])


def curves(data: str, first: int, titles: Sequence[str]) -> str:
    """A line for each column, from the first on."""
    drawn = [
        f'{data} using 1:{column} title "{title}" linecolor "{colour}" pointtype 7 linewidth 2'
        for column, (title, colour) in enumerate(zip(titles, COLOURS, strict=False), first)
    ]
    return f"plot {', '.join(drawn)}\n"


#: Of the part "scale": what is wanted of a channel's memory.
LIMIT = """\
set yrange [0:1200]
set arrow 1 from graph 0, first 1024 to graph 1, first 1024 nohead dashtype 2 linecolor "#444444"
set label 1 "wanted: at most 1,024" at graph 0.98, first 1090 right
"""
#: Title; column of the first metric; titles of the metrics; other settings.
PANELS: Sequence[tuple[str, int, Sequence[str], str]] = (
    ("A message and its echo, µs", 2, ("median", "99 of 100"), ""),
    ("One channel, MB/s", 4, ("guest to host", "host to guest"), ""),
    ("Memory of an idle channel, bytes", 6, ("guestmux", "hostmux"), LIMIT),
    ("Opened, used and closed, a second", 8, ("one message each",), ""),
)
CURVES = ("rtt_p50_us", "rtt_p99_us", "g2h_MBps", "h2g_MBps", "guest_channel_bytes",
          "host_channel_bytes", "opens_per_s")  # fmt: skip


def scale(part: Part) -> tuple[int, str]:
    """Cost against the number of channels."""
    counts = sorted((name for name in part if name.isdigit()), key=int)
    # With a few channels it is whole pages, and what daemons need to open any.
    small = {metric for metric in CURVES if metric.endswith("_bytes")}
    shown = {name: {metric: found for metric, found in part[name].items()
                    if int(name) >= 100 or metric not in small} for name in counts}  # fmt: skip
    script = table("cost", shown, counts, CURVES)
    script += 'set logscale x\nunset mxtics\nset xlabel "channels" offset 0,0.7\n'
    script += "set multiplot layout 2,2\n"
    for title, column, titles, extra in PANELS:
        script += f'unset arrow\nunset label\nset yrange [0:*]\nset title "{title}"\n{extra}'
        script += curves("$cost", column, titles)
    return 640, script + "unset multiplot\n"


def vm(part: Part) -> tuple[int, str]:
    """Contenders beside each other."""
    there = [name for name in BARS if name in part]
    script = table("times", part, there, ("rtt_p50_us", "loaded_rtt_p99_us"))
    script += table("rates", part, there, ("g2h_MBps", "h2g_MBps"))
    script += "set style data histograms\nset style histogram clustered gap 1\n"
    script += "set xtics noenhanced rotate by -25\nset multiplot layout 1,2\n"
    panels = [
        ("$times", "RTT of 64 bytes, µs (log)", ("median", "99 of 100 beside a load"),
         "set logscale y\nset yrange [10:*]\n"),
        ("$rates", "64 MiB, MB/s", ("guest to host", "host to guest"),
         "unset logscale y\nset yrange [0:*]\n"),
    ]  # fmt: skip
    for data, title, titles, extra in panels:
        drawn = ", ".join(
            f'{data} using {column}:xtic(1) title "{one}" linecolor "{colour}"'
            for column, (one, colour) in enumerate(zip(titles, COLOURS, strict=False), 2)
        )
        script += f'set title "{title}"\n{extra}plot {drawn}\n'
    return 420, script + "unset multiplot\n"


#: Part of the report to what draws it.
PLOTS: dict[str, Callable[[Part], tuple[int, str]]] = {"scale": scale, "vm": vm}


def tidy(file: Path) -> None:
    """Without empty groups, and fonts that are named twice: a third of what gnuplot writes."""
    text = file.read_text()
    text = re.sub(r"<g [^>]*>\s*</g>\n*", "", text)
    text = text.replace(' stroke-linecap="butt" stroke-linejoin="miter"', "")  # as they are anyway
    file.write_text(re.sub(r'<tspan font-family="sans-serif" >([^<]*)</tspan>', r"\1", text))


def draw(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes performance-PART.svg for each part of the report that has a plot."""
    made = []
    for name, plot in PLOTS.items():
        if name not in report:
            continue
        file = folder / f"performance-{name}.svg"
        height, script = plot(report[name])
        head = HEAD.format(height=height, file=file)
        try:
            done = subprocess.run(
                ["gnuplot"], input=head + script, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise BenchError("no gnuplot: install gnuplot-nox") from error
        if done.returncode != 0:
            raise BenchError(f"gnuplot: {done.stderr.strip()}")
        tidy(file)
        made.append(file)
    return made


if __name__ == "__main__":
    for path in draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        print(path)
