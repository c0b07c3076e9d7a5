# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What things may cost: the one table of the guard. HACKING.md, "the guard", says how to change it.

Each limit is what was counted when it was last changed, and about a tenth more.
"""

from __future__ import annotations

#: Instructions for a frame: what is done, and bytes of payload. gcc 12 on x86-64, RelWithDebInfo.
INSTRUCTIONS: dict[tuple[str, int], float] = {
    ("encode", 64): 395,
    ("decode", 64): 490,
    ("encode", 32000): 870,
    ("decode", 32000): 1000,
}

#: System calls of a daemon: what is done, and the daemon's part in that.
CALLS: dict[tuple[str, str], float] = {
    ("a message of 64 bytes", "sender"): 3.3,
    ("a message of 64 bytes", "receiver"): 3.3,
    ("a message each on 64 channels at once, for one", "sender"): 1.13,
    ("a message each on 64 channels at once, for one", "receiver"): 1.13,
    ("a megabyte of one channel", "sender"): 115,
    ("a megabyte of one channel", "receiver"): 36,
}
