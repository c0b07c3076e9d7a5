# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl: what it carries, what it prints, and what its exit status says."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import unittest

from daemon import BIN, PATIENCE, Daemon, wait_until
from stack import VM, Listener, Stack, StackTest, muxctl, read_exactly, read_to_end
from traffic import pattern

BROKEN, USAGE, NO_DAEMON = 1, 2, 3
NO_SERVICE, DENIED, REFUSED, LIMIT, LINK_DOWN, BAD_NAME = 11, 12, 13, 14, 16, 17


class Connect(StackTest):
    def start(self) -> tuple[Stack, Listener]:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.service("cat", exec=["/bin/cat"])
        stack.guest.service("cat", exec=["/bin/cat"])
        return stack.start(), listener

    def begin(self, daemon: Daemon, name: str, **streams: object) -> subprocess.Popen[bytes]:
        options: dict[str, object] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                                      "stderr": subprocess.PIPE} | streams
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [BIN / "muxctl", "--socket", daemon.socket, "connect", name], **options)
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                stream.close()

    def test_there_and_back(self) -> None:
        stack, _ = self.start()
        data = pattern(1, 5 << 20)
        for daemon, name in ((stack.guest, "cat"), (stack.host, f"{VM}/cat")):
            run = muxctl(daemon, "connect", name, data=data)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            self.assertEqual(hashlib.md5(run.stdout).digest(), hashlib.md5(data).digest())

    def test_half_close(self) -> None:
        """The end of input is passed on, and the answer still comes; and the other way round."""
        stack, listener = self.start()
        process = self.begin(stack.guest, "svc")
        peer = listener.accept()
        assert process.stdin and process.stdout
        process.stdin.write(b"question")
        process.stdin.close()
        self.assertEqual(read_to_end(peer), b"question")
        peer.sendall(b"answer")
        self.assertEqual(process.stdout.read(6), b"answer")
        peer.close()
        self.assertEqual(process.wait(PATIENCE), 0)

        process = self.begin(stack.guest, "svc")
        peer = listener.accept()
        assert process.stdin and process.stdout
        peer.sendall(b"all I say")
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(process.stdout.read(), b"all I say")  # its end is seen at once
        self.assertIsNone(process.poll())
        process.stdin.write(b"go on")
        process.stdin.close()
        self.assertEqual(read_to_end(peer), b"go on")
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_handler_goes(self) -> None:
        """With nothing left to say it is no failure, whether or not there is more input."""
        stack, listener = self.start()
        process = self.begin(stack.guest, "svc")
        listener.accept().close()
        self.assertEqual(process.wait(PATIENCE), 0)
        # It was in the middle of writing, so bytes were lost.
        data = self.folder / "data"
        data.write_bytes(pattern(2, 8 << 20))
        with data.open("rb") as stdin:
            process = self.begin(stack.guest, "svc", stdin=stdin)
        peer = listener.accept()
        wait_until(lambda: [c["credit"] == 0 and c["sent"] > 1 << 17
                            for c in stack.guest.channels()] == [True], "it is stuck")
        peer.close()
        self.assertEqual(process.wait(PATIENCE), BROKEN)

    def test_daemon_dies(self) -> None:
        """Either daemon: what came is not all, although both ends of the socket look closed."""
        stack, listener = self.start()
        for daemon in stack.daemons:
            process = self.begin(stack.guest, "svc", stdin=subprocess.DEVNULL)
            peer = listener.accept()
            peer.sendall(b"x")
            assert process.stdout and process.stderr
            self.assertEqual(process.stdout.read(1), b"x")
            daemon.kill()
            self.assertEqual(process.wait(PATIENCE), BROKEN)
            self.assertIn(b"the session ended", process.stderr.read())
            daemon.start()
            stack.wait_up()

    def test_without_streams(self) -> None:
        """Started with stdin or stdout closed, or with an output that nobody reads."""
        stack, listener = self.start()
        command = shlex.join(["exec", str(BIN / "muxctl"), "--socket", str(stack.guest.socket),
                              "connect", "svc"])
        for closed, status in (("<&-", 0), (">&-", BROKEN), ("<&- >&- 2>&-", BROKEN), ("2>&-", 0)):
            with self.subTest(closed=closed):
                process = subprocess.Popen(["/bin/sh", "-c", f"{command} {closed}"],
                                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL)
                peer = listener.accept()
                self.assert_eof(peer)
                peer.sendall(b"answer")
                peer.close()
                out, _ = process.communicate(timeout=PATIENCE)
                self.assertEqual(out, b"" if ">&-" in closed and closed != "2>&-" else b"answer")
                self.assertEqual(process.returncode, status)

    def test_output_that_nobody_reads(self) -> None:
        stack, listener = self.start()
        process = self.begin(stack.guest, "svc")
        peer = listener.accept()
        assert process.stdout and process.stderr
        process.stdout.close()
        peer.sendall(b"x" * 1000)
        self.assertEqual(process.wait(PATIENCE), BROKEN)
        self.assertIn(b"standard output", process.stderr.read())
        self.assert_eof(peer)

    def test_nobody_left(self) -> None:
        """It ends though nothing comes, as when ssh was killed whose ProxyCommand it is."""
        stack, listener = self.start()
        process = self.begin(stack.guest, "svc")
        peer = listener.accept()
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"all of it")  # nobody reads the answer, but this is to arrive
        process.stdin.flush()
        self.assertEqual(read_exactly(peer, 9), b"all of it")
        self.assertIsNone(process.poll())
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), BROKEN)
        self.assertEqual(process.stderr.read(), b"")
        self.assert_eof(peer)

    def test_refusals(self) -> None:
        stack = self.stack(start=False)
        self.serve(stack, "denied", vms=["nobody"])
        one = self.serve(stack, "one", max_channels=1)
        stack.host.service("refused", connect=f"unix:{self.folder}/nowhere")
        stack.start()
        stack.join(one, "one")
        for name, status in (("nobody", NO_SERVICE), ("denied", DENIED), ("refused", REFUSED),
                             ("one", LIMIT), ("-- -bad", BAD_NAME), ("b@d", BAD_NAME),
                             ("", BAD_NAME)):
            run = muxctl(stack.guest, "connect", *name.split(" ")) if name else muxctl(
                stack.guest, "connect", "")
            self.assertEqual((run.returncode, run.stdout), (status, b""), name)
            self.assertEqual(run.stderr.count(b"\n"), 1)
        self.assertEqual(muxctl(stack.host, "connect", "cat").returncode, BAD_NAME)
        self.assertEqual(muxctl(stack.host, "connect", "nobody/cat").returncode, NO_SERVICE)
        stack.close_apps()
        stack.host.stop()
        self.assertEqual(muxctl(stack.guest, "connect", "svc").returncode, LINK_DOWN)
        stack.host.start()


class Show(StackTest):
    def test_json(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack, description="a \"test\"\u00e9")
        stack.start()
        stack.join(listener, b"svc:\xff\x01\"\\")
        for daemon in stack.daemons:
            for command, key in (("status", "links"), ("services", "services"), ("vms", "vms")):
                run = muxctl(daemon, command, "--json")
                if daemon is stack.guest and command == "vms":
                    self.assertEqual(run.returncode, 4)
                    continue
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                answer = json.loads(run.stdout)
                self.assertIs(answer["ok"], True)
                self.assertIsInstance(answer[key], list)

    def test_tables(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack, description="a test")
        stack.start()
        app, peer = stack.join(listener, "svc:arg", b"12345")
        self.assertEqual(read_exactly(peer, 5), b"12345")
        text = muxctl(stack.guest, "status").stdout.decode()
        for part in ("host: up", f"unix:{stack.port}", "svc:arg", "out", "open"):
            self.assertIn(part, text)
        self.assertIn("a test", muxctl(stack.host, "services").stdout.decode())
        self.assertIn(f"{VM}: up", muxctl(stack.host, "vms").stdout.decode())
        app.close()
        stack.guest.kill()
        peer.close()
        stack.guest.start()
        stack.wait_up()
        self.assertIn("ago: the port went down: ", muxctl(stack.host, "status").stdout.decode())

    def test_control_bytes(self) -> None:
        """A name cannot write to the terminal of who looks at it."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.start()
        stack.join(listener, b"svc:\x1b[31m\x07\r\xc2\x9b31m")
        for daemon in stack.daemons:
            out = muxctl(daemon, "status").stdout
            for byte in (b"\x1b", b"\x07", b"\r", b"\xc2\x9b"):
                self.assertNotIn(byte, out)

    def test_usage(self) -> None:
        stack = self.stack()
        wrong: list[list[str]] = [[], ["nonsense"], ["connect"], ["connect", "a", "b"],
                                  ["status", "x"], ["--nonsense"],
                                  ["connect", "a", "--timeout", "-1"], ["wait", "a", "--timeout", "-1"]]
        for arguments in wrong:
            run = muxctl(stack.guest, *arguments)
            self.assertEqual((run.returncode, run.stdout), (USAGE, b""), arguments)
            self.assertTrue(run.stderr.startswith(b"muxctl: "))
        self.assertEqual(muxctl(stack.guest, "--help").returncode, 0)
        self.assertIn(b"muxctl", muxctl(stack.guest, "--version").stdout)

    def test_no_daemon(self) -> None:
        nobody = Daemon("guestmux", self.folder)
        stale = Daemon("hostmux", self.folder)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(stale.socket))
        server.close()
        for daemon in (nobody, stale):
            for arguments in (("status",), ("connect", "svc")):
                run = muxctl(daemon, *arguments)
                self.assertEqual((run.returncode, run.stdout), (NO_DAEMON, b""))
                self.assertIn(str(daemon.socket).encode(), run.stderr)

    def test_pipe_that_nobody_reads(self) -> None:
        """It ends; it does not hang, nor complain for ever."""
        stack = self.stack()
        read, write = os.pipe()
        os.close(read)
        process = subprocess.Popen([BIN / "muxctl", "--socket", stack.guest.socket, "status"],
                                   stdout=write, stderr=subprocess.DEVNULL,
                                   restore_signals=True)
        os.close(write)
        self.assertIn(process.wait(PATIENCE), (-signal.SIGPIPE, BROKEN, 0))


if __name__ == "__main__":
    unittest.main()
