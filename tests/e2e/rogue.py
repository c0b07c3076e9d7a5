# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A VM, or a host, that means no good: hostmux has two VMs, one of which is well, and the other
one's end is rogue.c.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from daemon import BIN, Daemon, Json, wait_until
from stack import Stack, StackTest, read_exactly

EVIL = "evil"


class Rogue:
    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / f"rogue.{time.monotonic_ns()}"
        self.out = folder / f"{self.log.name}.out"
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen([str(BIN / "rogue"), *arguments], bufsize=0,
                                            stdin=subprocess.PIPE, stdout=out, stderr=log)

    def says(self, *words: str) -> None:
        wait_until(lambda: all(word in self.log.read_text().splitlines() for word in words),
                   f"{words}, but: {self.log.read_text()}")

    def say(self, *lines: bytes | Json) -> None:
        """Objects, or whatever else comes on the channel."""
        assert self.process.stdin
        data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                        for line in lines)
        while data:
            data = data[self.process.stdin.write(data):]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()


class RogueTest(StackTest):
    def started(self, **keys: object) -> Stack:
        stack = self.stack(start=False, host=["--vm", f"{EVIL}=listen:{self.folder}/evil"], **keys)
        stack.host.service("echo", connect=self.echo())
        return stack.start()

    def daemon_up(self, daemon: Daemon, link: str) -> bool:
        return bool(daemon.link(link)["state"] == "up")

    def rogue(self, stack: Stack, *arguments: str) -> Rogue:
        """A guest, whose session is up."""
        rogue = Rogue(self.folder, "guest", f"unix:{self.folder}/evil", *arguments)
        self.addCleanup(rogue.close)
        rogue.says("up")
        return rogue

    def announcer(self, stack: Stack) -> Rogue:
        """One that has announced a service."""
        rogue = self.rogue(stack, "@services")
        rogue.say({"daemon": "rogue", "version": "9"}, {"service": "before"})
        wait_until(lambda: self.remote(stack) == ["before"], "it is announced")
        return rogue

    def end(self, stack: Stack, rogue: Rogue) -> None:
        rogue.close()
        wait_until(lambda: not self.daemon_up(stack.host, EVIL), "its link is down")
        self.assertEqual(self.remote(stack), [])

    def remote(self, stack: Stack) -> list[str]:
        """What the host believes to be on the rogue's side."""
        return [one["service"] for one in stack.host.ask("services")["remote"]
                if one["link"] == EVIL]

    def slowest(self, stack: Stack, seconds: float) -> float:
        """The longest of one round trip a millisecond, in the VM that is well."""
        app = stack.open("echo")
        longest, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            app.sendall(b"x")
            read_exactly(app, 1)
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.001)
        app.close()
        return longest
