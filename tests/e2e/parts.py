# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other people's programs, unpacked by tests/parts/fetch and installed nowhere."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("GUESTMUX_PARTS",
                           Path(__file__).resolve().parents[2] / "build/parts")) / "root"


def part(program: str) -> str:
    """Where a program is, such as usr/bin/redis-server. Skips the test if it was not fetched."""
    if not ROOT.exists():
        raise unittest.SkipTest(f"{ROOT} is missing: run tests/parts/fetch")
    path = ROOT / program
    assert path.exists(), path
    return str(path)


def environment() -> dict[str, str]:
    """With the libraries that were fetched with them."""
    libraries = {str(file.parent) for folder in ("lib", "usr/lib")
                 for file in (ROOT / folder).rglob("*.so.*")}
    return os.environ | {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
