# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the part "vm" has to show, as ratios inside one run."""

from __future__ import annotations

from figures import Goal


def _at_least(of: str, metric: str, to: str, ratio: float) -> Goal:
    direction = {"g2h_MBps": "g→h", "h2g_MBps": "h→g"}[metric]
    return Goal(f"{of} {direction} / {to}", (of, metric), (to, metric), at_least=ratio)


def _at_most(what: str, of: str, metric: str, to: str, ratio: float) -> Goal:
    return Goal(f"{of} {what} / {to}", (of, metric), (to, metric), at_most=ratio)


#: Of both: a message is too small for shared memory, but not to be in its way.
CHANNELS = ("guestmux", "guestmux_inline")

GOALS = [
    *(
        _at_most("RTT", channel, "rtt_p50_us", to, ratio)
        for channel in CHANNELS
        for to, ratio in (("raw", 1.8), ("socat", 0.5), ("yamux", 0.25))
    ),
    *(
        _at_least("guestmux", "g2h_MBps", to, ratio)
        for to, ratio in (
            ("raw", 0.6), ("socat", 1.3), ("yamux", 3), ("yamux_1M", 3), ("socketpair", 0.9),
        )
    ),
    *(
        _at_least("guestmux_inline", "h2g_MBps", to, ratio)
        for to, ratio in (("raw", 0.6), ("socat", 8), ("yamux", 2.5), ("yamux_1M", 2.5))
    ),
    *(
        _at_most("loaded p99", channel, "loaded_rtt_p99_us", "yamux", 0.2)
        for channel in CHANNELS
    ),
    _at_least("guestmux", "h2g_MBps", "socketpair", 0.9),
    _at_least("guestmux", "h2g_MBps", "guestmux_inline", 1.3),
    _at_least("guestmux_bulk", "g2h_MBps", "raw", 2),
    _at_least("guestmux_bulk", "h2g_MBps", "raw", 2),
    _at_most("notice", "guestmux_bulk", "rtt_p50_us", "guestmux", 1.2),
]  # fmt: skip
