# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The control connection: what is answered, and what a client cannot do to the daemon with it."""

from __future__ import annotations

import json
import socket
import threading
import time
import unittest

from daemon import PATIENCE, SANITIZED, Control, wait_until
from stack import VM, Stack, StackTest, read_exactly, read_to_end
from user import UID, being, needs_root

REQUEST_MAX = 64 * 1024
STATUS = b'{"verb": "status"}\n'


class Requests(StackTest):
    def raw(self, stack: Stack) -> socket.socket:
        sock = stack.dial()
        sock.sendall(b"@control\n")
        self.assertEqual(read_exactly(sock, 3), b"OK\n")
        return sock

    def answers(self, sock: socket.socket, count: int) -> list[dict]:  # type: ignore[type-arg]
        buffer = b""
        while buffer.count(b"\n") < count:
            piece = sock.recv(1 << 16)
            self.assertTrue(piece, f"closed after {buffer!r}")
            buffer += piece
        return [json.loads(line) for line in buffer.splitlines()]

    def test_verbs(self) -> None:
        stack = self.stack()
        with Control(stack.guest.socket) as control:
            self.assertEqual(control.ask({"verb": "status"})["daemon"], "guestmux")
            self.assertEqual(control.ask({"verb": "services"})["services"], [])
            self.assertEqual(control.ask({"verb": "vms"})["error"]["code"], "not-here")
        with Control(stack.host.socket) as control:
            self.assertEqual(control.ask({"verb": "status"})["daemon"], "hostmux")
            vms = control.ask({"verb": "vms"})["vms"]
            self.assertEqual([vm["name"] for vm in vms], [VM])

    def test_silent_style(self) -> None:
        stack = self.stack()
        sock = stack.dial()
        sock.sendall(b"@control\0" + STATUS)
        (answer,) = self.answers(sock, 1)
        self.assertTrue(answer["ok"])

    def test_wrong(self) -> None:
        """Each is answered with an error that says what, and the connection goes on."""
        stack = self.stack()
        sock = self.raw(stack)
        wrong = (b"", b" ", b"garbage", b"null", b"[]", b"1", b'"status"', b"{", b"}", b"{}{}",
                 b'{"verb": "status"} x', b'{"verb": }', b"\xff\xfe", b'{"verb": "\xff"}',
                 b"\0", b'{"verb": "status"}\0', b"[" * 10_000, b'{"a":' * 10_000,
                 b'{"verb": 1}', b'{"verb": null}', b'{"verb": ["status"]}', b'{"verb": {}}',
                 b'{"verb": ""}', b'{"verb": "nothing"}', b'{"verb": "status\\u0000"}', b"{}",
                 b'{"verb": "status", "more": 1}', b'{"Verb": "status"}', b'{"verb": "STATUS"}',
                 b'{"verb": "' + b"x" * 60_000 + b'"}', b'{"n": 1e999999999}',
                 b'{"verb": "\\ud800"}', b"nan", b"{'verb': 'status'}", b"/* */{}")
        for line in wrong:
            with self.subTest(line=line[:40]):
                sock.sendall(line + b"\n")
                (answer,) = self.answers(sock, 1)
                self.assertFalse(answer["ok"])
                self.assertTrue(answer["error"]["code"])
                self.assertTrue(answer["error"]["text"])
                self.assertLess(len(answer["error"]["text"]), 1000)
        sock.sendall(b' \t{ "verb" : "status" } \r\n')
        self.assertTrue(self.answers(sock, 1)[0]["ok"])

    def test_huge_line(self) -> None:
        """It ends with the connection, before it costs memory."""
        stack = self.stack()
        before = stack.guest.memory()
        for piece in (b"x" * (REQUEST_MAX + 10_000), b"[" * (4 << 20)):
            sock = self.raw(stack)
            try:
                sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            read_to_end(sock)
        if not SANITIZED:
            self.assertLess(stack.guest.memory() - before, 2 << 20)

    def test_one_byte_writes(self) -> None:
        stack = self.stack()
        sock = self.raw(stack)
        for n in STATUS * 3:
            sock.sendall(bytes([n]))
        self.assertEqual([answer["ok"] for answer in self.answers(sock, 3)], [True] * 3)

    def test_many_requests_in_one_write(self) -> None:
        """More than the buffer has room for, and the answers are read late: none is lost."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.start()
        for _ in range(50):  # makes the answers long
            stack.join(listener, "svc")
        count = 4_000
        sock = self.raw(stack)

        def write() -> None:
            sock.sendall(STATUS * count)
            sock.shutdown(socket.SHUT_WR)  # does not take back what was asked

        writer = threading.Thread(target=write)
        writer.start()
        # Its own buffers and ours are full before anything is read.
        wait_until(lambda: self.idle(stack), "nothing moves any more")
        got = 0
        while got < count:
            piece = sock.recv(100_000)
            time.sleep(0.002)  # a reader that is slower than the daemon
            self.assertTrue(piece, f"closed after {got} answers")
            got += piece.count(b"\n")
        writer.join()
        self.assertEqual(got, count)

    def idle(self, stack: Stack) -> bool:
        return stack.guest.cpu_over(0.1) == 0

    def test_requests_and_half_close(self) -> None:
        """All that was asked before the end is answered, then it ends."""
        stack = self.stack()
        for count in (1, 3, 2000):
            sock = self.raw(stack)
            sock.sendall(STATUS * count)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(sock).count(b'"ok":true'), count)

    def test_name_request_and_half_close_in_one_write(self) -> None:
        stack = self.stack()
        sock = stack.dial()
        sock.sendall(b"@control\n" + STATUS)
        sock.shutdown(socket.SHUT_WR)
        lines = read_to_end(sock).split(b"\n")
        self.assertEqual(lines[0], b"OK")
        self.assertTrue(json.loads(lines[1])["ok"])

    def test_client_that_never_reads(self) -> None:
        """Others are served, the daemon is not busy, and what is kept for it is one answer."""
        stack = self.stack()
        before = stack.guest.memory()
        deaf = [self.raw(stack) for _ in range(10)]
        for sock in deaf:
            sock.setblocking(False)
            deadline = time.monotonic() + PATIENCE
            idle = 0
            while idle < 20 and time.monotonic() < deadline:
                try:
                    sock.send(STATUS * 100)
                    idle = 0
                except BlockingIOError:
                    idle += 1
                    time.sleep(0.005)
                except BrokenPipeError:
                    break
        self.assertTrue(stack.guest.is_up())
        self.assertLess(stack.guest.cpu_over(0.5), 0.1)
        if not SANITIZED:
            self.assertLess(stack.guest.memory() - before, 4 << 20)

    @needs_root
    def test_many_connections(self) -> None:
        """There is a limit for one user, who is told; those within it work."""
        stack = self.stack()
        held = []
        self.folder.chmod(0o755)
        with being(UID):
            for _ in range(300):
                sock = stack.dial()
                sock.sendall(b"@control\n")
                held.append(sock)
        answers = [read_to_line(sock) for sock in held]
        self.assertEqual(answers.count(b"OK\n"), 32)
        self.assertEqual(sum(1 for line in answers if line.startswith(b"ERR limit ")), 268)
        # The administrator gets in whatever they do, and is not counted with them.
        for _ in range(40):
            sock = stack.dial()
            sock.sendall(b"@control\n")
            self.assertEqual(read_to_line(sock), b"OK\n")
        stack.close_apps()
        wait_until(lambda: self.served(stack), "served again")

    def served(self, stack: Stack) -> bool:
        try:
            return stack.guest.is_up()
        except (EOFError, ConnectionError):
            return False

    def test_gone_before_the_answer(self) -> None:
        stack = self.stack()
        for n in range(50):
            sock = self.raw(stack)
            sock.sendall(STATUS * (n % 5) + b'{"verb"' * (n % 2))
            sock.close()
        self.assertTrue(stack.guest.is_up())


def read_to_line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        try:
            byte = sock.recv(1)
        except ConnectionResetError:
            break
        if not byte:
            break
        line += byte
    return line


class Status(StackTest):
    """What status says is what happened."""

    def test_channel(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack, description="a test")
        stack.start()
        app, peer = stack.join(listener, "svc:arg", b"12345")
        self.assertEqual(read_exactly(peer, 5), b"12345")
        peer.sendall(b"123")
        self.assertEqual(read_exactly(app, 3), b"123")
        guest, host = stack.guest.link(), stack.host.link(VM)
        (ours,), (theirs,) = guest["channels"], host["channels"]
        self.assertEqual(ours["id"], theirs["id"])
        self.assertEqual((ours["direction"], theirs["direction"]), ("out", "in"))
        for channel, sent, received in ((ours, 5, 3), (theirs, 3, 5)):
            self.assertEqual(channel["service"], "svc:arg")
            self.assertEqual(channel["state"], "open")
            self.assertEqual((channel["sent"], channel["received"]), (sent, received))
            self.assertEqual(channel["unread"], 0)
            self.assertGreater(channel["credit"], 0)
            self.assertGreater(channel["window"], 0)
            self.assertLess(channel["age"], PATIENCE)
        app.shutdown(socket.SHUT_WR)
        self.assert_eof(peer)
        self.assertEqual(stack.guest.channels()[0]["state"], "send-closed")
        self.assertEqual(stack.host.channels(VM)[0]["state"], "recv-closed")
        (service,) = stack.host.ask("services")["services"]
        self.assertEqual((service["service"], service["channels"], service["description"]),
                         ("svc", 1, "a test"))

    def test_link(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.start()
        link = stack.host.link()
        self.assertEqual((link["name"], link["state"], link["session"]), (VM, "down", None))
        self.assertEqual((link["sessions"], link["last_end"]), (0, None))
        stack.guest.start()
        stack.wait_up()
        stack.measure()
        guest, host = stack.guest.link(), stack.host.link()
        self.assertEqual(guest["session"]["id"], host["session"]["peer"])
        self.assertEqual(guest["session"]["peer"], host["session"]["id"])
        self.assertEqual((guest["name"], guest["port_state"]), ("host", "connected"))
        self.assertEqual(host["port"], f"listen:{stack.port}")
        for _ in range(3):
            app, peer = stack.join(listener, "svc")
            app.close()
            self.assert_eof(peer)
            peer.close()
        for _ in range(2):
            self.assert_refused("no-service", stack, "nobody")
        for daemon in stack.daemons:
            wait_until(lambda d=daemon: d.link()["channels_open"] == 0,  # type: ignore[misc]
                       "all closed")
            self.assertEqual((daemon.link()["opened"], daemon.link()["refused"]), (3, 2))

    def test_opening(self) -> None:
        """A channel that is not yet open has its state, too."""
        stack = self.stack(start=False)
        full = self.listener(backlog=0)
        stack.host.service("full", connect=full.connect)
        stack.start()
        stack.open("full")
        for _ in range(3):
            stack.dial().sendall(b"full\n")
        wait_until(lambda: {c["state"] for c in stack.guest.channels()} == {"open", "opening"},
                   "they are being opened")
        wait_until(lambda: {c["state"] for c in stack.host.channels()} == {"open", "connecting"},
                   "and connected")
        # Once somebody takes them they are open like any other.
        for _ in range(4):
            full.accept()
        wait_until(lambda: {c["state"] for c in stack.guest.channels()} == {"open"}, "all open")


if __name__ == "__main__":
    unittest.main()
