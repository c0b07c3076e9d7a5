#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One clipboard for a virtual machine and its host.

    clipboard.py --serve [NAME]        on one side, usually the host: offers the service "clipboard"
    clipboard.py [NAME]                on the other side: opens it

What is copied on one side can be pasted on the other. When the two meet, the side that opens takes
what the serving side has. If the link, a daemon or the other program goes away, both wait for it to
come back. With --serve on a host, all guests that connect share it; --vms says which may.

The clipboard is read and written by two commands. They are found out: wl-paste and wl-copy if there
is $WAYLAND_DISPLAY, xclip if there is $DISPLAY. Others, such as for a guest without a desktop:

    clipboard.py --read 'cat /run/user/1000/clip' --write "sh -c 'cat >/run/user/1000/clip'"

On the channel each content is its length, four bytes with the highest first, and its bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))  # if it is not installed
from guestmux import Refused, aio  # noqa: E402

COMMAND_TIMEOUT = 5.0  # seconds; the owner of an X selection may hang
SETTLE = 0.05  # seconds; what was written is not always there at once
RETRY = 1.0  # seconds
PIECE = 65536
CHANNELS = 4  # of each VM; one is in use, others may not have ended yet
LENGTH = struct.Struct(">I")


def say(text: str) -> None:
    print(f"clipboard: {text}", file=sys.stderr, flush=True)


class Clipboard:
    """This side's clipboard. What is `known`, both sides have, so it is not sent back."""

    def __init__(self, reader: Sequence[str], writer: Sequence[str], most: int) -> None:
        self.reader = reader
        self.writer = writer
        self.most = most
        self.latest = b""
        self.known = {b""}
        self.lock = asyncio.Lock()

    async def read(self) -> bytes:
        """Nothing when there is nothing, or too much."""
        process = await asyncio.create_subprocess_exec(
            *self.reader, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL)
        assert process.stdout is not None
        content = b""
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                while piece := await process.stdout.read(PIECE):
                    content += piece
                    if len(content) > self.most:
                        raise TimeoutError
        except TimeoutError:
            content = b""
            process.kill()
        await process.wait()
        return content

    async def write(self, content: bytes) -> None:
        # xclip and wl-copy stay in the background; the end of a pipe from them would not come.
        process = await asyncio.create_subprocess_exec(
            *self.writer, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await process.communicate(content)
        except TimeoutError:
            process.kill()
            await process.wait()

    def settle(self, content: bytes, same: bytes = b"") -> None:
        self.latest = content
        self.known = {b"", content, same}

    async def begin(self) -> None:
        async with self.lock:
            self.settle(await self.read())

    async def take(self, content: bytes) -> None:
        """What the other side has is to be here as well."""
        async with self.lock:
            before = self.latest
            await self.write(content)
            for _ in range(10):
                found = await self.read()
                if found != before or content == before:
                    break
                await asyncio.sleep(SETTLE)
            else:
                say("what was written to the clipboard is not there")
            # A command may have added a line's end. Any other difference has been copied meanwhile.
            self.settle(content, found if found.strip() == content.strip() else content)

    async def copied(self) -> bytes | None:
        """What was copied here since it was asked last."""
        async with self.lock:
            content = await self.read()
            if content in self.known:
                return None
            self.settle(content)
            return content


class Peer:
    """A channel. Only the newest content waits to be sent, so a peer that sleeps costs little."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.waiting: bytes | None = None
        self.wake = asyncio.Event()

    def offer(self, content: bytes) -> None:
        self.waiting = content
        self.wake.set()

    async def send(self) -> None:
        while True:
            await self.wake.wait()
            self.wake.clear()
            if self.waiting:
                self.writer.write(LENGTH.pack(len(self.waiting)) + self.waiting)
                self.waiting = None
                await self.writer.drain()

    async def receive(self, most: int) -> bytes:
        while True:
            (size,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
            if size <= most:
                return await self.reader.readexactly(size)
            say(f"{size} bytes from the other side are more than --max")
            while size > 0:
                size -= len(await self.reader.readexactly(min(size, PIECE)))


class Bridge:
    """The clipboard, and who shares it."""

    def __init__(self, clipboard: Clipboard, interval: float) -> None:
        self.clipboard = clipboard
        self.interval = interval
        self.peers: set[Peer] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            if content := await self.clipboard.copied():
                self.share(content, None)

    def share(self, content: bytes, source: Peer | None) -> None:
        for peer in self.peers - {source}:
            peer.offer(content)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                   greet: bool) -> None:
        """Up to the channel's end. `greet`: what is here goes there first."""
        peer = Peer(reader, writer)
        self.peers.add(peer)
        sender = asyncio.create_task(peer.send())
        if greet:
            peer.offer(self.clipboard.latest)
        try:
            while True:
                content = await peer.receive(self.clipboard.most)
                await self.clipboard.take(content)
                self.share(content, peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the channel has ended
        finally:
            self.peers.discard(peer)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            writer.close()

    async def serve(self, options: argparse.Namespace) -> None:
        async with await aio.listen(options.name, socket=options.socket, vms=options.vms,
                                    description="a shared clipboard",
                                    max_channels=CHANNELS) as listener:
            say(f"serving '{options.name}'")
            async for channel in listener:
                say(f"shared with {channel.link}")
                task = asyncio.create_task(self.join(channel.reader, channel.writer, True))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def open(self, options: argparse.Namespace) -> None:
        await aio.wait(options.name, socket=options.socket)
        reader, writer = await aio.connect(options.name, socket=options.socket)
        say(f"shared with '{options.name}'")
        await self.join(reader, writer, False)
        raise ConnectionError("the channel has ended")


async def run(options: argparse.Namespace) -> None:
    bridge = Bridge(Clipboard(options.read, options.write, options.max), options.interval)
    await bridge.clipboard.begin()
    watching = asyncio.create_task(bridge.watch())
    said = ""
    while not watching.done():
        try:
            await (bridge.serve if options.serve else bridge.open)(options)
        except OSError as error:
            if str(error) != said or not isinstance(error, (Refused, FileNotFoundError)):
                say(f"{error}; trying again")
            said = str(error)
        await asyncio.sleep(RETRY)
    await watching


def commands() -> tuple[str, str]:
    if os.environ.get("WAYLAND_DISPLAY"):
        return "wl-paste --no-newline", "wl-copy"
    if os.environ.get("DISPLAY"):
        return "xclip -selection clipboard -o", "xclip -selection clipboard -i"
    return "", ""


def parse() -> argparse.Namespace:
    read, write = commands()
    parser = argparse.ArgumentParser(description="One clipboard for a VM and its host.")
    parser.add_argument("name", nargs="?", default="clipboard",
                        help="the service; opened from a host it is VM/clipboard")
    parser.add_argument("--serve", action="store_true", help="offer the service, not open it")
    parser.add_argument("--vms", action="append", metavar="GLOB",
                        help="on a host, with --serve: who may share it; may be repeated")
    parser.add_argument("--socket", help="the daemon's")
    parser.add_argument("--read", type=shlex.split, default=read, metavar="COMMAND",
                        help=f"prints the clipboard ({read or 'no default here'})")
    parser.add_argument("--write", type=shlex.split, default=write, metavar="COMMAND",
                        help=f"sets it to what it reads ({write or 'no default here'})")
    parser.add_argument("--interval", type=float, default=0.5, metavar="SECONDS",
                        help="between two looks at the clipboard (0.5)")
    parser.add_argument("--max", type=int, default=1 << 20, metavar="BYTES",
                        help="what is longer is not shared (1 MiB)")
    options = parser.parse_args()
    if not options.read or not options.write:
        parser.error("there is neither $DISPLAY nor $WAYLAND_DISPLAY; give --read and --write")
    return options


def main() -> int:
    try:
        asyncio.run(run(parse()))
    except KeyboardInterrupt:
        return 0
    except FileNotFoundError as error:  # one of the commands
        say(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())
