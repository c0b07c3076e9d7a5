# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part "vm": one guest, in which all contenders are there all the time and take turns.

setting.py has what it measures in, peers.py what others use, vm_rounds.py what is measured, and
vm_goals.py what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from figures import Figures
from image import ImageError
from measure import take_turns
from qmp import QmpError
from setting import Setting
from table import shown
from vm import VmError, find_accelerator
from vm_goals import GOALS
from vm_rounds import Rounds

__all__ = ["ERRORS", "GOALS", "METRICS", "NAMES", "TABLES", "run"]

#: What a guest can fail with.
ERRORS = (ImageError, QmpError, VmError)

#: Contenders, and what each is.
NAMES = {
    "raw": "one program on a port of its own, no mux; loaded: the load is on another port",
    "socketpair": "both programs in the guest, with a unix socket pair between them",
    "memcpy": "blocks of 64 KiB from one 16 MiB of the guest's memory to another",
    "guestmux_inline": "a channel, all through the port",
    "guestmux": "a channel, with two regions of 16 MiB as shared memory",
    "guestmux_bulk": "pieces of 256 KiB in a buffer of 4 MiB, made and looked at in place; messages"
    " on a channel, one for 1 MiB; RTT: a notice of a buffer, and the one that answers it",
    "guestmux_bulk_64k": "the same with pieces of 64 KiB",
    "socat": "socat on both ends, as it comes; a port for each connection",
    "socat_64k": "the same with a buffer of 64 KiB instead of 8",
    "yamux": "a relay of our own over hashicorp's yamux on both ends, in Go; one port for all",
    "yamux_1M": "the same with windows of 1 MiB instead of yamux's own 256 KiB",
}
#: Metrics that the JSON file has for each contender, null where there is none …
METRICS = ("rtt_p50_us", "rtt_p99_us", "g2h_MBps", "h2g_MBps", "loaded_rtt_p99_us", "opens_per_s")
#: … and why there is none.
MISSING = {
    "raw": "opens_per_s: whoever has the port has it alone",
    "socketpair": "loaded_rtt, opens_per_s: it is there for throughput and as a floor of RTT",
    "memcpy": "all but throughput: nothing but bytes",
    "guestmux_bulk": "opens_per_s: a buffer is a device that is plugged, and meant to stay",
    "guestmux_bulk_64k": "opens_per_s: as guestmux_bulk",
    "socat": "opens_per_s: a pair carries one connection, and another needs another port",
    "socat_64k": "opens_per_s: as socat",
}
#: Two tables: heading by metric.
TABLES = [
    {
        "rtt_p50_us": "RTT p50 µs",
        "rtt_p99_us": "p99 µs",
        "opens_per_s": "opens/s",
    },
    {
        "loaded_rtt_p50_us": "loaded RTT p50 µs",
        "loaded_rtt_p99_us": "p99 µs",
        "load_g2h_MBps": "load g→h MB/s",
        "load_h2g_MBps": "load h→g MB/s",
    },
    {
        "g2h_MBps": "g→h MB/s",
        "h2g_MBps": "h→g MB/s",
        "g2h_touched_MBps": "g→h touched",
        "h2g_touched_MBps": "h→g touched",
        "g2h_cpu_ms": "g→h cpu ms",
        "h2g_cpu_ms": "h→g cpu ms",
    },
]
#: What the headings mean.
NOTES = """\
RTT: a message of 64 bytes and its echo. loaded: the same beside another connection that is busy in
one direction; the worse direction counts. opens/s: connections that the host makes, uses for one
message and its echo, and closes, 16 at a time.
MB/s: 64 MiB in writes of 64 KiB, in 10⁶ bytes. touched: the sender makes each byte, the receiver
looks at each; bulk is always so. cpu ms: how long the guest's processor worked for that,
which other programs of the host disturb less than the time."""


def used(memory: dict[str, Any]) -> str:
    """From what size on shared memory was found to be faster; inline it is, where it was not."""
    words = []
    for side, direction in (("guest", "g→h"), ("host", "h→g")):
        out = memory.get(side, {}).get("out", {})
        size = out.get("from_bytes")
        how = f"from {size:,} bytes on" if size else f"NOT USED ({out.get('why', 'no region')})"
        words.append(f"{direction} {how}")
    return f"Shared memory of channels: {', '.join(words)}."


def run(
    wanted: Sequence[str], repetitions: int, say: Callable[[str], None]
) -> tuple[Figures, dict[str, Any]]:
    """What was measured, and about it."""
    accelerator = find_accelerator()
    say(f"a guest under {accelerator}, with {', '.join(wanted)}")
    with ExitStack() as stack:
        setting = Setting(stack, wanted)
        figures = take_turns(Rounds(setting).all(), repetitions, say)
        memory = setting.memory()
        commands = setting.commands()
        notes = [NOTES, *([used(memory)] if memory else []), shown(commands)]
        about = {
            "title": f"In a guest with one processor under {accelerator}",
            "notes": "\n".join(notes),
            "accelerator": accelerator,
            "guest_kernel": setting.vm.check("uname -r").strip(),
            "qemu": setting.vm.qmp("query-version")["package"],
            "memory": memory,
            "missing": MISSING,
            "commands": commands,
        }
    return figures, about
