# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Buffers outlive hostmux where systemd, whose part the test plays, keeps their descriptors."""

from __future__ import annotations

import array
import os
import socket
import sys
import unittest
from collections.abc import Callable
from pathlib import Path

from daemon import wait_until
from memory_stack import MIB, Handle, MemoryTest
from stack import Stack

#: Puts descriptors where systemd does, and becomes the daemon.
LAUNCH = """
import fcntl, os, sys
fds = [fcntl.fcntl(os.open(path, os.O_RDWR), fcntl.F_DUPFD, 100) for path in sys.argv[1].split()]
for at, fd in enumerate(fds, 3):
    os.dup2(fd, at)
os.closerange(3 + len(fds), 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Store:
    """What systemd has: names and descriptors."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.setblocking(False)
        self.fds: list[tuple[str, int]] = []

    def read(self) -> list[str]:
        """Takes what was sent; the names that are kept now."""
        while True:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(64))
            except BlockingIOError:
                return sorted(name for name, _ in self.fds)
            words = dict(line.split("=", 1) for line in data.decode().splitlines())
            for _, _, rights in ancillary:
                for fd in array.array("i", rights):
                    self.fds.append((words["FDNAME"], fd))
            if words.get("FDSTOREREMOVE") == "1":
                for entry in [e for e in self.fds if e[0] == words["FDNAME"]]:
                    os.close(entry[1])
                    self.fds.remove(entry)

    def close(self) -> None:
        self.sock.close()
        for _, fd in self.fds:
            os.close(fd)


class Keep(MemoryTest):
    def start(self) -> Stack:
        self.store = Store(self.folder / "test-notify")
        self.addCleanup(self.store.close)
        stack = self.memory_stack(start=False)
        stack.host.environment["NOTIFY_SOCKET"] = str(self.folder / "test-notify")
        stack.host.start()
        self.wait_qmp(stack)
        stack.guest.start()
        stack.wait_up()
        return stack

    def restart(self, stack: Stack, kill: bool = False,
                meanwhile: Callable[[], object] = lambda: None) -> None:
        """As systemd does, with what it was given to keep."""
        self.store.read()
        if kill:
            stack.host.kill()
            stack.host.socket.unlink()
            stack.port.unlink()
        else:
            stack.host.stop()
        self.store.read()
        meanwhile()
        paths = " ".join(f"/proc/{os.getpid()}/fd/{fd}" for _, fd in self.store.fds)
        names = ":".join(name for name, _ in self.store.fds)
        stack.host.other_command = []
        stack.host.other_command = [sys.executable, "-c", LAUNCH, paths, names,
                                    *stack.host.command()]
        stack.host.start()
        stack.host.other_command = []
        stack.wait_up()
        self.wait_qmp(stack)

    @staticmethod
    def properties(stack: Stack) -> object:
        return stack.host.ask("buffers")["buffers"][0]["properties"]

    def test_survives(self) -> None:
        """A program in the guest goes on with its buffer, after a restart and after a crash."""
        stack = self.start()
        app = self.create(stack.guest, properties={"a": "b"}, read_only_for="host")
        app.memory[0:5] = b"hello"
        for kill in (False, True, False):
            self.restart(stack, kill)
            other = self.open(stack.host)
            self.assertEqual(other.memory[0:5], b"hello")
            self.assertEqual(other.shown["properties"], {"a": "b"})
            self.assertFalse(other.shown["writable"])
            self.assertEqual(other.shown["owner"]["program"], app.shown["owner"]["program"])
            self.assertEqual(self.node().read_bytes()[:5], b"hello")
            app.notify(1, 2)
            other.record()
            for value in ("c", "b"):
                app.set(a=value)
                wait_until(lambda v=value: self.properties(stack) == {"a": v},  # type: ignore[misc]
                           "the host has it")
            other.close()
        self.assertEqual(self.qemu.commands().count("device_add"), 1)
        app.close()
        self.wait_nothing_left(stack)
        wait_until(lambda: self.store.read() == ["buffers"], "nothing is kept")

    def test_host_programs_do_not(self) -> None:
        """Whose connections ended with it."""
        stack = self.start()
        ours = self.create(stack.host, "ours")
        theirs = self.open(stack.guest, "ours")
        self.restart(stack, kill=True)
        self.assertEqual(theirs.gone(), "reset")
        ours.close()
        self.wait_nothing_left(stack)
        self.assertNotIn(theirs.shown["id"], self.store.read())

    def test_owner_ends_meanwhile(self) -> None:
        stack = self.start()
        app, stays = self.create(stack.guest), self.create(stack.guest, "stays")
        self.restart(stack, kill=True, meanwhile=app.close)
        wait_until(lambda: self.buffers(stack.host) == {"stays": "ready"}, "one is left")
        stays.close()
        self.wait_nothing_left(stack)

    def test_qemu_is_another(self) -> None:
        """What its QEMU does not have any more is given up."""
        stack = self.start()
        app = self.create(stack.guest)
        self.restart(stack, kill=True, meanwhile=lambda: (self.qemu.stop(), self.qemu.start()))
        app.gone()
        wait_until(lambda: self.store.read() == ["buffers"], "nothing is kept")
        self.wait_nothing_left(stack)

    def test_nonsense(self) -> None:
        """What comes back is believed no more than a file is."""
        stack = self.start()
        for text in (b"", b"{", b"[]", b'{"buffers": [5, {"vm": 5}, {"vm": "x", "id": "y"}]}',
                     b'{"buffers": [{"vm": "x", "id": "%s", "name": "../x", "size": -1}]}',
                     b"x" * (2 * MIB)):
            app = self.create(stack.guest)

            def spoil(app: Handle = app, text: bytes = text) -> None:
                fd = dict(self.store.fds)["buffers"]
                os.ftruncate(fd, 0)
                os.pwrite(fd, text.replace(b"%s", app.shown["id"].encode()), 0)

            self.restart(stack, kill=True, meanwhile=spoil)
            app.gone()
            self.wait_nothing_left(stack)


if __name__ == "__main__":
    unittest.main()
