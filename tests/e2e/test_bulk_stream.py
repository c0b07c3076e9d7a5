# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bulk streams between both sides: the example frames, which offers a service and opens it."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import IO, Any

from daemon import BIN, PATIENCE, Daemon, wait_until
from fake_buffers import FakeDaemon
from memory_stack import MIB, MemoryTest
from stack import VM, Stack

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients" / "python"))
import guestmux  # noqa: E402


def binary(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


class Stream(MemoryTest):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.end)
        self.processes: list[subprocess.Popen[bytes]] = []

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream and not stream.closed:
                    stream.close()

    def frames(self, daemon: Daemon, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(BIN / "frames"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=os.environ | {"GUESTMUX_SOCKET": str(daemon.socket)})
        self.processes.append(process)
        return process

    def serve(self, stack: Stack, side: str) -> subprocess.Popen[bytes]:
        daemon, other = (stack.host, stack.guest) if side == "host" else (stack.guest, stack.host)
        receiver = self.frames(daemon, "--serve", "frames")
        self.assertEqual(self.said(receiver), "frames: serving 'frames'")
        wait_until(lambda: other.ask("services")["remote"], "the service is known")
        return receiver

    @staticmethod
    def said(process: subprocess.Popen[bytes]) -> str:
        return binary(process.stderr).readline().decode().strip()

    def end_of(self, receiver: subprocess.Popen[bytes]) -> str:
        """What it says of a stream that has ended. After "gone" a line says why."""
        line = self.said(receiver)
        if "(gone)" in line:
            self.assertIn(": gone: ", self.said(receiver))
        return line

    def sender(self, stack: Stack, side: str, size: int) -> subprocess.Popen[bytes]:
        daemon, name = (stack.guest, "frames") if side == "guest" else (stack.host, f"{VM}/frames")
        return self.frames(daemon, name, str(size))

    @staticmethod
    def feed(process: subprocess.Popen[bytes], data: bytes) -> None:
        binary(process.stdin).write(data)
        binary(process.stdin).flush()

    def read(self, process: subprocess.Popen[bytes], size: int) -> bytes:
        data = binary(process.stdout).read(size)
        self.assertEqual(len(data), size)
        return data

    def transfer(self, stack: Stack, receiver: subprocess.Popen[bytes], side: str, size: int,
                 data: bytes) -> None:
        path = self.folder / "input"
        path.write_bytes(data)
        sender = self.sender(stack, side, size)
        with path.open("rb") as file:
            feeder = subprocess.Popen(["cat"], stdin=file, stdout=sender.stdin)
        self.processes.append(feeder)
        binary(sender.stdin).close()
        self.assertTrue(self.read(receiver, len(data)) == data, "what arrived is something else")
        self.assertEqual(sender.wait(PATIENCE), 0, binary(sender.stderr).read())
        count = -(-len(data) // size)
        link = "host" if side == "host" else VM
        self.assertEqual(self.said(receiver), f"frames: {count} of frames (closed) from {link}")


class Frames(Stream):
    """C at both ends."""

    def both_ways(self, side: str, other: str) -> None:
        stack = self.memory_stack()
        receiver = self.serve(stack, other)
        for size, count in ((1, 20), (4096, 300), (700_001, 40), (300_000, 50)):
            data = random.Random(size).randbytes(size * count + size // 3)
            self.transfer(stack, receiver, side, size, data)
        receiver.terminate()
        receiver.wait()
        self.wait_nothing_left(stack)

    def test_guest_to_host(self) -> None:
        self.both_ways("guest", "host")

    def test_host_to_guest(self) -> None:
        self.both_ways("host", "guest")

    def test_sender_killed(self) -> None:
        stack = self.memory_stack()
        receiver = self.serve(stack, "host")
        for n in range(5):
            sender = self.sender(stack, "guest", MIB)
            self.feed(sender, bytes([n]) * (MIB * 3 + n * 1000))
            self.assertEqual(self.read(receiver, 3 * MIB), bytes([n]) * 3 * MIB)
            sender.kill()
            sender.wait()
            self.assertRegex(self.end_of(receiver), r"frames: [23] of frames \((closed|gone)\) ")
        self.assertIsNone(receiver.poll())
        receiver.terminate()
        receiver.wait()
        self.wait_nothing_left(stack)

    def test_receiver_killed(self) -> None:
        stack = self.memory_stack()
        receiver = self.serve(stack, "guest")
        sender = self.sender(stack, "host", MIB)
        self.feed(sender, bytes(MIB * 3))
        self.read(receiver, MIB)
        receiver.kill()
        receiver.wait()
        binary(sender.stdin).close()
        self.assertEqual(sender.wait(PATIENCE), 1)
        self.assertIn(b"closed", binary(sender.stderr).read())
        self.wait_nothing_left(stack)

    def test_killed_midway(self) -> None:
        """While all are at work, on either side of the stream, again and again."""
        stack = self.memory_stack()
        chance = random.Random(4)
        for n in range(8):
            receiver = self.serve(stack, "host")
            sender = self.sender(stack, "guest", chance.choice((4096, 100_000, MIB)))
            with open("/dev/zero", "rb") as zero:
                feeder = subprocess.Popen(["cat"], stdin=zero, stdout=sender.stdin,
                                          stderr=subprocess.DEVNULL)
            self.processes.append(feeder)
            binary(sender.stdin).close()
            self.read(receiver, chance.randrange(1, 20 * MIB))
            if n % 2:
                receiver.kill()
                self.assertEqual(sender.wait(PATIENCE), 1)
                self.assertIn(b"closed", binary(sender.stderr).read())
            else:
                sender.kill()
                drain = threading.Thread(target=binary(receiver.stdout).read)
                drain.start()
                self.assertRegex(self.end_of(receiver), r"frames: \d+ of frames \((closed|gone)\) ")
                receiver.terminate()
                drain.join()
            wait_until(lambda: not stack.guest.ask("services")["remote"], "the service is gone")
        self.wait_nothing_left(stack)

    def check_daemon_killed(self, kind: str) -> None:
        """Both programs come to an end, and none is killed by what it reads."""
        stack = self.memory_stack()
        receiver = self.serve(stack, "host")
        sender = self.sender(stack, "guest", MIB)
        self.feed(sender, bytes(MIB * 3))
        self.read(receiver, 3 * MIB)
        daemon = stack.guest if kind == "guestmux" else stack.host
        daemon.kill()
        self.assertRegex(self.end_of(receiver), r"frames: [23] of frames \((closed|gone)\) ")
        self.feed(sender, bytes(MIB))
        self.assertEqual(sender.wait(PATIENCE), 1)
        daemon.start()
        stack.wait_up()

    def test_guestmux_killed(self) -> None:
        self.check_daemon_killed("guestmux")

    def test_hostmux_killed(self) -> None:
        self.check_daemon_killed("hostmux")


class Python(Stream):
    """With the Python module at one end, and a C program at the other."""

    def test_sender(self) -> None:
        stack = self.memory_stack()
        receiver = self.serve(stack, "host")
        with guestmux.create_buffer("python", MIB, socket=stack.guest.socket) as buffer, \
                guestmux.connect("frames", socket=stack.guest.socket) as channel:
            sender = guestmux.BulkSender(channel, buffer)
            for n in range(100):
                piece = sender.reserve(100_000, PATIENCE)
                piece.memory[:1000] = bytes([n]) * 1000
                sender.commit(piece, 1000)
                self.assertEqual(self.read(receiver, 1000), bytes([n]) * 1000)
            sender.end(PATIENCE)
        self.assertRegex(self.said(receiver), r"frames: 100 of python3?.* \(closed\) from x")
        receiver.terminate()
        receiver.wait()
        self.wait_nothing_left(stack)

    def test_receiver(self) -> None:
        stack = self.memory_stack()
        data = random.Random(1).randbytes(10 * MIB + 17)
        (self.folder / "input").write_bytes(data)
        with guestmux.listen("frames", socket=stack.guest.socket) as listener:
            wait_until(lambda: stack.host.ask("services")["remote"], "the service is known")
            sender = self.sender(stack, "host", 100_000)
            with (self.folder / "input").open("rb") as file:
                self.processes.append(subprocess.Popen(["cat"], stdin=file, stdout=sender.stdin))
            binary(sender.stdin).close()
            got = bytearray()
            with listener.accept(PATIENCE) as channel, guestmux.BulkReceiver(
                    channel.socket, channel.link, socket=stack.guest.socket) as stream:
                for piece in stream:
                    got += piece.memory
                    stream.release(piece)
            self.assertTrue(got == data)
            self.assertEqual(sender.wait(PATIENCE), 0)
        self.wait_nothing_left(stack)


class Hostile(unittest.TestCase):
    """The Python module's ends, and a peer that means no good."""

    ID = 0xAA  # of fake_buffers

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="mux-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.daemon = FakeDaemon(Path(folder.name) / "socket")
        self.addCleanup(self.daemon.close)
        self.connect()

    def connect(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def receiver(self, hello: bytes = b"", *, number: int = ID, begin: int = 0, size: int = MIB,
                 name: bytes = b"clip") -> guestmux.BulkReceiver:
        stream = guestmux.BulkReceiver(self.ours, "host", socket=self.daemon.socket)
        self.addCleanup(stream.close)
        self.theirs.sendall(hello or struct.pack("<8sQQQI", b"muxbulk1", number, begin, size,
                                                 len(name)) + name)
        return stream

    def say(self, *messages: tuple[int, int]) -> None:
        self.theirs.sendall(b"".join(struct.pack("<QQ", *message) for message in messages))

    def test_hello(self) -> None:
        hellos: list[dict[str, Any]] = [
            {"hello": b"GET / HTTP/1.1" * 3}, {"number": 0}, {"number": 1}, {"size": 0},
            {"begin": 1}, {"begin": 2**64 - 1, "size": 2}, {"size": 2**64 - 1}, {"name": b""},
            {"name": b"x/clip"}, {"name": b"x" * 129}]
        for hello in hellos:
            with self.subTest(hello), self.assertRaises(ConnectionError):
                self.receiver(**hello).take(PATIENCE)
            self.connect()

    def test_pieces(self) -> None:
        bad = [(0, 0), (0, 1), (7, 2), (MIB, 1), (MIB - 1, 2), (2**64 - 1, 2), (1, 2**64 - 1)]
        for message in bad:
            stream = self.receiver()
            self.say((0, 8), (100, 8), message, (200, 8))
            self.assertEqual((len(stream.take(PATIENCE).memory), stream.take(PATIENCE).offset),
                             (8, 100))
            with self.subTest(message), self.assertRaises(ConnectionError):
                stream.take(PATIENCE)
            self.connect()

    def test_gone(self) -> None:
        stream = self.receiver()
        self.say((0, 8))
        piece = stream.take(PATIENCE)
        self.daemon.handle().gone("owner")
        with self.assertRaises(guestmux.Gone):
            stream.release(piece)

    def test_order(self) -> None:
        """Out of order, and waiting."""
        stream = self.receiver()
        with self.assertRaises(TimeoutError):
            stream.take(0)
        self.say((0, 8), (8, 8))
        first, second = stream.take(PATIENCE), stream.take(PATIENCE)
        stream.release(second)
        self.say((8, 8))
        stream.release(first)
        with self.assertRaises(ValueError):
            stream.release(guestmux.Piece(0, memoryview(b"x" * 8)))
        stream.release(stream.take(PATIENCE))
        self.theirs.shutdown(socket.SHUT_WR)
        self.assertEqual(list(stream), [])
        self.assertEqual(self.theirs.recv(1000), struct.pack("<6Q", 8, 8, 0, 8, 8, 8))
        self.assertEqual(self.theirs.recv(1), b"")

    def test_sender(self) -> None:
        buffer = guestmux.open_buffer("clip", socket=self.daemon.socket)
        self.addCleanup(buffer.close)
        sender = guestmux.BulkSender(self.ours, buffer)
        first, second = sender.reserve(MIB // 2), sender.reserve(MIB // 2)
        with self.assertRaises(TimeoutError):
            sender.reserve(1, timeout=0)
        sender.commit(second, 5)
        sender.commit(first, 0)
        self.assertEqual(self.theirs.recv(1000)[-16:], struct.pack("<QQ", MIB // 2, 5))
        with self.assertRaises(ValueError):
            sender.commit(guestmux.Piece(0, memoryview(b"x")))
        third = sender.reserve(MIB // 2)
        self.assertEqual(third.offset, 0)
        third.memory.release()
        self.say((0, MIB // 2))  # which was not committed
        with self.assertRaises(ConnectionError):
            sender.end(PATIENCE)


if __name__ == "__main__":
    unittest.main()
