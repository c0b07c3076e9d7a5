# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both daemons on one machine, which take turns, so that what they call is the same in every run.

How many system calls a megabyte takes depends on how much is there each time a daemon is woken up,
and so on how the machine schedules. Here all is decided by the test: a daemon is stopped (SIGSTOP)
while it is given its input, then goes on until it has nothing to do and sleeps, and is stopped
again before the other goes on. A loaded machine makes that slower, and nothing else.

strace writes a line for each system call, and is there from the daemon's start, since not everybody
may attach to a process that runs.
"""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon import PATIENCE, Daemon
from stack import Stack
#: "1234  read(5, …) = 64", or "1234  <... read resumed>…": not signals, nor the process's end.
CALL = re.compile(r"\d+ +(?:(\w+)\(|<\.\.\. (\w+) resumed>)")


class Traced:
    """A daemon under strace. It runs, until it is stopped for the first time."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.log = daemon.folder / f"{daemon.name}.calls"
        # -D: the daemon stays our child, and strace is nobody's.
        daemon.other_command = ["strace", "-D", "-f", "-qq", "-o", str(self.log),
                                *daemon.command()]  # fmt: skip

    def state(self) -> str:
        """The letter that ps shows; S is a system call that waits, for a daemon epoll_wait()."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(")", 1)[1]
        return fields.split()[0]

    def calls(self) -> Counter[str]:
        """Those that have returned, by name, but for the waiting that SIGSTOP has interrupted: it
        is begun anew, and counted when it has something to return."""
        text = self.log.read_text(errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return Counter(match[1] or match[2] for line in lines
                       if "ERESTART" not in line and "EINTR" not in line and "<unfinished" not in line
                       and (match := CALL.match(line)))  # fmt: skip

    def stop(self) -> None:
        self.daemon.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]

    def go_on(self) -> None:
        """Until it sleeps."""
        self.daemon.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
        self.wait_idle()

    def wait_idle(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.state() != "S":
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.daemon.name} finds no end: {self.state()}")
            time.sleep(0.0002)


class Turns:
    """`sender` has the apps, `receiver` the handlers."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sender, self.receiver = Traced(stack.guest), Traced(stack.host)
        self.ends = {"sender": self.sender, "receiver": self.receiver}

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside, both are stopped when they have no turn."""
        for end in self.ends.values():
            end.wait_idle()
            end.stop()
        try:
            yield
        finally:
            for end in self.ends.values():
                if end.daemon.running():
                    end.go_on()

    def turn(self, name: str) -> None:
        end = self.ends[name]
        end.go_on()
        end.stop()

    def counts(self) -> dict[str, Counter[str]]:
        return {name: end.calls() for name, end in self.ends.items()}
