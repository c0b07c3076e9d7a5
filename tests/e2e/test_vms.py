# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Twenty VMs on one hostmux: each has its own, and one that misbehaves disturbs no other."""

from __future__ import annotations

import socket
import threading
import unittest

from daemon import PATIENCE, Daemon, dial, read_line, wait_until
from stack import StackTest, read_exactly
from traffic import echo_all, pattern

VMS = 20
ROUNDS = 5


class Vms(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.sockets: list[socket.socket] = []
        self.addCleanup(self.close_all)

    def close_all(self) -> None:
        for sock in self.sockets:
            sock.close()

    def start(self) -> tuple[Daemon, list[Daemon]]:
        arguments = [word for n in range(VMS)
                     for word in ("--vm", f"vm{n}=listen:{self.folder}/port{n}")]
        # Closed in the reverse order: the guests end before their host.
        host = self.daemon("hostmux", arguments)
        host.service("echo", connect=self.echo())
        host.service("few", exec=["/bin/cat"], max_channels=2)
        host.service("some", connect=f"unix:{self.folder}/test-echo", vms=["vm1", "vm1?"])
        host.start()
        guests = []
        for n in range(VMS - 1):
            guest = self.daemon("guestmux", ["--port", f"unix:{self.folder}/port{n}"],
                                name=f"guest{n}")
            guest.service("name", exec=["/bin/echo", f"I am {n}"])
            guest.launch()
            guests.append(guest)
        wait_until(lambda: sum(vm["state"] == "up" for vm in host.ask("vms")["vms"]) == VMS - 1,
                   "all are up")
        return host, guests

    def open(self, daemon: Daemon, name: str) -> socket.socket:
        sock = dial(daemon.socket)
        self.sockets.append(sock)
        sock.sendall(name.encode() + b"\n")
        self.assertEqual(read_line(sock), b"OK")
        return sock

    def check_all(self, guests: list[Daemon]) -> None:
        echo_all([(self.open(guest, "echo"), pattern(n, 20_000)) for n, guest in enumerate(guests)],
                 2 * PATIENCE)

    def test_each_has_its_own(self) -> None:
        host, guests = self.start()
        for n in range(VMS - 1):
            self.assertEqual(self.open(host, f"vm{n}/name").recv(100), b"I am %d\n" % n)
        self.check_all(guests)
        for n, guest in enumerate(guests):
            sock = dial(guest.socket)
            self.sockets.append(sock)
            sock.sendall(b"some\n")
            allowed = n == 1 or n >= 10
            self.assertEqual(read_line(sock)[:10], b"OK" if allowed else b"ERR denied")
        states = {vm["name"]: vm["state"] for vm in host.ask("vms")["vms"]}
        self.assertEqual(states.pop(f"vm{VMS - 1}"), "down")
        self.assertEqual(set(states.values()), {"up"})

    def test_limit_is_each_ones_own(self) -> None:
        """What one VM has of a service is nothing that another one lacks."""
        host, guests = self.start()
        for guest in guests[:3]:
            for _ in range(2):
                self.open(guest, "few")
            sock = dial(guest.socket)
            self.sockets.append(sock)
            sock.sendall(b"few\n")
            self.assertEqual(read_line(sock)[:9], b"ERR limit")
        few = next(one for one in host.ask("services")["services"] if one["service"] == "few")
        self.assertEqual(few["channels"], 6)

    def test_one_misbehaves(self) -> None:
        """Garbage without end, reconnections, a guest that dies: the others do not notice."""
        host, guests = self.start()
        steady = [self.open(guest, "echo") for guest in guests[1:]]
        stop = threading.Event()
        thread = threading.Thread(target=self.misbehave, args=(stop,))
        thread.start()
        try:
            for n in range(ROUNDS):
                echo_all([(sock, pattern(n, 20_000)) for sock in steady], 2 * PATIENCE)
                if n == 2:
                    guests[0].kill()
        finally:
            stop.set()
            thread.join()
        for vm in host.ask("vms")["vms"]:
            if vm["name"] not in ("vm0", f"vm{VMS - 1}"):
                self.assertEqual((vm["state"], vm["sessions"], vm["lost_steps"]), ("up", 1, 0))
        wait_until(lambda: host.link("vm0")["state"] != "up", "the dead one is down")

    def misbehave(self, stop: threading.Event) -> None:
        """On the last VM's port."""
        noise = pattern(1, 1 << 16)
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(f"{self.folder}/port{VMS - 1}")
                for _ in range(20):
                    sock.sendall(noise)

    def test_one_that_never_reads(self) -> None:
        """Its budget is its own."""
        host, guests = self.start()
        stuck = self.open(guests[0], "echo")
        stuck.setblocking(False)
        with self.assertRaises(BlockingIOError):
            for _ in range(10_000):
                stuck.send(b"x" * 65536)
        self.check_all(guests)
        self.assertEqual(host.link("vm1")["sessions"], 1)

    def test_all_die_and_come_back(self) -> None:
        host, guests = self.start()
        socks = [self.open(guest, "echo") for guest in guests]
        host.kill()
        for sock in socks:
            self.assert_eof(sock)
        host.start()
        wait_until(lambda: sum(vm["state"] == "up" for vm in host.ask("vms")["vms"]) == VMS - 1,
                   "all are up")
        self.check_all(guests)
        self.assertEqual(read_exactly(self.open(host, "vm7/name"), 6), b"I am 7")


if __name__ == "__main__":
    unittest.main()
