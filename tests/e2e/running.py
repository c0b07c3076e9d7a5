# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl that goes on running: started, listened to, ended."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from pathlib import Path

from daemon import BIN, PATIENCE, Daemon, wait_until
from stack import Stack, StackTest


class Muxctl:
    """One muxctl. What it writes is kept as it comes, so that nothing of it blocks."""

    def __init__(self, daemon: Daemon, *arguments: str, program: Path = BIN / "muxctl",
                 **keys: object) -> None:
        self.process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [program, "--socket", daemon.socket, *arguments],
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE} | keys))
        self.said = {"stdout": b"", "stderr": b""}
        self.selector = selectors.DefaultSelector()
        for name in self.said:
            stream = getattr(self.process, name)
            if stream:
                self.selector.register(stream, selectors.EVENT_READ, name)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self.said["stdout"].decode()

    @property
    def err(self) -> str:
        return self.said["stderr"].decode()

    def take(self, timeout: float = 0) -> bool:
        """Takes what it has written; False when there will be no more."""
        for key, _ in self.selector.select(timeout):
            piece = os.read(key.fd, 1 << 16)
            if piece:
                self.said[key.data] += piece
            else:
                self.selector.unregister(key.fileobj)
        return bool(self.selector.get_map())

    def wait_for(self, text: str, stream: str = "stderr", count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.said[stream].decode(errors="replace").count(text) < count:
            if not self.take(0.05) and self.process.poll() is not None:
                raise AssertionError(f"it ended without {text!r}: {self.said}")
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not say {text!r}: {self.said}")

    def wait(self) -> int:
        """Waits until it ends, and all that it wrote is there; its status."""
        deadline = time.monotonic() + PATIENCE
        while self.take(0.05):
            if time.monotonic() > deadline:
                raise AssertionError(f"it goes on: {self.said}")
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.selector.close()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream and not stream.closed:
                stream.close()

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class RunningTest(StackTest):
    def begin(self, daemon: Daemon, *arguments: str, **keys: object) -> Muxctl:
        running = Muxctl(daemon, *arguments, **keys)  # type: ignore[arg-type]
        self.addCleanup(running.end)
        return running

    def listen(self, stack: Stack, *arguments: str, side: str = "host", name: str = "clip",
               **keys: object) -> Muxctl:
        """muxctl listen, once it is known to both sides."""
        there, here = (stack.host, stack.guest) if side == "host" else (stack.guest, stack.host)
        running = self.begin(there, "listen", name, *arguments, **keys)
        running.wait_for(f"muxctl: listening as '{name}'\n")
        wait_until(lambda: name in self.names(here), f"{name} is known to the other side")
        return running

    @staticmethod
    def names(daemon: Daemon) -> list[str]:
        return [service["service"] for service in daemon.ask("services")["remote"]]
