# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of registered services share."""

from __future__ import annotations

import socket
import time

from client import Client, open_client
from daemon import Daemon, Json, wait_until
from stack import Stack, StackTest, read_exactly

SIDES = ("guest", "host")


class RegisterTest(StackTest):
    def start(self) -> Stack:
        self.folder.chmod(0o755)
        return self.stack()

    def client(self, daemon: Daemon, uid: int = 0) -> Client:
        return open_client(self, daemon.socket, uid)

    def other(self, stack: Stack, side: str) -> tuple[Daemon, str]:
        """The daemon of that side, and the side from which its services are opened."""
        return (stack.guest, "host") if side == "guest" else (stack.host, "guest")

    def take(self, client: Client) -> tuple[Json, socket.socket]:
        event, sock = client.channel()
        self.addCleanup(sock.close)
        return event, sock

    def check(self, app: socket.socket, handler: socket.socket) -> None:
        """Bytes go both ways."""
        for one, another in ((app, handler), (handler, app)):
            one.sendall(b"there")
            self.assertEqual(read_exactly(another, 5), b"there")

    def offered(self, daemon: Daemon) -> set[str]:
        return {service["service"] for service in daemon.ask("services")["services"]}

    def seen(self, daemon: Daemon) -> set[str]:
        """What can be opened there."""
        return {service["service"] for service in daemon.ask("services")["remote"]}

    def wait_gone(self, stack: Stack, side: str) -> None:
        daemon, other = self.other(stack, side)
        wait_until(lambda: not self.offered(daemon), "nothing is registered")
        wait_until(lambda: not self.seen(stack.guest if other == "guest" else stack.host),
                   "the other side knows")

    def registrant(self, daemon: Daemon, service: str = "clip", **keys: object) -> Client:
        client = Client(daemon.socket)
        self.addCleanup(client.close)
        client.good("register", service=service, **(keys or {"accept": "fd"}))
        return client

    def started(self) -> Stack:
        """With an echo of the host's, to see that others are served."""
        stack = self.stack(start=False)
        stack.host.service("echo", connect=self.echo())
        return stack.start()

    def check_echo(self, stack: Stack) -> float:
        """How long it takes to open one and hear from it."""
        begin = time.monotonic()
        app = stack.open("echo", b"hello")
        self.assertEqual(read_exactly(app, 5), b"hello")
        app.close()
        return time.monotonic() - begin
