# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One channel: both sides, every kind of handler, half-close, ends that go at the worst moment."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from daemon import BIN, PATIENCE, wait_until
from stack import Listener, Stack, StackTest, read_exactly, read_to_end
from traffic import Receiver, Sender, pattern

BIG = 3 << 20  # more than every buffer on the way


def reset(sock: socket.socket) -> None:
    """Closes a TCP socket with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_hung_up(sock: socket.socket) -> None:
    """Until the other end has closed both directions."""
    poll = select.poll()
    poll.register(sock, 0)
    if not poll.poll(PATIENCE * 1000):
        raise AssertionError("no POLLHUP")


def write_until_refused(sock: socket.socket) -> int:
    """Writes until it fails, which it must; the errno. What comes back is read meanwhile."""
    sock.setblocking(False)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            sock.send(b"x" * 100)
        except BlockingIOError:
            select.select([], [sock], [], 0.05)
        except OSError as error:
            return error.errno or 0
        else:
            time.sleep(0.002)  # it takes a while to cross
    raise AssertionError("writing never failed")


class Kinds(StackTest):
    """Apps on either side; handlers on unix, TCP and in a child process."""

    FAMILIES = {"unix": socket.AF_UNIX, "tcp4": socket.AF_INET, "tcp6": socket.AF_INET6}

    def start(self) -> tuple[Stack, dict[str, Listener]]:
        stack = self.stack(start=False)
        listeners = {}
        for name, family in self.FAMILIES.items():
            listeners[name] = self.listener(family)
            for daemon in stack.daemons:
                daemon.service(name, connect=listeners[name].connect)
        for daemon in stack.daemons:
            daemon.service("cat", exec=["/bin/cat"])
            daemon.service("both", exec=["/bin/sh", "-c", "echo to stderr >&2; exec cat"])
        return stack.start(), listeners

    def test_both_ways(self) -> None:
        stack, listeners = self.start()
        for side in ("guest", "host"):
            for kind, listener in listeners.items():
                with self.subTest(side=side, kind=kind):
                    app, peer = stack.join(listener, kind, b"question", side)
                    self.assertEqual(read_exactly(peer, 8), b"question")
                    peer.sendall(b"answer")
                    self.assertEqual(read_exactly(app, 6), b"answer")

    def test_half_close(self) -> None:
        """Each end closes its direction first, in both orders, with data behind the other's."""
        stack, listeners = self.start()
        for side in ("guest", "host"):
            for kind, listener in listeners.items():
                for app_first in (True, False):
                    with self.subTest(side=side, kind=kind, app_first=app_first):
                        ends = stack.join(listener, kind, side=side)
                        first, second = ends if app_first else ends[::-1]
                        first.sendall(b"all that I say")
                        first.shutdown(socket.SHUT_WR)
                        self.assertEqual(read_to_end(second), b"all that I say")
                        late = pattern(1, BIG)
                        sender = Sender(second, len(late), 7)
                        receiver = Receiver(first)
                        sender.join(PATIENCE)
                        receiver.join(PATIENCE)
                        self.assertEqual(receiver.digest, sender.digest)
                        self.assertEqual(receiver.size, len(late))
        stack.check_settled()

    def test_data_before_the_end(self) -> None:
        """Everything that was written before close() arrives, however late it is read."""
        stack, listeners = self.start()
        for side in ("guest", "host"):
            for kind, listener in listeners.items():
                for app_writes in (True, False):
                    with self.subTest(side=side, kind=kind, app_writes=app_writes):
                        ends = stack.join(listener, kind, side=side)
                        writer, reader = ends if app_writes else ends[::-1]
                        data = pattern(2, 150_000)
                        writer.sendall(data)
                        writer.close()
                        self.assertEqual(read_to_end(reader), data)
                        reader.close()
        stack.check_settled()

    def test_exec(self) -> None:
        stack, _ = self.start()
        for side in ("guest", "host"):
            app = stack.open("cat", b"to the cat", side=side)
            self.assertEqual(read_exactly(app, 10), b"to the cat")
            daemon = stack.host if side == "guest" else stack.guest
            self.assertEqual(len(daemon.children()), 1)
            app.shutdown(socket.SHUT_WR)
            self.assert_eof(app)
            wait_until(lambda d=daemon: not d.children(),  # type: ignore[misc]
                       "the child was reaped")
            self.assertEqual(daemon.ask("services")["services"][1]["channels"], 0)
            app = stack.open("both", b"x", side=side)
            self.assertEqual(read_exactly(app, 1), b"x")
            app.close()
            daemon.wait_for_log("to stderr")

    def test_exec_socket(self) -> None:
        """inetd's nowait: stdin and stdout are one socket, which blocks; nothing else is there."""
        probe = ("import os, stat, sys\n"
                 "fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))\n"
                 "same = os.fstat(0).st_ino == os.fstat(1).st_ino\n"
                 "sock = stat.S_ISSOCK(os.fstat(0).st_mode)\n"
                 "print([fd for fd in fds if os.path.exists(f'/proc/self/fd/{fd}')], same, sock,\n"
                 "      os.get_blocking(0))\n")
        stack = self.stack(start=False)
        script = self.folder / "probe.py"
        script.write_text(probe)
        stack.host.service("probe", exec=[sys.executable, "-S", str(script)])
        stack.start()
        said = read_to_end(stack.open("probe")).decode()
        self.assertTrue(said.startswith("[0, 1, 2] True True True"), said)

    def test_signals(self) -> None:
        """What the daemons ignore, a lease's SIGIO too, their handlers do not."""
        stack = self.stack(start=False)
        stack.host.service("status", exec=["/bin/grep", "SigIgn", "/proc/self/status"])
        stack.start()
        ours = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGIO - 1
        for daemon in stack.daemons:
            os.kill(daemon.pid, signal.SIGPIPE)
            os.kill(daemon.pid, signal.SIGIO)
        said = read_to_end(stack.open("status")).decode()
        self.assertEqual(int(said.split()[1], 16) & ours, 0, said)

    def test_exec_that_ends(self) -> None:
        stack = self.stack(start=False)
        scripts = {"true": "exit 0", "false": "exit 3", "killed": "kill -9 $$",
                   "speaks": "echo last words", "deaf": "exec <&-; echo words; sleep 0.1",
                   "stubborn": "exec sleep 1000"}
        for name, script in scripts.items():
            stack.host.service(name, exec=["/bin/sh", "-c", script])
        stack.start()
        for name in ("true", "false", "killed"):
            self.assert_eof(stack.open(name, b"unread"))
        self.assertEqual(read_to_end(stack.open("speaks", b"unread")), b"last words\n")
        self.assertEqual(read_to_end(stack.open("deaf", b"unread")), b"words\n")
        self.assertIn("killed by signal 9", stack.host.log())

    def test_exec_that_never_reads_is_asked_to_end(self) -> None:
        """Its app is gone, so nobody can do anything with it any more."""
        stack = self.stack(start=False)
        stack.host.service("stubborn", exec=["/bin/sleep", "1000"])
        stack.start()
        app = stack.open("stubborn", b"x" * 1000)
        (child,) = wait_until(stack.host.children, "the handler runs")
        stack.guest.kill()
        app.close()
        wait_until(lambda: not stack.host.children(), "the handler has ended")
        self.assertFalse(os.path.exists(f"/proc/{child}"))
        stack.guest.start()

    def test_many_children(self) -> None:
        stack, _ = self.start()
        for _ in range(3):
            apps = [stack.open("cat", b"%d" % n) for n in range(30)]
            for n, app in enumerate(apps):
                self.assertEqual(read_exactly(app, len(str(n))), b"%d" % n)
            stack.close_apps()
            stack.check_settled()


class Ends(StackTest):
    """Whoever goes, goes at the worst moment."""

    def start(self) -> tuple[Stack, Listener, Listener]:
        stack = self.stack(start=False)
        unix = self.serve(stack, "unix")
        tcp = self.listener(socket.AF_INET)
        stack.host.service("tcp", connect=tcp.connect)
        return stack.start(), unix, tcp

    def test_writes_and_exits_at_once(self) -> None:
        """A program that writes name and data and is gone: its data must arrive."""
        stack, unix, tcp = self.start()
        program = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
                   "s.connect(sys.argv[1])\n"
                   "s.sendall(sys.argv[2].encode() + b'\\0' + b'd' * 60000)\n")
        for style in (program, program.replace("\\0", "\\n")):
            for name, listener in (("unix", unix), ("tcp", tcp)):
                subprocess.run([sys.executable, "-S", "-c", style, stack.guest.socket, name],
                               timeout=PATIENCE, check=True)
                self.assertEqual(read_to_end(listener.accept()), b"d" * 60000)

    def test_handler_closes_at_once(self) -> None:
        stack, unix, tcp = self.start()
        for name, listener in (("unix", unix), ("tcp", tcp)):
            for data in (b"", b"unread" * 1000):
                app, peer = stack.join(listener, name, data)
                peer.close()
                self.assert_eof(app)
                self.assertIn(write_until_refused(app), (errno.EPIPE, errno.ECONNRESET))
        stack.check_settled()

    def test_handler_closes_after_writing_with_unread_input(self) -> None:
        stack, unix, tcp = self.start()
        for name, listener in (("unix", unix), ("tcp", tcp)):
            for size in (10, 100_000):
                with self.subTest(name=name, size=size):
                    app, peer = stack.join(listener, name, b"never read" * 1000)
                    self.assertEqual(peer.recv(1), b"n")
                    answer = pattern(3, size)
                    peer.sendall(answer)
                    peer.close()
                    self.assertEqual(read_to_end(app), answer)

    def test_app_closes_after_writing_with_unread_input(self) -> None:
        stack, unix, tcp = self.start()
        for name, listener in (("unix", unix), ("tcp", tcp)):
            app, peer = stack.join(listener, name)
            peer.sendall(b"never read" * 1000)
            self.assertEqual(app.recv(1), b"n")
            data = pattern(4, 100_000)
            app.sendall(data)
            app.close()
            self.assertEqual(read_to_end(peer), data)
        stack.check_settled()

    def test_app_goes_with_data_unsent(self) -> None:
        """What the handler has not read yet is still delivered when it does."""
        stack, unix, _ = self.start()
        app, peer = stack.join(unix, "unix")
        app.settimeout(0.3)
        sent = 0
        try:
            while True:
                sent += app.send(pattern(sent, 1 << 16))
        except TimeoutError:
            pass
        app.close()
        got = 0
        while piece := peer.recv(1 << 20):
            got += len(piece)
        self.assertEqual(got, sent)
        self.assertGreater(sent, 1 << 18)

    def use_up(self, stack: Stack, app: socket.socket) -> None:
        """Writes until there is no credit, and not a byte more."""
        total = idle = 0
        while idle < 5:
            channel = stack.guest.channels()[0]
            idle = idle + 1 if channel["credit"] == 0 and channel["sent"] == total else 0
            if channel["sent"] == total:
                app.sendall(bytes(channel["credit"]))
                total += channel["credit"]
            time.sleep(0.02)  # for what may still come back

    def test_end_needs_no_credit(self) -> None:
        """The handler does not read, and there is none left; it sees the end at last all the same."""
        stack, unix, _ = self.start()
        for close in (False, True):
            app, peer = stack.join(unix, "unix")
            self.use_up(stack, app)
            if close:
                app.close()
            else:
                app.shutdown(socket.SHUT_WR)
            wait_until(lambda: stack.host.channels()[0]["state"] in ("recv-closed", "closed"),
                       "FIN is there")
            peer.settimeout(PATIENCE)
            read_to_end(peer)
            peer.close()
            stack.check_settled()

    def test_handler_never_answers_and_app_goes(self) -> None:
        stack, unix, tcp = self.start()
        for name, listener in (("unix", unix), ("tcp", tcp)):
            for data in (b"", b"x" * 100_000):
                app, peer = stack.join(listener, name, data)
                app.close()
                self.assertEqual(len(read_to_end(peer)), len(data))
                peer.close()
        stack.check_settled()

    def test_goes_while_opening(self) -> None:
        stack, unix, _ = self.start()
        for n in range(200):
            app = stack.dial()
            app.sendall(b"unix" + (b"\0", b"\n")[n % 2] + b"y" * (n % 3))
            app.close()
            unix.accept().close()
        stack.check_settled()

    def test_both_go_at_once(self) -> None:
        stack, unix, tcp = self.start()
        for n in range(100):
            name, listener = (("unix", unix), ("tcp", tcp))[n % 2]
            app, peer = stack.join(listener, name, b"a" * (n * 97))
            peer.sendall(b"b" * (n * 89))
            (app if n % 3 else peer).close()
            (peer if n % 3 else app).close()
        stack.check_settled()

    def test_tcp_reset_reaches_the_app(self) -> None:
        stack, _, tcp = self.start()
        app, peer = stack.join(tcp, "tcp")
        app.sendall(b"hello")
        self.assertEqual(read_exactly(peer, 5), b"hello")
        reset(peer)
        wait_hung_up(app)
        self.assert_eof(app)
        with self.assertRaises(BrokenPipeError):
            app.send(b"x")
        stack.check_settled()

    def test_tcp_reset_reaches_an_app_that_does_not_read(self) -> None:
        """What came before the reset stays before it, so the app learns of it when it writes."""
        stack, _, tcp = self.start()
        app, peer = stack.join(tcp, "tcp")
        peer.settimeout(0.3)
        try:
            while True:
                peer.send(b"x" * 65536)
        except TimeoutError:
            pass
        reset(peer)
        self.assertIn(write_until_refused(app), (errno.EPIPE, errno.ECONNRESET))
        app.settimeout(PATIENCE)
        read_to_end(app)
        stack.check_settled()

    def test_tcp_reset_reaches_an_app_that_has_finished(self) -> None:
        """The app's direction is closed, and it waits for an answer that will not come."""
        stack, _, tcp = self.start()
        app, peer = stack.join(tcp, "tcp")
        app.shutdown(socket.SHUT_WR)
        self.assert_eof(peer)
        reset(peer)
        self.assert_eof(app)
        stack.check_settled()

    def test_tcp_reset_with_a_full_backlog(self) -> None:
        """The handler does not read; then it resets: the app's writing ends."""
        stack, _, tcp = self.start()
        app, peer = stack.join(tcp, "tcp")
        app.settimeout(0.3)
        try:
            while True:
                app.send(b"x" * 65536)
        except TimeoutError:
            pass
        reset(peer)
        wait_hung_up(app)
        self.assertIn(write_until_refused(app), (errno.EPIPE, errno.ECONNRESET))
        stack.check_settled()

    def test_lost_session_reaches_tcp_as_reset(self) -> None:
        stack, _, tcp = self.start()
        app, peer = stack.join(tcp, "tcp")
        stack.guest.kill()
        with self.assertRaises(ConnectionResetError):
            peer.recv(1)
        app.close()
        stack.guest.start()

    def test_stop_reaches_the_other_end(self) -> None:
        """shutdown(SHUT_RD) on one end: EPIPE at the other; the other direction lives on."""
        stack, unix, _ = self.start()
        for app_stops in (True, False):
            ends = stack.join(unix, "unix")
            stopper, writer = ends if app_stops else ends[::-1]
            stopper.shutdown(socket.SHUT_RD)
            self.assertEqual(write_until_refused(writer), errno.EPIPE)
            stopper.sendall(b"still here")
            writer.settimeout(PATIENCE)
            self.assertEqual(read_exactly(writer, 10), b"still here")
            stopper.close()
            self.assert_eof(writer)
            writer.close()
        stack.check_settled()

    def test_stop_with_much_under_way(self) -> None:
        stack, unix, _ = self.start()
        app, peer = stack.join(unix, "unix")
        peer.settimeout(0.3)
        try:
            while True:
                peer.send(b"x" * 65536)
        except TimeoutError:
            pass
        app.shutdown(socket.SHUT_RD)
        app.sendall(b"!")
        self.assertEqual(read_exactly(peer, 1), b"!")
        app.recv(1 << 20)  # what was in it already
        self.assertEqual(write_until_refused(peer), errno.EPIPE)

    def test_app_is_killed(self) -> None:
        """Not closed in good order, but killed with both directions busy."""
        stack, unix, _ = self.start()
        process = subprocess.Popen([BIN / "muxctl", "--socket", stack.guest.socket, "connect",
                                    "unix"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        peer = unix.accept()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"x" * 100_000)
        process.stdin.flush()
        self.assertEqual(len(read_exactly(peer, 100_000)), 100_000)
        peer.sendall(b"y" * 200_000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
        self.assert_eof(peer)
        peer.close()
        stack.check_settled()


if __name__ == "__main__":
    unittest.main()
