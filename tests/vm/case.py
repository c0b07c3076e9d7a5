# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Test cases over one guest: a guest a class, fresh daemons a test, their logs where one fails."""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import sys
import time
import unittest
from collections.abc import Mapping
from typing import Any, ClassVar

from stack import (
    ECHO, GUEST_SOCKET, MANY, VM_NAME, Guest, Handler, Host, guest_vm, read_all, wait_for,
)  # fmt: skip
from vm import Background, Vm

#: Both daemons are back, and a new channel works within this time.
BACK_S = 1.0
#: What "at once" is on a busy machine, where the news passes two daemons and an emulated guest.
AT_ONCE_S = 0.5

_APP_END = re.compile(
    r"channels (\d+) done (\d+) closed (\d+) half (\d+) wrong (\d+) bytes (\d+) "
    r"first-to-last-ms (\d+)"
)


class Apps:
    """Channels of both directions that echo all the time: `many` in the guest and on the host."""

    def __init__(self, case: StackCase, count: int) -> None:
        self._case = case
        self._count = count
        name = f"{VM_NAME}/gecho"
        self._guest: Background = case.vm.spawn(f"many -c {count} {GUEST_SOCKET} echo")
        self._host: subprocess.Popen[str] = case.host.app(
            MANY, "-c", str(count), case.host.socket, name
        )
        case.addCleanup(self._reap)
        assert self._host.stdout
        case.assertEqual(self._host.stdout.readline(), "all open\n")
        case.vm.wait_until(f"grep -q 'all open' {self._guest.log}")

    def _reap(self) -> None:
        self._host.kill()
        self._host.wait()
        assert self._host.stdout
        self._host.stdout.close()

    def check_running(self) -> None:
        self._case.assertIsNone(self._host.poll(), "the host's app has ended")
        self._case.assertTrue(self._guest.running(), "the guest's app has ended")

    def check_host_closed(self, since: float) -> None:
        """The host's app saw all of its channels close, both directions at once."""
        self._host.wait(10)
        self._check("the host's channels", self._host.communicate()[0], since)

    def check_guest_closed(self, since: float) -> None:
        self._guest.wait()
        self._check("the guest's channels", self._guest.output(), since)

    def check_closed(self, since: float) -> None:
        self.check_host_closed(since)
        self.check_guest_closed(since)

    def _check(self, whose: str, output: str, since: float) -> None:
        took = time.monotonic() - since
        end = _APP_END.search(output)
        assert end, f"{whose}: no figures in {output!r}"
        _, done, closed, half, wrong, _, spread = (int(group) for group in end.groups())
        self._case.assertEqual((done, closed, half, wrong), (0, self._count, 0, 0), end[0])
        self._case.assertLess(spread, AT_ONCE_S * 1000, end[0])
        self._case.assertLess(took, AT_ONCE_S, f"{whose} closed late")


class StackCase(unittest.TestCase):
    """guest_services, host_services and hardware (what guest_vm takes) are a class's own."""

    guest_services: ClassVar[Mapping[str, Handler]] = {"gecho": ECHO}
    host_services: ClassVar[Mapping[str, Handler]] = {"echo": ECHO}
    hardware: ClassVar[Mapping[str, Any]] = {}
    vm: ClassVar[Vm]

    @classmethod
    def setUpClass(cls) -> None:
        cls.vm = cls.enterClassContext(guest_vm(cls.guest_services, **cls.hardware))

    def setUp(self) -> None:
        self.host = self.enterContext(Host())
        for name, handler in self.host_services.items():
            self.host.service(name, handler)
        self.guest = Guest(self.vm)
        self.addCleanup(self._stop_guest)
        self.addCleanup(self._explain)
        self._begin = time.monotonic()
        self._troubles_before = self._troubles()

    def _troubles(self) -> int:
        """Failures of the whole run until now."""
        result: unittest.TestResult = getattr(self, "_outcome").result  # noqa: B009
        return len(result.errors) + len(result.failures)

    def _explain(self) -> None:
        """Runs before the cleanups that would take the logs away."""
        self.say(f"{time.monotonic() - self._begin:.2f} s")
        if self._troubles() > self._troubles_before:
            print(
                f"\n--- hostmux\n{self.host.log()}--- guestmux\n{self.guest.log()}"
                f"--- the guest\n{self.vm.logs()}",
                file=sys.stderr,
            )

    def _stop_guest(self) -> None:
        if self.guest.daemon and self.guest.daemon.running():
            self.guest.stop("KILL")

    def say(self, text: str) -> None:
        """Put a figure where the test's name is printed."""
        print(f"# {text}", file=sys.stderr, flush=True)

    def start(self) -> None:
        """Both daemons, until the session is up at both."""
        self.host.start(self.vm.port_path)
        self.guest.start()
        self.host.wait_up()
        self.guest.wait_up()

    def check_echo(self) -> None:
        """New channels, one each way, carry what is said now and nothing else."""
        token = secrets.token_hex(8)
        output = self.vm.check(f"pipe-client echo {token}", timeout=5)
        self.assertEqual(output, token)
        self.assertEqual(self._ask_guest(token.encode()), token.encode())

    def _ask_guest(self, text: bytes) -> bytes:
        with self.host.open("gecho") as channel:
            channel.sendall(text)
            channel.shutdown(socket.SHUT_WR)
            return read_all(channel)

    def check_back(self, since: float, limit: float = BACK_S) -> None:
        """New channels work, in both directions, within a second of `since`."""

        def host_opens() -> bool:
            try:
                return self._ask_guest(b"back") == b"back"
            except OSError:
                return False

        wait_for(host_opens, 10, lambda: self.host.log() + self.guest.log())
        host_took = time.monotonic() - since
        self.vm.wait_until('test "$(pipe-client echo back)" = back')
        took = time.monotonic() - since
        self.say(f"new channels after {host_took:.3f} s (host's) and {took:.3f} s (guest's)")
        self.assertLess(took, limit)
        self.check_echo()

    def check_end(
        self, link: dict[str, Any], log: str, reason: str, channels: int, others: int = 0
    ) -> None:
        """Status and log of one side say why its last session ended, and with how many channels.

        others: so many more may have been just being opened.
        """
        end = link["last_end"]
        self.assertIsNotNone(end, link)
        self.assertRegex(end["reason"], reason)
        self.assertIn(end["channels"], range(channels, channels + others + 1))
        self.assertIn(f"session ended: {end['reason']} ({end['channels']} channels closed)", log)
