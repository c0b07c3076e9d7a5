# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The name that an app writes first: how it may come, what is wrong with it, what is answered."""

from __future__ import annotations

import json
import socket
import subprocess
import unittest

from daemon import PATIENCE, BIN, read_line, wait_until
from stack import Listener, Refused, Stack, StackTest, read_exactly, read_to_end

SERVICE_MAX = 128
ARGUMENT_MAX = 1024
# Everything but the two that end a name.
ALL_BYTES = bytes(n for n in range(256) if n not in (0, 10))


class Names(StackTest):
    def start(self, **keys: object) -> tuple[Stack, Listener]:
        stack = self.stack(start=False, **keys)
        listener = self.serve(stack)
        return stack.start(), listener

    def answer(self, stack: Stack, raw: bytes, side: str = "guest") -> bytes:
        """What is answered to these bytes, up to the end of the connection."""
        sock = stack.dial(side)
        sock.sendall(raw)
        return read_to_end(sock)

    def test_in_one_byte_writes(self) -> None:
        stack, listener = self.start()
        for end in (b"\n", b"\0"):
            app = stack.dial()
            for n in b"svc:an argument" + end + b"data":
                app.sendall(bytes([n]))
            peer = listener.accept()
            self.assertEqual(read_exactly(peer, 4), b"data")
            peer.sendall(b"reply")
            if end == b"\n":
                self.assertEqual(read_line(app), b"OK")
            self.assertEqual(read_exactly(app, 5), b"reply")

    def test_data_behind_the_name(self) -> None:
        stack, listener = self.start()
        data = bytes(range(256)) * 1000
        for silent in (False, True):
            app = stack.open("svc", data, silent=silent)
            peer = listener.accept()
            self.assertEqual(read_exactly(peer, len(data)), data)
            peer.sendall(b"\0\n")
            self.assertEqual(read_exactly(app, 2), b"\0\n")

    def test_silent_style_answers_nothing(self) -> None:
        stack, listener = self.start()
        app = stack.open("svc", silent=True)
        listener.accept().close()
        self.assert_eof(app)
        self.assertEqual(self.answer(stack, b"nobody\0"), b"")

    def test_pipe_prefix(self) -> None:
        stack, listener = self.start()
        for name in ("pipe:svc", "pipe:svc:pipe:x"):
            for silent in (False, True):
                stack.open(name, silent=silent)
                listener.accept()
        names = {channel["service"] for channel in stack.guest.channels()}
        self.assertEqual(names, {"svc", "svc:pipe:x"})
        self.assert_refused("bad-name", stack, "pipe:")
        self.assert_refused("no-service", stack, "pipe")
        self.assert_refused("no-service", stack, "pipe:pipe:svc")

    def test_argument_of_every_byte(self) -> None:
        stack, listener = self.start()
        argument = (ALL_BYTES * 5)[:ARGUMENT_MAX]
        stack.join(listener, b"svc:" + argument)
        for daemon in stack.daemons:  # is it still JSON, in UTF-8?
            (channel,) = daemon.channels()
            self.assertTrue(channel["service"].startswith("svc:"))
        run = subprocess.run([BIN / "muxctl", "--socket", stack.guest.socket, "status"],
                             capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual(run.returncode, 0)
        for daemon in stack.daemons:  # one event is one line, whatever a name has
            self.assertNotIn("\r", daemon.log())
            self.assertNotIn("\x1b", daemon.log())

    def test_longest(self) -> None:
        longest = "s" * SERVICE_MAX
        stack = self.stack(start=False)
        listener = self.serve(stack, longest)
        stack.start()
        for side_prefix in ("", "pipe:"):
            stack.join(listener, side_prefix + longest + ":" + "a" * ARGUMENT_MAX)
        for name in (longest + "s", longest + ":" + "a" * (ARGUMENT_MAX + 1), "s" * 5000,
                     "a" * 100000):
            self.assert_refused("bad-name", stack, name)

    def test_longest_from_host(self) -> None:
        vm = "v" * SERVICE_MAX
        stack = self.stack(start=False, host=("--vm", f"{vm}=unix:{self.folder}/nowhere"))
        listener = self.listener()
        stack.guest.service("s" * SERVICE_MAX, connect=listener.connect)
        stack.start()
        stack.join(listener, "s" * SERVICE_MAX + ":" + "a" * ARGUMENT_MAX, side="host")
        sock = stack.dial("host")
        sock.sendall(f"{vm}/{'s' * SERVICE_MAX}:{'a' * ARGUMENT_MAX}\n".encode())
        self.assertIn(b"ERR link-down", read_line(sock))

    def test_bad(self) -> None:
        stack, _ = self.start()
        bad = (b"", b"-svc", b".svc", b":svc", b" svc", b"svc ", b"s/c", b"x/svc", b"s\x01c",
               b"s\x7fc", "süc".encode(), b"\xff", b"svc\r", b"@", b"@nothing", b"@control ",
               b"../svc", b"s*c")
        for name in bad:
            with self.subTest(name=name):
                self.assert_refused("bad-name", stack, name)
                self.assertEqual(self.answer(stack, name + b"\0"), b"")
        for daemon in stack.daemons:
            self.assertEqual(daemon.link()["opened"], 0)
        self.assertEqual(stack.host.link()["refused"], 0, "the host was asked")

    def test_bad_on_the_host(self) -> None:
        stack, _ = self.start()
        for raw, code in ((b"svc", b"bad-name"), (b"", b"bad-name"), (b"y/svc", b"no-service"),
                          (b"/svc", b"no-service"), (b"x/", b"bad-name"), (b"x/-s", b"bad-name"),
                          (b"x/x/svc", b"bad-name"), (b"xx/svc", b"no-service")):
            with self.subTest(name=raw):
                self.assertEqual(self.answer(stack, raw + b"\n", "host").split(b" ")[:2],
                                 [b"ERR", code])

    def test_gone_before_or_in_the_name(self) -> None:
        stack, listener = self.start()
        for raw in (b"", b"s", b"svc", b"pipe:", b"svc:" + b"a" * 1000):
            for _ in range(20):
                stack.dial().sendall(raw)
            stack.close_apps()
        stack.join(listener, "svc")
        self.assertEqual(stack.guest.link()["opened"], 1)

    def test_half_closed_before_the_end_of_the_name(self) -> None:
        stack, _ = self.start()
        app = stack.dial()
        app.sendall(b"sv")
        app.shutdown(socket.SHUT_WR)
        read_to_end(app)  # whatever is answered, it ends


class Codes(StackTest):
    """ERR, and why."""

    def refused(self, stack: Stack, name: str, side: str = "guest") -> str:
        with self.assertRaises(Refused) as caught:
            stack.open(name, side=side)
        return str(caught.exception)

    def test_no_service(self) -> None:
        stack = self.stack()
        for side in ("guest", "host"):
            self.assertIn("nobody", self.refused(stack, "nobody", side))
            self.assert_refused("no-service", stack, "nobody:svc", side)
        self.assertEqual(stack.guest.link()["refused"], 4)
        self.assertEqual(stack.host.link()["refused"], 4)

    def test_refused(self) -> None:
        stack = self.stack(start=False)
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        dead = self.listener()
        dead.close()
        not_executable = self.folder / "text"
        not_executable.write_text("no program")
        for daemon in stack.daemons:
            daemon.service("nowhere", connect=f"unix:{self.folder}/nowhere")
            daemon.service("dead", connect=dead.connect)
            daemon.service("file", connect=f"unix:{not_executable}")
            daemon.service("tcp", connect=f"tcp:127.0.0.1:{port}")
            daemon.service("missing", exec=["/nonexistent/program"])
            daemon.service("text", exec=[str(not_executable)])
            daemon.service("folder", exec=[str(self.folder)])
        stack.start()
        for side in ("guest", "host"):
            for name in ("nowhere", "dead", "file", "tcp", "missing", "text", "folder"):
                with self.subTest(name=name, side=side):
                    self.assert_refused("refused", stack, name, side)

    def test_denied(self) -> None:
        stack = self.stack(start=False)
        other = self.serve(stack, "other", vms=["y*", "xx"])
        ours = self.serve(stack, "ours", vms=["y", "?"])
        stack.start()
        self.assert_refused("denied", stack, "other")
        self.assertEqual(other.accepted, [])
        stack.join(ours, "ours")

    def test_limit(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack, "few", max_channels=2)
        stack.start()
        first = stack.join(listener, "few")
        second = stack.join(listener, "few")
        for _ in range(20):
            self.assert_refused("limit", stack, "few")
        first[0].close()
        self.assert_eof(first[1])
        first[1].close()
        wait_until(lambda: len(stack.host.channels()) == 1, "the channel is gone")
        stack.join(listener, "few")
        self.assert_refused("limit", stack, "few")
        second[0].close()

    def test_limit_of_the_link(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.config.write_text(json.dumps({"limits": {"channels": 5}}))
        stack.start()
        for _ in range(5):
            stack.join(listener, "svc")
        self.assert_refused("limit", stack, "svc")
        stack.close_apps()
        for peer in listener.accepted:
            peer.close()
        stack.check_settled()
        for _ in range(5):
            stack.join(listener, "svc")

    def test_link_down(self) -> None:
        stack = self.stack(start=False)
        stack.guest.start()
        self.assert_refused("link-down", stack, "svc")
        self.assertEqual(stack.open("svc", silent=True).recv(1), b"")
        stack.guest.stop()
        stack.host.start()
        self.assert_refused("link-down", stack, "svc", "host")


if __name__ == "__main__":
    unittest.main()
