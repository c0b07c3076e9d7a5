# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Instructions that a frame costs, counted by valgrind's callgrind in a program made of frames.c.

What is counted is the same in every run: nothing of it depends on time, addresses or the machine's
load. Copies of payload are left out, so it does not depend on the processor's memcpy() either; it
does on the compiler.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

#: Rounds of frames.c that are counted, after those in which it warms up.
ROUNDS = 20


class CountError(Exception):
    """Something could not be counted."""


def instructions(program: Path, size: int, what: str) -> float:
    """Instructions to `what` ("encode" or "decode") a frame of so many bytes of payload."""
    with tempfile.TemporaryDirectory(prefix="guestmux-callgrind-") as folder:
        out = Path(folder) / "out"
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
            f"--toggle-collect=frames_{what}", f"--toggle-collect=copy_in_{what}",
            "--zero-before=frames_measured", str(program), str(size), str(ROUNDS),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise CountError(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")
        counted = re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE)
        frames = re.search(r'"frames": (\d+)', done.stdout)
    if not counted or not frames or int(counted[1]) == 0:
        raise CountError(f"callgrind counted nothing: {done.stdout} {done.stderr}")
    return int(counted[1]) / int(frames[1])
