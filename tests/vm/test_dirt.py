#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What lies in the port before the handshake: other programs' bytes, pieces of earlier sessions.

Each time the next session comes up by itself, within a second of both daemons' start, and carries
nothing of it.
"""

from __future__ import annotations

import random
import time
import unittest

from case import StackCase
from proxy import Proxy
from stack import GUEST_SOCKET, MANY, VM_NAME

GARBAGE = random.Random(1).randbytes(100_000)


class Dirt(StackCase):
    def write_from_host(self, data: bytes) -> None:
        """As another program that has the chardev's socket for a while. QEMU keeps what fits."""
        with self.vm.connect_port() as port:
            port.settimeout(0.2)
            try:
                port.sendall(data)
            except TimeoutError:
                pass
            time.sleep(0.1)

    def record_session(self) -> bytes:
        """What hostmux says in a session with channels both ways; then both daemons are gone."""
        path = self.host.folder / "proxy.sock"
        proxy = Proxy(path, self.vm.port_path)
        try:
            self.host.start(path)
            self.guest.start()
            self.host.wait_up()
            self.guest.wait_up()
            self.vm.check(f"many -c 5 -k 50 {GUEST_SOCKET} echo")
            with self.host.app(MANY, "-c", "5", "-k", "50", self.host.socket,
                               f"{VM_NAME}/gecho") as app:  # fmt: skip
                self.assertEqual(app.wait(10), 0)
            self.guest.stop()
            self.host.stop()
        finally:
            proxy.stop()
        return bytes(proxy.said)

    def check_clean_start(self) -> None:
        self.host.start(self.vm.port_path)
        self.guest.start()
        self.check_back(time.monotonic())
        self.check_carries()

    def check_carries(self) -> None:
        self.assertRegex(
            self.vm.check(f"many -c 10 -k 50 {GUEST_SOCKET} echo"), "done 10 .* wrong 0 "
        )
        self.check_echo()

    # ---- in front of the first session ----

    def test_garbage_before_guestmux(self) -> None:
        self.write_from_host(GARBAGE)
        self.check_clean_start()

    def test_garbage_while_guestmux_runs(self) -> None:
        self.guest.start()
        self.write_from_host(GARBAGE)
        self.assertEqual(self.guest.link()["state"], "down")
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.check_back(begin)
        self.check_carries()

    def test_garbage_of_the_guest(self) -> None:
        """Another program of the guest's wrote into the port before."""
        self.host.start(self.vm.port_path)
        self.vm.check("noise 7 100000 >/dev/vport0p1", timeout=5)
        self.guest.start()
        self.check_back(time.monotonic())
        self.check_carries()

    # ---- of an earlier session ----

    def test_an_earlier_session_again(self) -> None:
        """All that hostmux ever said, HELLO and all, to a guestmux that just began and to one
        whose session it could have been."""
        said = self.record_session()
        self.assertGreater(len(said), 100_000)
        self.write_from_host(said)
        self.check_clean_start()
        self.host.stop()
        self.write_from_host(said)
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.check_back(begin)
        self.check_carries()

    def test_half_a_frame_of_an_earlier_session(self) -> None:
        said = self.record_session()
        for size in (1, 15, 17, 1000, 20_001):
            with self.subTest(size):
                self.write_from_host(said[-size:])
                try:
                    self.check_clean_start()
                finally:
                    self.host.stop()
                    self.guest.stop()

    def test_half_a_frame_of_the_guest(self) -> None:
        """guestmux is killed in the middle of what it says, hostmux goes on."""
        self.host.start(self.vm.port_path)
        for _ in range(5):
            self.guest.start()
            self.guest.wait_up()
            app = self.vm.spawn("cat /dev/zero | muxctl connect echo >/dev/null")
            time.sleep(random.uniform(0.05, 0.15))
            self.guest.stop("KILL")
            self.vm.run(f"kill -KILL -{app.pid}")
            self.vm.check("noise 8 20 >/dev/vport0p1")
        self.guest.start()
        self.check_back(time.monotonic())
        self.check_carries()

    # ---- in the middle of a session ----

    def test_another_program_talks_to_the_guest(self) -> None:
        """It takes hostmux's place for a moment, again and again, and says nonsense."""
        for n in range(5):
            self.host.start(self.vm.port_path)
            if n == 0:
                self.guest.start()
            self.host.wait_up()
            self.check_back(time.monotonic())
            self.host.stop()
            self.write_from_host(GARBAGE[n * 1000 : n * 1000 + 5000])
        self.host.start(self.vm.port_path)
        self.check_back(time.monotonic())
        self.check_carries()


if __name__ == "__main__":
    unittest.main(verbosity=2)
