#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guard: a frame takes no more instructions than it did."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))

from callgrind import instructions  # noqa: E402
from limits import INSTRUCTIONS  # noqa: E402

BUILD = Path(os.environ.get("GUESTMUX_BUILD", ROOT / "build"))


@unittest.skipUnless(shutil.which("valgrind"), "needs valgrind")
@unittest.skipUnless(platform.machine() == "x86_64", "the limits are those of x86-64")
class Instructions(unittest.TestCase):
    def test_frames(self) -> None:
        program = BUILD / "tests/bench/frames-guestmux"
        for (what, size), limit in INSTRUCTIONS.items():
            with self.subTest(what=what, size=size):
                found = instructions(program, size, what)
                print(f"to {what} a frame of {size} bytes: {found:.1f} of {limit:g} instructions")
                self.assertLessEqual(found, limit)


if __name__ == "__main__":
    unittest.main()
