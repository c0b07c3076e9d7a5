# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registrants that misbehave: what they say wrong, and what they do not read."""

from __future__ import annotations

import socket
import time
import unittest

from daemon import SANITIZED, read_line, wait_until
from registering import RegisterTest
from stack import Stack, read_exactly

WAITING_MAX = 64  # of a registrant that does not read
CONNECT_TIME = 10  # seconds, for each of them
REQUEST_MAX = 64 * 1024


class Words(RegisterTest):
    def test_bad_requests(self) -> None:
        """One line with the code and the key; nothing else is disturbed."""
        stack = self.started()
        client = self.registrant(stack.host)
        good: dict[str, object] = {"service": "new", "accept": "fd"}
        wrong: list[tuple[dict[str, object], str]] = [
            ({"accept": "fd"}, '"service"'), ({"service": "new"}, '"accept", "connect" and "exec"'),
            (good | {"connect": "unix:/x"}, '"accept", "connect" and "exec"'),
            (good | {"exec": ["/x"]}, '"accept", "connect" and "exec"'),
            (good | {"accept": "socket"}, '"accept"'), (good | {"accept": 1}, '"accept"'),
            ({"service": "new", "connect": "/x"}, '"connect"'),
            ({"service": "new", "connect": "unix:" + "x" * 200}, '"connect"'),
            ({"service": "new", "connect": ["unix:/x"]}, '"connect"'),
            ({"service": "new", "exec": "/bin/cat"}, '"exec"'),
            ({"service": "new", "exec": []}, '"exec"'),
            ({"service": "new", "exec": ["cat"]}, '"exec"'),
            ({"service": "new", "exec": ["/bin/cat", 1]}, '"exec"'),
            (good | {"vms": "x"}, '"vms"'), (good | {"vms": []}, '"vms"'),
            (good | {"max_channels": 0}, '"max_channels"'),
            (good | {"max_channels": "5"}, '"max_channels"'),
            (good | {"max_channels": 1.5}, '"max_channels"'),
            (good | {"max_channels": 1 << 64}, '"max_channels"'),
            (good | {"max_opens_per_second": 0}, '"max_opens_per_second"'),
            (good | {"max_opens_per_second": -1}, '"max_opens_per_second"'),
            (good | {"preamble": "proxy"}, '"preamble"'), (good | {"preamble": None}, '"preamble"'),
            (good | {"description": 5}, '"description"'),
            (good | {"description": "x" * 4097}, '"description"'),
            (good | {"description": "nul\0"}, '"description"'),
            (good | {"properties": []}, '"properties"'),
            (good | {"properties": {"a": 1}}, '"properties"'),
            (good | {"properties": {"": "a"}}, '"properties"'),
            (good | {"properties": {"a": None}}, '"properties"'),
            (good | {"properties": {"a": "nul\0"}}, '"properties"'),
            (good | {"properties": {f"{n}": "" for n in range(33)}}, '"properties"'),
            (good | {"properties": {"a": "x" * 2048, "b": "x" * 2047}}, '"properties"'),
            (good | {"file": "/x"}, '"file"'), (good | {"registered_by": {}}, '"registered_by"'),
            (good | {"colour": "red"}, '"colour"')]
        wrong += [(good | {"service": name}, '"service"') for name in (
            "", "@services", "@control", "a b", "a:b", "a/b", "ä", "x" * 129, "a\0", "a\n",
            None, 5, ["new"])]
        for keys, key in wrong:
            with self.subTest(keys=str(keys)[:80]):
                code, text = client.error("register", **keys)
                self.assertEqual(code, "bad-request")
                self.assertIn(key, text)
                self.assertLess(len(text), 300)
        some: list[dict[str, object]] = [{}, {"service": 5}, {"service": "clip", "more": 1}]
        for keys in some:
            self.assertEqual(client.error("unregister", **keys)[0], "bad-request", keys)
        self.assertEqual({one["service"] for one in stack.host.ask("services")["services"]},
                         {"echo", "clip"})
        stack.open("clip")
        client.channel()[1].close()
        client.good("register", service="x" * 128, accept="fd", preamble="json",
                    properties={f"{n:02}": "y" * 100 for n in range(32)}, description="z" * 832)

    def test_junk(self) -> None:
        """Is answered with errors, and ends nothing; too much of it ends the connection."""
        stack = self.started()
        client = self.registrant(stack.host)
        client.sock.sendall(b"\x00\xff junk\n" * 50 + b"[" * 5000 + b"\n")
        for _ in range(51):
            self.assertEqual(client.answer()["error"]["code"], "bad-request")
        # Surplus descriptors are nobody's; from Linux 6.16 on they cannot even be sent.
        try:
            socket.send_fds(client.sock, [b'{"verb": "links"}\n'], [0, 1, 2] * 20)
        except PermissionError:
            client.sock.sendall(b'{"verb": "links"}\n')
        self.assertTrue(client.answer()["ok"])
        app = stack.open("clip")
        sock = client.channel()[1]
        try:
            client.sock.sendall(b"x" * (REQUEST_MAX + 8192))
        except (BrokenPipeError, ConnectionResetError):
            pass
        wait_until(lambda: len(stack.host.ask("services")["services"]) == 1, "it has ended")
        self.assert_refused("no-service", stack, "clip")
        app.sendall(b"still")
        self.assertEqual(read_exactly(sock, 5), b"still")
        sock.close()


class Deaf(RegisterTest):
    """Who does not read what he registered for."""

    def crowd(self, stack: Stack, count: int) -> list[socket.socket]:
        waiting = []
        for _ in range(count):
            waiting.append(stack.dial())
            waiting[-1].sendall(b"clip\n")
        return waiting

    def states(self, stack: Stack) -> dict[str, int]:
        found: dict[str, int] = {}
        for channel in stack.host.channels():
            found[channel["state"]] = found.get(channel["state"], 0) + 1
        return found

    def codes(self, apps: list[socket.socket]) -> dict[str, int]:
        found: dict[str, int] = {}
        for app in apps:
            code = " ".join(read_line(app).decode().split()[:2])
            found[code] = found.get(code, 0) + 1
        return found

    def test_never_reads(self) -> None:
        """As many as its socket takes are open, 64 wait for ten seconds, others are refused."""
        stack = self.started()
        client = self.registrant(stack.host)
        self.check_echo(stack)
        memory = stack.host.memory()
        begin = time.monotonic()
        apps = self.crowd(stack, 1000)
        wait_until(lambda: stack.host.link()["refused"] > 0
                   and self.states(stack).get("connecting") == WAITING_MAX, "64 wait")
        opened = self.states(stack)["open"]
        self.assertLess(opened, 500)
        self.assertLess(max(self.check_echo(stack) for _ in range(20)), 1 if SANITIZED else 0.2)
        self.assertLess(stack.host.cpu_over(1), 0.3)
        if not SANITIZED:
            self.assertLess(stack.host.memory() - memory, 8 << 20)
        self.assertLess(stack.host.descriptors_open(),
                        stack.baseline["hostmux"] + opened + WAITING_MAX + 10)
        self.assertEqual(self.codes(apps), {"OK": opened, "ERR timeout": WAITING_MAX,
                                            "ERR limit": 1000 - WAITING_MAX - opened})
        self.assertGreater(time.monotonic() - begin, CONNECT_TIME - 1)
        self.assertEqual([daemon.link()["refused"] for daemon in stack.daemons],
                         [1000 - opened] * 2)
        # What was refused leaves nothing: the whole crowd can come again once it reads.
        stack.close_apps()
        wait_until(lambda: not stack.host.channels(), "all have gone")
        for _ in range(opened):
            client.channel()[1].close()
        app = stack.open("clip", b"now")
        sock = client.channel()[1]
        self.assertEqual(read_exactly(sock, 3), b"now")
        sock.close()
        self.assert_eof(app)

    def test_goes_while_they_wait(self) -> None:
        stack = self.started()
        for leave in ("close", "unregister", "read"):
            client = self.registrant(stack.host)
            apps = self.crowd(stack, 400)
            wait_until(lambda: self.states(stack).get("connecting") == WAITING_MAX, "64 wait")
            opened = self.states(stack)["open"]
            if leave == "read":
                for _ in range(opened + WAITING_MAX):
                    client.channel()[1].close()
                self.assertEqual(self.codes(apps)["OK"], opened + WAITING_MAX)
            elif leave == "close":
                client.close()
                self.assertEqual(self.codes(apps)["ERR refused"], WAITING_MAX)
            else:
                # The request is read, whatever waits to be read by this side.
                client.sock.sendall(b'{"verb":"unregister","service":"clip"}\n')
                self.assertEqual(self.codes(apps)["ERR refused"], WAITING_MAX)
            client.close()
            stack.close_apps()
            stack.check_settled()

    def test_other_services_of_the_same_program(self) -> None:
        """A program that does not read keeps its other names waiting, and nobody else's."""
        stack = self.started()
        client = self.registrant(stack.host)
        another = self.registrant(stack.host, "other")
        self.crowd(stack, 400)
        wait_until(lambda: self.states(stack).get("connecting") == WAITING_MAX, "64 wait")
        for _ in range(20):
            stack.open("other")
            another.channel()[1].close()
        client.close()


if __name__ == "__main__":
    unittest.main()
