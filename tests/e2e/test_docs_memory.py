# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/shared-memory.md and buffers-protocol.md are right: their programs run, their configuration
is taken, and what they show of @buffer is what the daemons say. What it shows of a VM is in tests/vm/test_docs.py.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any

from daemon import BIN, PATIENCE, SANITIZED, Daemon, Json, wait_until
from memory_stack import GONE, NOTICE, BufferError, MemoryTest
from stack import VM, Stack
from test_docs import ROOT, read, shape

PROTOCOL = (ROOT / "docs/buffers-protocol.md").read_text()
TEXT = (ROOT / "docs/shared-memory.md").read_text() + PROTOCOL
LIBRARY = ROOT / "clients/libmuxclient"


def blocks(beginning: str) -> list[str]:
    """What is indented and begins so, up to the next line that is not."""
    found = re.findall(r"(?:^    .*\n|(?<=\n)\n)+", TEXT, re.M)
    texts = [textwrap.dedent(text).strip() + "\n" for text in found]
    chosen = [text for text in texts if text.startswith(beginning)]
    assert chosen, beginning
    return chosen


def objects(section: str) -> list[Json]:
    """The JSON of one section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    pieces = re.findall(r"^    \{(?:    .*|.*)\n(?:     .*\n)*", text, re.M)
    values = [read(textwrap.dedent(piece)) for piece in pieces]
    assert values and None not in values, pieces
    return [value for value in values if value is not None]


class Programs(MemoryTest):
    def run_program(self, daemon: Daemon, *command: str) -> subprocess.Popen[str]:
        environment = os.environ | {"GUESTMUX_SOCKET": str(daemon.socket), "PYTHONUNBUFFERED": "1",
                                    "PYTHONPATH": str(ROOT / "clients/python")}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def python(self, daemon: Daemon, text: str) -> subprocess.Popen[str]:
        return self.run_program(daemon, sys.executable, "-B", "-c", text)

    def wait_handles(self, daemon: Daemon, count: int) -> None:
        def handles() -> list[int]:
            return [b["handles"] for b in daemon.ask("buffers")["buffers"] if b["state"] == "ready"]

        wait_until(lambda: handles() == [count], f"{count} programs have it")

    @staticmethod
    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        assert ready, "it prints nothing"
        return process.stdout.readline()

    def test_python(self) -> None:
        stack = self.memory_stack()
        of_guest, of_host = blocks("import guestmux\n")
        guest = self.python(stack.guest, of_guest)
        self.wait_handles(stack.guest, 1)
        host = self.python(stack.host, of_host)
        self.assertEqual(self.line(guest), "b'hello'\n")
        guest.kill()
        self.wait_nothing_left(stack)
        self.assertIsNone(host.poll())

    @unittest.skipIf(SANITIZED or not shutil.which("cc"), "the library is not as it is installed")
    def test_c(self) -> None:
        (text,) = blocks("#include <muxclient.h>")
        folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="mux-docs-")))
        source, program = folder / "clip.c", folder / "clip"
        source.write_text(text)
        built = BIN.parent / "clients/libmuxclient"
        subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", f"-I{LIBRARY}", source,
                        "-o", program, f"-L{built}", f"-Wl,-rpath,{built}", "-lmuxclient"],
                       check=True)
        stack = self.memory_stack()
        refused = subprocess.run([program], capture_output=True, text=True, timeout=PATIENCE,
                                 env=os.environ | {"GUESTMUX_SOCKET": str(stack.guest.socket)})
        self.assertEqual((refused.returncode, refused.stderr),
                         (1, "clip: no-buffer: there is no such buffer\n"))
        mine = self.create(stack.guest)
        process = self.run_program(stack.guest, str(program))
        self.wait_handles(stack.guest, 2)
        self.tell(stack, b"world")
        self.assertEqual(mine.wait(NOTICE)[-8:], (5).to_bytes(8, "little"))
        mine.close()
        self.assertEqual(process.communicate(timeout=PATIENCE)[0], "w\n")

    def test_client(self) -> None:
        """The one that needs no library."""
        (text,) = blocks("import json, mmap, socket, struct\n")
        self.assertIn('"/run/guestmux.sock"', text)
        stack = self.memory_stack()
        mine = self.create(stack.guest)
        text = text.replace("/run/guestmux.sock", str(stack.guest.socket))
        process = self.python(stack.guest, text)
        self.wait_handles(stack.guest, 2)
        self.tell(stack, b"world")
        self.assertEqual(self.line(process), "1 b'world'\n")
        mine.set(key="value")
        mine.close()
        self.assertEqual(process.communicate(timeout=PATIENCE)[0], "")
        self.assertEqual(process.returncode, 0)

    def tell(self, stack: Stack, text: bytes) -> None:
        handle = self.open(stack.host)
        handle.memory[:len(text)] = text
        handle.notify(0, len(text))


class Connection(MemoryTest):
    def test_examples(self) -> None:
        create, opening, good, bad = objects("The connection `@buffer`")
        stack = self.memory_stack()
        made = self.handle(stack.guest, **create).answer()
        self.assertEqual(self.shape_of(made), self.shape_of(good["buffer"]))
        self.assertFalse(self.handle(stack.guest, **opening).answer()["writable"])
        with self.assertRaises(BufferError) as caught:
            self.handle(stack.guest, open="nothing").answer()
        error = caught.exception
        self.assertEqual({"code": error.code, "text": error.text}, bad["error"])

    @staticmethod
    def shape_of(buffer: Json) -> Any:
        return shape({key: value for key, value in buffer.items() if key != "node"})

    def test_codes(self) -> None:
        """Each of an error is in the table."""
        files = [path for pattern in ("relay/**/buffer*.c", "relay/**/handle*.c", "hostmux/**/*.c",
                                      "guestmux/**/share*.c") for path in ROOT.glob(pattern)]
        text = "".join(path.read_text() for path in files)
        before = (r"MuxBufferError\)\{\s*|fail\(\s*ret_error,\s*|buffer_error\(\s*ret_error,\s*|"
                  r"handle_refuse\(\s*handle,\s*|share_fail\(\s*share,\s*|"
                  r"buffer_fail\(\s*buffer,\s*|fail\(device,\s*")
        codes = set(re.findall(rf'(?:{before})"([a-z-]+)"', text))
        self.assertLessEqual({"bad-name", "no-memory", "timeout", "denied", "exists"}, codes)
        table = "".join(re.findall(r"^\| (`.*?) \|", PROTOCOL, re.M))
        for code in codes:
            self.assertIn(f"`{code}`", table)

    def test_end(self) -> None:
        """Who has it open hears why; who does not close is cut off."""
        stack = self.memory_stack()
        made = self.create(stack.guest)
        other = self.open(stack.host)
        made.close()
        self.assertEqual(other.wait(GONE), b"owner")
        self.assertRaises(EOFError, other.record)


class Configuration(MemoryTest):
    def test_it_is_taken(self) -> None:
        stack = self.stack(start=False)
        (vms,), (policy, shares) = objects("Offload without QMP"), objects("Who may do what")
        self.configure(stack.host, **vms, **policy, **shares)
        stack.host.start()
        known = [link["name"] for link in stack.host.ask("links")["links"]]
        self.assertEqual(set(known), {VM, "web1", "web2"})


if __name__ == "__main__":
    unittest.main()
