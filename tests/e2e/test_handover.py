# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Channels as descriptors: one for each event, none left behind, however often and fast."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import unittest

from client import Client
from daemon import wait_until
from registering import RegisterTest
from stack import Refused, read_exactly, read_to_end


class Descriptors(RegisterTest):
    def test_one_for_each_event(self) -> None:
        """The daemon keeps its own end only, and the registrant gets no other."""
        stack = self.started()
        for side, daemon in (("host", stack.guest), ("guest", stack.host)):
            client = self.registrant(daemon)
            before, ours = daemon.descriptors_open(), len(os.listdir("/proc/self/fd"))
            socks = []
            for n in range(100):
                stack.open("clip", side=side)
                event, sock = client.channel()
                socks.append(sock)
                self.assertFalse(client.descriptors)
            # The daemon may be about to close the end that was just handed over.
            wait_until(lambda: daemon.descriptors_open() - before == 100,  # noqa: B023
                       "it has one end of each")
            self.assertEqual(len(os.listdir("/proc/self/fd")) - ours, 2 * 100)
            for sock in socks:
                sock.close()
            wait_until(lambda: daemon.descriptors_open() == before,  # noqa: B023
                       "all are closed, though the apps have not closed theirs")
            stack.close_apps()
            client.close()

    def test_closes_at_once(self) -> None:
        """Before, while and after the app writes: the app sees an end, and nothing stays."""
        stack = self.started()
        client = self.registrant(stack.host)
        for n in range(100):
            app = stack.open("clip", b"x" * (n * 1000), silent=n % 2 == 0)
            sock = client.channel()[1]
            if n % 3 == 0:
                sock.sendall(b"last words")
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            self.assertEqual(read_to_end(app), b"last words" if n % 3 == 0 else b"")
            app.close()
        self.check_echo(stack)

    def test_daemon_has_few(self) -> None:
        stack = self.stack(start=False)
        stack.host.descriptors = 64
        stack.start()
        client = self.registrant(stack.host)
        socks = []
        codes = set()
        for _ in range(100):
            try:
                stack.open("clip")
                socks.append(self.take(client)[1])
            except Refused as refused:
                codes.add(refused.code)
        self.assertEqual(client.pending(), [], "what is refused is not handed over")
        self.assertEqual(codes, {"limit"})
        self.assertGreater(len(socks), 20)
        for sock in socks:
            sock.close()
        stack.close_apps()
        wait_until(lambda: not stack.host.channels(), "all have gone")
        stack.open("clip")
        client.channel()[1].close()


class Storm(RegisterTest):
    def test_register_and_unregister(self) -> None:
        """While channels are opened: each is taken or refused, and afterwards all is well."""
        stack = self.started()
        client = Client(stack.host.socket)
        self.addCleanup(client.close)
        stop = threading.Event()
        codes: dict[str, int] = {}

        def open_them() -> None:
            while not stop.is_set():
                try:
                    stack.open("clip").close()
                    code = "OK"
                except Refused as refused:
                    code = refused.code
                codes[code] = codes.get(code, 0) + 1

        opener = threading.Thread(target=open_them, daemon=True)
        opener.start()
        before, begin = stack.guest.cpu() + stack.host.cpu(), time.monotonic()
        request = {"verb": "register", "service": "clip", "accept": "fd", "description": ""}
        for n in range(1000):
            request["description"] = f"the {n}th"
            self.assertTrue(client.ask(request)["ok"])
            client.good("unregister", service="clip")
            while client.events:
                client.channel()[1].close()
        took = time.monotonic() - begin
        stop.set()
        opener.join()
        self.assertLessEqual(set(codes), {"OK", "no-service", "refused"})
        self.assertIn("no-service", codes)
        self.assertLess(stack.guest.cpu() + stack.host.cpu() - before, 0.5 + 2 * took)
        client.good("register", service="clip", accept="fd", description="last")
        wait_until(lambda: [one["description"] for one in stack.guest.ask("services")["remote"]
                            if one["service"] == "clip"] == ["last"], "the last one counts")
        stack.open("clip")
        client.channel()[1].close()
        while client.events:
            client.channel()[1].close()

    def test_many_registrants(self) -> None:
        """Each registers, is used, and goes without a word."""
        stack = self.started()
        for n in range(200):
            client = self.registrant(stack.host, properties={"n": f"{n}"}, accept="fd")
            app = stack.open("clip", json.dumps(n).encode())
            sock = client.channel()[1]
            self.assertEqual(read_exactly(sock, len(str(n))), str(n).encode())
            client.close()
            sock.close()
            app.close()
            wait_until(lambda: len(stack.host.ask("services")["services"]) == 1, "it is gone")


if __name__ == "__main__":
    unittest.main()
