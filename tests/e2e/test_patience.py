# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What takes ten seconds, all at the same time: an app that says no name, a handler that never
takes its connection, another program at the other end of the port.
"""

from __future__ import annotations

import socket
import threading
import time
import unittest

from daemon import PATIENCE, Daemon, read_line
from stack import VM, Stack, StackTest, read_exactly, read_to_end

LEAST, MOST = 9.0, 14.0


class Patience(StackTest):
    def test_ten_seconds(self) -> None:
        stack = self.stack(start=False)
        # Handlers whose queue is full, since nobody ever accepts.
        stuck = self.listener(backlog=0)
        tcp = self.listener(socket.AF_INET, backlog=0)
        stack.host.service("stuck", connect=stuck.connect)
        stack.host.service("tcp", connect=tcp.connect)
        good = self.serve(stack)
        stack.start()
        strangers = [self.start_stranger("guestmux"), self.start_stranger("hostmux")]
        self.assertEqual(len(self.fill(stack)), 2)

        begin = time.monotonic()
        mute, dribbling = stack.dial(), stack.dial()
        half = stack.dial()
        half.sendall(b"svc")
        dribbler = threading.Thread(target=self.dribble, args=(dribbling, begin))
        dribbler.start()
        waiting = [stack.dial() for _ in range(6)]
        for n, sock in enumerate(waiting):
            sock.sendall((b"stuck\n", b"tcp\n")[n % 2])
        stack.join(good, "svc")  # nobody else waits for them

        for name, sock in (("mute", mute), ("half", half), ("dribbling", dribbling)):
            sock.settimeout(MOST + PATIENCE)
            answer = read_to_end(sock)
            self.assertTrue(answer.startswith(b"ERR bad-name"), f"{name}: {answer!r}")
            self.check_time(begin)
        dribbler.join()
        self.check_handlers(waiting)
        self.check_time(begin)
        for daemon in strangers:
            daemon.wait_for_log("is another program at its other end?")
            self.assertLess(daemon.cpu_over(0.5), 0.1, "busy with nothing")
            self.assertEqual(daemon.log().count("is another program"), 1)
        stack.join(good, "svc")

    def check_time(self, begin: float) -> None:
        self.assertGreater(time.monotonic() - begin, LEAST)
        self.assertLess(time.monotonic() - begin, MOST)

    def fill(self, stack: Stack) -> list[socket.socket]:
        """The queues take one each, at least; what comes after waits."""
        return [stack.open("stuck"), stack.open("tcp")]

    def check_handlers(self, waiting: list[socket.socket]) -> None:
        for sock in waiting:
            sock.settimeout(MOST + PATIENCE)
        answers = [read_line(sock) for sock in waiting]
        codes = [answer.split(b" ")[1] for answer in answers if answer != b"OK"]
        self.assertGreaterEqual(len(codes), 4, answers)
        self.assertEqual(set(codes), {b"timeout"}, answers)

    def dribble(self, sock: socket.socket, begin: float) -> None:
        """A byte now and then is no name either."""
        try:
            while time.monotonic() < begin + MOST:
                sock.sendall(b"x")
                time.sleep(0.1)  # the pace, not a wait for something
        except (BrokenPipeError, ConnectionResetError):
            pass

    def start_stranger(self, kind: str) -> Daemon:
        """A daemon whose port another program answers."""
        path = self.folder / f"test-{kind}"
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        server.listen()
        server.settimeout(PATIENCE)
        self.addCleanup(server.close)
        port = ["--port", f"unix:{path}"] if kind == "guestmux" else ["--vm", f"{VM}=unix:{path}"]
        daemon = Daemon(kind, self.folder, port, name=f"lone-{kind}")
        self.daemons.append(daemon)
        self.addCleanup(daemon.stop)
        daemon.start()
        sock, _ = server.accept()
        sock.settimeout(PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall(b"Debian GNU/Linux 12 guest hvc0\r\n\r\nguest login: ")
        self.assertTrue(read_exactly(sock, 16))
        return daemon


if __name__ == "__main__":
    unittest.main()
