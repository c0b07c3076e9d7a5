# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures as a table for people: a contender a line, a metric a column, median and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from figures import Figures, Goal


def number(value: float) -> str:
    """Three digits or more, none after the point where there are three before it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(samples: Sequence[float], median: float | None) -> str:
    if median is None:
        return "–"
    return f"{number(median)} ({number(min(samples))}–{number(max(samples))})"


def rows(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they have to be; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [word.rjust(width) for word, width in zip(line[1:], widths[1:], strict=True)]
        text += "  ".join(cells).rstrip() + "\n"
    return text


def figures_table(figures: Figures, columns: Mapping[str, str]) -> str:
    """columns: metric to heading. Without contenders that have none of them."""
    lines = [["", *columns.values()]]
    for contender in figures.contenders():
        if not any(figures.samples(contender, metric) for metric in columns):
            continue
        cells = [
            cell(figures.samples(contender, metric), figures.median(contender, metric))
            for metric in columns
        ]
        lines.append([contender, *cells])
    return rows(lines) if len(lines) > 1 else ""


def goals_table(figures: Figures, goals: Sequence[Goal]) -> str:
    lines = [["goal", "", "(least–greatest)", "wanted", ""]]
    for goal in goals:
        if ratio := figures.ratio(goal):
            value, least, greatest = map(number, ratio)
            met = "met" if goal.met(ratio[0]) else "MISSED"
            lines.append([goal.text, value, f"({least}–{greatest})", goal.limit(), met])
    return rows(lines) if len(lines) > 1 else ""


def shown(commands: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Command lines: by contender, and then by side."""
    lines = [
        f"  {name}, {side}: {command}"
        for name, sides in commands.items()
        for side, found in sides.items()
        for command in found
    ]
    return "\n".join(["Commands:", *lines])
