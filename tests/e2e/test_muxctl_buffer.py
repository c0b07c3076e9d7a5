# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl buffer with both daemons, and a stand-in for QEMU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import unittest
from pathlib import Path
from typing import Any

from daemon import BIN, Daemon, Json, wait_until
from memory_stack import MIB, MemoryTest
from running import Muxctl, RunningTest
from stack import VM, Stack, muxctl
from traffic import pattern

USAGE, NO_DAEMON, ERROR, NO_BUFFER, DENIED, LIMIT = 2, 3, 4, 11, 12, 14
LINK_DOWN, BAD_NAME, EXISTS, GONE, UNSHARED = 16, 17, 18, 19, 20
SIDES = ("guest", "host")


class BufferTest(RunningTest, MemoryTest):
    @staticmethod
    def daemon_of(stack: Stack, side: str) -> Daemon:
        return stack.guest if side == "guest" else stack.host

    @staticmethod
    def name(daemon: Daemon, name: str = "clip") -> str:
        return f"{VM}/{name}" if daemon.kind == "hostmux" else name

    def make(self, daemon: Daemon, *arguments: str, name: str = "clip",
             size: str = "1M") -> Muxctl:
        """A buffer that is ready."""
        running = self.begin(daemon, "buffer", "create", self.name(daemon, name), "--size", size,
                             *arguments)
        running.wait_for("\n", "stdout")
        return running

    def buffer(self, daemon: Daemon, command: str, *arguments: str, name: str = "clip",
               data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return muxctl(daemon, "buffer", command, self.name(daemon, name), *arguments, data=data)

    def good(self, daemon: Daemon, command: str, *arguments: str, **keys: Any) -> bytes:
        """It succeeds without a word of complaint; what it printed."""
        run = self.buffer(daemon, command, *arguments, **keys)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return run.stdout

    def bad(self, status: int, daemon: Daemon, command: str, *arguments: str, **keys: Any) -> str:
        """It fails, and says why in one line."""
        run = self.buffer(daemon, command, *arguments, **keys)
        self.assertEqual((run.returncode, run.stdout), (status, b""), run.stderr)
        self.assertEqual(run.stderr.count(b"\n"), 1, run.stderr)
        return run.stderr.decode()

    def shown(self, daemon: Daemon, name: str = "clip") -> Json:
        answer: Json = json.loads(self.good(daemon, "show", "--json", name=name))
        return answer


class Carry(BufferTest):
    def test_both_ways(self) -> None:
        """What one side fills in, the other side reads, and is told of; whoever owns it."""
        stack = self.memory_stack()
        for owner in SIDES:
            wait = self.begin(stack.host, "buffer", "wait", f"{VM}/clip")
            made = self.make(self.daemon_of(stack, owner), size="3M")
            self.good(stack.guest, "wait", "--timeout", "15")
            self.assertEqual((wait.wait(), wait.err), (0, ""))
            self.assertIn("clip: ready, 4194304 bytes\n", made.out)
            for number, side in enumerate(SIDES):
                here = self.daemon_of(stack, side)
                there = self.daemon_of(stack, SIDES[1 - number])
                watch = self.begin(there, "buffer", "watch", self.name(there))
                watch.wait_for("ready", "stdout")
                data = pattern(number, 5000)
                self.good(here, "fill", "--offset", "1M", data=data)
                watch.wait_for(": 5000 bytes at 1048576\n", "stdout")
                self.assertEqual(
                    self.good(there, "cat", "--offset", "1M", "--length", "5000"), data)
                self.good(here, "notify", "--length", "7")
                watch.wait_for(": 7 bytes at 0\n", "stdout")
                self.assertEqual(len(self.good(here, "cat")), 4 * MIB)
                watch.end()
            made.process.terminate()
            self.assertEqual(made.wait(), 0)
            self.wait_nothing_left(stack)

    def test_node(self) -> None:
        """For a host program that knows nothing of us."""
        stack = self.memory_stack()
        self.make(stack.guest)
        self.good(stack.guest, "fill", data=b"hello")
        node = self.shown(stack.host)["node"]
        self.assertEqual(node, str(self.node()))
        with open(node, "rb") as memory:
            self.assertEqual(memory.read(5), b"hello")

    @unittest.skipUnless(os.geteuid() == 0, "root or the daemon's user, and a place in /dev/shm")
    def test_from(self) -> None:
        """A host program's own memory, under its name; its size is known to the daemon."""
        stack = self.memory_stack()
        path = Path(f"/dev/shm/mux-test-{os.getpid()}")
        self.addCleanup(path.unlink)
        path.write_bytes(b"theirs".ljust(MIB, b"\0"))
        made = self.begin(stack.host, "buffer", "create", f"{VM}/clip", "--from", f"/{path.name}")
        made.wait_for("ready, 1048576 bytes\n", "stdout")
        self.assertEqual(self.good(stack.guest, "cat", "--length", "6"), b"theirs")
        self.good(stack.guest, "fill", data=b"answer")
        self.assertEqual(path.read_bytes()[:6], b"answer")

    def test_read_only(self) -> None:
        stack = self.memory_stack()
        for owner, readers in (("guest", "host"), ("host", "guest")):
            made = self.make(self.daemon_of(stack, owner), "--read-only-for", readers)
            here, there = (self.daemon_of(stack, side) for side in (owner, readers))
            self.good(here, "fill", data=b"hello")
            self.assertEqual(self.good(there, "cat", "--length", "5"), b"hello")
            for command in (("fill",), ("notify",), ("set", "a=b")):
                self.bad(DENIED, there, *command)
            self.assertIn(f"read only for: {readers}\n", self.good(there, "show").decode())
            made.process.terminate()
            self.assertEqual(made.wait(), 0)
            self.wait_nothing_left(stack)


class Properties(BufferTest):
    def test_set(self) -> None:
        stack = self.memory_stack()
        self.make(stack.guest, "--property", "application=clip", "--property", "a=1")
        watch = self.begin(stack.host, "buffer", "watch", f"{VM}/clip")
        watch.wait_for("ready", "stdout")
        self.good(stack.guest, "set", "b=2=3", "a=")
        watch.wait_for("properties      application=clip b=2=3\n", "stdout")
        self.good(stack.host, "set", "b=4")
        wait_until(lambda: self.shown(stack.guest)["properties"]
                   == {"application": "clip", "b": "4"}, "the guest knows")
        self.good(stack.host, "set", "b=4", "none=")  # which changes nothing
        self.assertIn("  b=4\n", self.good(stack.host, "show").decode())

    def test_not_taken(self) -> None:
        stack = self.memory_stack()
        self.make(stack.guest, "--property", "a=1")
        for change in ("bad name=1", "x" * 65 + "=1", "big=" + "x" * 5000):
            self.bad(ERROR, stack.guest, "set", change)
        self.assertEqual(self.shown(stack.guest)["properties"], {"a": "1"})

    def test_events(self) -> None:
        """A host program learns of the buffers of its application, those of before too."""
        stack = self.memory_stack()
        self.make(stack.guest, "--property", "application=clip", name="before")
        wait_until(lambda: "before" in self.buffers(stack.host), "the host knows")
        follow = self.begin(stack.host, "events", "--only", "buffers", "--application", "clip")
        follow.wait_for(f"buffer-added    {VM} before 1MiB by guest muxctl(", "stdout")
        self.make(stack.guest, name="other")
        made = self.make(stack.guest, "--property", "application=clip", name="later")
        follow.wait_for(f"buffer-added    {VM} later 1MiB by guest muxctl(", "stdout")
        self.good(stack.guest, "set", "x=y", name="later")
        follow.wait_for("application=clip x=y\n", "stdout")
        made.process.kill()
        follow.wait_for(f"buffer-removed  {VM} later owner (its owner is gone)\n", "stdout")
        self.assertNotIn("other", follow.out)
        run = muxctl(stack.host, "buffer", "list", "--names", "--application", "clip")
        self.assertEqual(run.stdout, f"{VM}/before\n".encode())


class Ends(BufferTest):
    def test_owner(self) -> None:
        """By a signal, killed, or with its command: it is gone for all, and they are told."""
        stack = self.memory_stack()
        for side in SIDES:
            here = self.daemon_of(stack, side)
            there = stack.host if here is stack.guest else stack.guest
            for number in (signal.SIGINT, signal.SIGKILL):
                made = self.make(here)
                watch = self.begin(there, "buffer", "watch", self.name(there))
                watch.wait_for("ready", "stdout")
                made.process.send_signal(number)
                watch.wait_for("gone            owner (its owner is gone)\n", "stdout")
                self.assertEqual((watch.wait(), watch.err), (0, ""))
                self.wait_nothing_left(stack)
            script = "$0 --socket $1 buffer list --names; exit 9"
            run = muxctl(here, "buffer", "create", self.name(here), "--size", "1M", "--", "sh",
                         "-c", script, str(BIN / "muxctl"), str(here.socket))
            self.assertEqual((run.returncode, run.stdout, run.stderr),
                             (9, f"{self.name(here)}\n".encode(), b""))
            self.wait_nothing_left(stack)

    def test_release(self) -> None:
        stack = self.memory_stack()
        for side in SIDES:
            here = self.daemon_of(stack, side)
            made = self.make(here)
            self.good(here, "release")
            self.assertEqual(made.wait(), GONE)
            self.assertEqual(made.err,
                             f"muxctl: {self.name(here)}: the buffer is gone: released\n")
            self.wait_nothing_left(stack)
        self.bad(NO_BUFFER, stack.guest, "release")

    def test_daemons_end(self) -> None:
        stack = self.memory_stack()
        made = self.make(stack.guest)
        watch = self.begin(stack.host, "buffer", "watch", f"{VM}/clip")
        watch.wait_for("ready", "stdout")
        stack.guest.kill()
        self.assertEqual(made.wait(), NO_DAEMON)
        stack.guest.start()
        self.assertEqual(watch.wait(), 0)
        self.assertIn(" gone ", watch.out)
        stack.wait_up()
        self.wait_nothing_left(stack)


class Refused(BufferTest):
    def test_statuses(self) -> None:
        stack = self.memory_stack(limits={"buffers": 2})
        for daemon in stack.daemons:
            for command in ("cat", "fill", "notify", "watch", "show"):
                self.bad(NO_BUFFER, daemon, command)
            self.bad(NO_BUFFER, daemon, "set", "a=b")
            self.bad(BAD_NAME, daemon, "create", "--size", "1M", name="b@d")
            for size in ("0", "1T"):
                self.bad(USAGE, daemon, "create", "--size", size)
        self.make(stack.guest)
        for daemon in stack.daemons:
            wait_until(lambda d=daemon: self.buffers(d),  # type: ignore[misc]
                       "it is known")
            self.bad(EXISTS, daemon, "create", "--size", "1M")
        self.make(stack.guest, name="second")
        self.bad(LIMIT, stack.host, "create", "--size", "1M", name="third")
        run = muxctl(stack.host, "buffer", "cat", "clip")  # without the VM's name
        self.assertEqual(run.returncode, BAD_NAME)

    def test_no_memory(self) -> None:
        """A VM without QMP: clear words, and everything else works."""
        stack = self.stack()
        for daemon in stack.daemons:
            self.bad(UNSHARED, daemon, "create", "--size", "1M")
            run = muxctl(daemon, "buffer", "list")
            self.assertEqual((run.returncode, run.stdout), (0, b"There are no buffers.\n"))
            self.assertIn(b"no shared memory: ", muxctl(daemon, "status").stdout)

    def test_link_down(self) -> None:
        stack = self.memory_stack()
        stack.host.stop()
        wait_until(lambda: not stack.guest.is_up(), "the link is down")
        self.bad(LINK_DOWN, stack.guest, "create", "--size", "1M")
        stack.host.start()
        stack.wait_up()


if __name__ == "__main__":
    unittest.main()
