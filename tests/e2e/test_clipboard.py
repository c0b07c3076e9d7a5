# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The clipboard bridge: an X server and xclip on the host, a file in the guest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from daemon import PATIENCE, wait_until
from stack import Stack, StackTest

BRIDGE = Path(__file__).resolve().parents[2] / "clients" / "examples" / "clipboard.py"
MAX = 300_000
# Long enough for a content to go there and back; this wait is the test.
QUIET = 1.0


class Guest:
    """A clipboard that is a file. Each writing by the bridge is a line in a log."""

    def __init__(self, folder: Path, name: str) -> None:
        self.file = folder / name
        self.written = folder / f"{name}.written"
        self.written.touch()
        self.read = f"cat {self.file}"
        self.write = f"sh -c 'cat >{self.file}.new; mv {self.file}.new {self.file}; " \
                     f"echo >>{self.written}'"

    def copy(self, content: bytes) -> None:
        new = self.file.with_suffix(".copied")
        new.write_bytes(content)
        new.rename(self.file)

    def paste(self) -> bytes:
        return self.file.read_bytes() if self.file.exists() else b""

    def writes(self) -> int:
        return len(self.written.read_text())


@unittest.skipUnless(shutil.which("Xvfb") and shutil.which("xclip"), "needs Xvfb and xclip")
class Clipboard(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.environment = os.environ | {"DISPLAY": self.screen()}
        self.environment.pop("WAYLAND_DISPLAY", None)

    def screen(self) -> str:
        server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "64x64x24",
                                   "-nolisten", "tcp", "-noreset"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert server.stdout is not None
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        return f":{server.stdout.readline().decode().strip()}"

    def bridge(self, *arguments: str) -> None:
        with (self.folder / "bridge.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-B", str(BRIDGE), "--interval", "0.05", "--max", str(MAX),
                 *arguments], env=self.environment, stdin=subprocess.DEVNULL, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def open(self, stack: Stack, name: str = "clip") -> Guest:
        guest = Guest(self.folder, name)
        before = self.said().count("shared with 'clipboard'")
        self.bridge("--socket", str(stack.guest.socket), "--read", guest.read,
                    "--write", guest.write)
        wait_until(lambda: self.said().count("shared with 'clipboard'") > before, "a channel")
        return guest

    def start(self) -> tuple[Stack, Guest]:
        stack = self.stack()
        self.bridge("--serve", "--socket", str(stack.host.socket))
        return stack, self.open(stack)

    def said(self) -> str:
        return (self.folder / "bridge.log").read_text()

    # --- the host's clipboard, as a user has it

    def copy(self, content: bytes) -> None:
        subprocess.run(["xclip", "-selection", "clipboard", "-i"], input=content, check=True,
                       env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=PATIENCE)

    def paste(self) -> bytes:
        result = subprocess.run(["xclip", "-selection", "clipboard", "-o"], env=self.environment,
                                capture_output=True, timeout=PATIENCE, check=False)
        return result.stdout

    def arrives(self, content: bytes, paste: Callable[[], bytes]) -> None:
        wait_until(lambda: paste() == content, f"{content[:40]!r} arrives, but: {self.said()}")

    # --- tests

    def test_both_ways(self) -> None:
        _, guest = self.start()
        contents = [b"from the host", "ÄÖ 😀\n".encode(), b"\xff\xfe not UTF-8", b"x" * 200_000]
        for content in contents:
            self.copy(content)
            self.arrives(content, guest.paste)
            guest.copy(content + b" and back")
            self.arrives(content + b" and back", self.paste)

    def test_no_echo(self) -> None:
        _, guest = self.start()
        self.copy(b"one")
        self.arrives(b"one", guest.paste)
        guest.copy(b"two")
        self.arrives(b"two", self.paste)
        time.sleep(QUIET)
        self.assertEqual((guest.writes(), guest.paste(), self.paste()), (1, b"two", b"two"))

    def test_the_first_content(self) -> None:
        """Who opens gets what the serving side has, and what he had is not sent."""
        stack = self.stack()
        self.copy(b"the host's")
        Guest(self.folder, "clip").copy(b"the guest's")
        self.bridge("--serve", "--socket", str(stack.host.socket))
        guest = self.open(stack)
        self.arrives(b"the host's", guest.paste)
        self.assertEqual(self.paste(), b"the host's")

    def test_too_much(self) -> None:
        _, guest = self.start()
        self.copy(b"x" * (MAX + 1))
        time.sleep(QUIET)
        self.assertEqual(guest.paste(), b"")
        self.copy(b"less")
        self.arrives(b"less", guest.paste)

    def test_three_share(self) -> None:
        stack, guest = self.start()
        other = self.open(stack, "other")
        guest.copy(b"from one of them")
        self.arrives(b"from one of them", self.paste)
        self.arrives(b"from one of them", other.paste)
        other.copy(b"from the other")
        self.arrives(b"from the other", guest.paste)

    def test_restarts(self) -> None:
        stack, guest = self.start()
        for daemon in (stack.guest, stack.host):
            daemon.stop()
            daemon.start()
            stack.wait_up()
            content = f"after {daemon.name}".encode()
            # What is copied before the two have met again is the opener's loss; so here it is the
            # serving side that copies.
            self.copy(content)
            self.arrives(content, guest.paste)
            guest.copy(content + b" and back")
            self.arrives(content + b" and back", self.paste)


if __name__ == "__main__":
    unittest.main()
