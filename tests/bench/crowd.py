# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the program `crowd` does with a pair of daemons."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType

from measure import BenchError, Values, parse
from pair import CROWD, Pair


class Crowd:
    """Many channels of one process, until the `with` block ends. `bytes` were written."""

    def __init__(self, pair: Pair, what: str, count: int, path: Path, name: str) -> None:
        self._process = pair.run(
            [CROWD, what, str(count), path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.popen.stdout
        line = self._process.popen.stdout.readline()
        if not line:
            raise BenchError(f"crowd {what}: {self._process.log_tail()}")
        self.bytes: int = json.loads(line)["bytes"]

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        popen = self._process.popen
        popen.communicate()


def share(pair: Pair, count: int, each: int, sink: Path) -> Values:
    """Busy channels to the service "sink", whose handler is to listen at `sink`."""
    command: list[str | Path] = [CROWD, "share", str(count), str(each), pair.guest.socket, "sink"]
    try:
        done = subprocess.run(
            [*command, sink], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"crowd share {count}: no end after 120 s") from error
    if done.returncode != 0:
        raise BenchError(f"crowd share {count}: {done.stdout.strip()}")
    return parse(done.stdout, "crowd share")
