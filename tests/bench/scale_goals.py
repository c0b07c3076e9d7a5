# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Of the part "scale": what is measured, how it is shown, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Sequence

from figures import Goal

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
        "g2h_cpu_us_per_MB": "g→h cpu µs/MB",
        "h2g_cpu_us_per_MB": "h→g cpu µs/MB",
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
        "held_max_bytes": "set aside at most, B",
        "unread_bytes": "unread at the end, B",
        "budget_bytes": "budget B",
        "host_grew_bytes": "hostmux grew, B",
        "guest_grew_bytes": "guestmux grew, B",
    },
]
NOTES = """\
RTT, MB/s: of one channel, 64 bytes and 128 MiB, while the others are open and idle; four times in
each repetition. cpu µs/MB: how long both daemons worked for that. opens/s: of 5,000 channels, 64
at once, each with a message of 64 bytes and its answer.
B/channel: resident memory of fresh daemons, before and after; with few it is whole pages of 4 KiB.
Jain: of bytes that each channel got when all were busy, channel i with writes of 2^(i mod 17)
bytes, 1 to 65,536, on a link that carries 8 MB/s, which is what their writer can keep full; as much
as makes 96 KiB each. kept full: how often the least supplied of them had bytes waiting. With few
channels a link has more for each than a socket's buffer holds of writes of one byte.
up: from the first guestmux's start; most of it is starting so many programs.
set aside: by a daemon, for what is unread and what may still come, the most at any time, while
1,000 channels each way were written to whose readers stopped after 1 MB; so it bounds what it
holds. grew: its resident memory at most, with all that it needs for the channels themselves."""


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
    beside("g2h_cpu_us_per_MB", "g→h cpu", None, 1.1),
    beside("h2g_cpu_us_per_MB", "h→g cpu", None, 1.1),
    Goal("opens and closes a second", ("1", "opens_per_s"), None, 10_000),
    Goal("Jain's index of 1,000 busy channels", ("1000", "jain"), None, 0.99),
    Goal("links up of 200", ("links_200", "links_up"), None, 200),
    *(Goal(f"set aside / {name.replace('_', ' of ')}", (name, "held_max_bytes"),
           (name, "budget_bytes"), at_most=1) for name in BUDGETS),
]  # fmt: skip
