# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was measured: for each contender and metric one sample a repetition; and ratios of these."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A contender's name and a metric's.
Key = tuple[str, str]


@dataclass(frozen=True)
class Goal:
    """A ratio that is wanted: `of` by `to`, at least or at most so much. Without `to`, `of` itself."""

    text: str
    of: Key
    to: Key | None
    at_least: float | None = None
    at_most: float | None = None

    def met(self, ratio: float) -> bool:
        return (self.at_least is None or ratio >= self.at_least) and (
            self.at_most is None or ratio <= self.at_most
        )

    def limit(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


class Figures:
    """The samples of one part, in the order of repetitions."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[str, list[float]]] = {}

    def add(self, contender: str, values: Mapping[str, float]) -> None:
        for metric, value in values.items():
            self._samples.setdefault(contender, {}).setdefault(metric, []).append(value)

    def contenders(self) -> list[str]:
        return list(self._samples)

    def samples(self, contender: str, metric: str) -> list[float]:
        return self._samples.get(contender, {}).get(metric, [])

    def median(self, contender: str, metric: str) -> float | None:
        samples = self.samples(contender, metric)
        return statistics.median(samples) if samples else None

    def ratio(self, goal: Goal) -> tuple[float, float, float] | None:
        """The medians' ratio, and the least and greatest of one repetition."""
        of = self.samples(*goal.of)
        to = self.samples(*goal.to) if goal.to else [1.0] * len(of)
        if not of or not to:
            return None
        each = [a / b for a, b in zip(of, to, strict=True)]
        return statistics.median(of) / statistics.median(to), min(each), max(each)

    def medians(self, always: Sequence[str] = ()) -> dict[str, dict[str, float | None]]:
        """always: metrics that each contender has, None where it was not measured."""
        nothing: dict[str, float | None] = dict.fromkeys(always)
        return {
            contender: nothing
            | {metric: statistics.median(found) for metric, found in metrics.items()}
            for contender, metrics in self._samples.items()
        }

    def ratios(self, goals: list[Goal]) -> list[dict[str, Any]]:
        """For the JSON file."""
        found = []
        for goal in goals:
            if ratio := self.ratio(goal):
                found.append(
                    {
                        "text": goal.text, "of": list(goal.of), "to": goal.to and list(goal.to),
                        "at_least": goal.at_least, "at_most": goal.at_most,
                        "ratio": ratio[0], "least": ratio[1], "greatest": ratio[2],
                        "met": goal.met(ratio[0]),
                    }  # fmt: skip
                )
        return found

    def all_samples(self) -> dict[str, dict[str, list[float]]]:
        return self._samples
