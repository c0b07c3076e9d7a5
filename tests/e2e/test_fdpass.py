# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ssh-fdpass: the channel itself arrives, as a descriptor."""

from __future__ import annotations

import os
import socket
import subprocess
import unittest
from pathlib import Path

from daemon import BIN, PATIENCE
from stack import VM, Stack, StackTest, read_exactly


class Fdpass(StackTest):
    def start(self) -> Stack:
        stack = self.stack(start=False)
        stack.guest.service("ssh", exec=["/bin/cat"])
        return stack.start()

    def run_with(self, path: Path, name: str, output: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([str(BIN / "ssh-fdpass"), name], stdout=output, timeout=PATIENCE,
                              stderr=subprocess.PIPE, check=False,
                              env=os.environ | {"GUESTMUX_SOCKET": str(path)})

    def test_the_descriptor(self) -> None:
        stack = self.start()
        ours, theirs = socket.socketpair()  # as ssh makes it
        with ours, theirs:
            result = self.run_with(stack.host.socket, f"{VM}/ssh", theirs.fileno())
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            data, fds, _, _ = socket.recv_fds(ours, 16, 4)
        self.assertEqual((data, len(fds)), (b"\0", 1))
        with socket.socket(fileno=fds[0]) as channel:
            channel.settimeout(PATIENCE)
            channel.sendall(b"SSH-2.0-x\r\n")
            self.assertEqual(read_exactly(channel, 11), b"SSH-2.0-x\r\n")

    def test_refused(self) -> None:
        stack = self.start()
        cases = ((f"{VM}/nothing", "no-service"), ("y/ssh", "no-service"))
        with open(os.devnull, "wb") as null:
            for name, word in cases:
                result = self.run_with(stack.host.socket, name, null.fileno())
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"ssh-fdpass: {name}: {word}: ", result.stderr.decode())
            result = self.run_with(self.folder / "none", f"{VM}/ssh", null.fileno())
            self.assertIn("No such file", result.stderr.decode())
            # A pipe or a terminal cannot take it.
            result = self.run_with(stack.host.socket, f"{VM}/ssh", null.fileno())
            self.assertEqual(result.returncode, 1)
            self.assertIn("ProxyUseFdpass", result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
