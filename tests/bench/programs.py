# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that a bench runs on this machine, from their start to the end of a `with` block."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from machine import die_with_parent
from measure import BenchError
from stack import listens, wait_for

#: How long a program may take to begin, and to end.
PATIENCE = 10.0


class Program:
    """A command, which is up when the socket `ready` is there. What it says goes beside that."""

    def __init__(
        self,
        command: Sequence[Path | str],
        ready: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self._ready = ready
        self._environment = environment
        self._log = ready.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            wait_for(self._up, PATIENCE)
        except TimeoutError as error:
            self._end()
            raise BenchError(f"not up within {PATIENCE:g} s: {self.explain()}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process
        return self._process

    def _up(self) -> bool:
        if self._running().poll() is not None:
            raise BenchError(f"it ended at once: {self.explain()}")
        return listens(self._ready)

    def _end(self) -> None:
        process = self._running()
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        return self._running().pid

    def explain(self) -> str:
        """The command, and what it said last."""
        said = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join([shlex.join(self.command), *said[-10:]])


def cpu_us(pid: int) -> float:
    """How long a process and what it has started have worked; those that ended are not counted."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            total += int((task / "schedstat").read_text().split()[0]) / 1e3
            children = (task / "children").read_text().split()
        except OSError:  # it has just ended
            continue
        total += sum(cpu_us(int(child)) for child in children)
    return total
