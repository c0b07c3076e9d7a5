#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Either end goes and comes back under running apps: nothing hangs, nothing old appears.

Each time the apps' channels are closed in both directions at once, status and log say why, and new
channels work within a second of both ends being back.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
import unittest
from pathlib import Path

from case import AT_ONCE_S, BACK_S, Apps, StackCase
from proxy import Proxy
from stack import GUEST_SOCKET, Guest, guest_vm, host_cpu_ticks, wait_for

N = 20
RESTARTS = 15
#: QEMU's reconnect=1.
RECONNECT_S = 1.0
NO_HOST = "the port went down: no host is connected"
NEW_PEER = "the other end started anew"


class Ends(StackCase):
    hardware = {"machine": "q35"}

    def test_hostmux_killed(self) -> None:
        self.start()
        apps = Apps(self, N)
        begin = time.monotonic()
        self.host.stop(signal.SIGKILL)
        apps.check_closed(begin)
        self.check_end(self.guest.link(), self.guest.log(), NO_HOST, 2 * N)
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.check_back(begin)

    def test_hostmux_stopped(self) -> None:
        self.start()
        apps = Apps(self, N)
        begin = time.monotonic()
        self.host.stop(signal.SIGTERM)
        apps.check_closed(begin)
        self.check_end(self.guest.link(), self.guest.log(), NO_HOST, 2 * N)
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.check_back(begin)

    def test_guestmux_killed(self) -> None:
        """QEMU does not tell the host's socket, so the host learns of it when guestmux is back."""
        self.start()
        apps = Apps(self, N)
        begin = time.monotonic()
        self.guest.stop("KILL")
        apps.check_guest_closed(begin)
        self.guest.start()
        begin = time.monotonic()
        apps.check_host_closed(begin)
        self.check_back(begin)
        self.check_end(self.host.link(), self.host.log(), NEW_PEER, 2 * N)

    def test_guest_reset(self) -> None:
        self.start()
        apps = Apps(self, N)
        self.vm.reset()
        self.guest.start()
        begin = time.monotonic()
        apps.check_host_closed(begin)
        self.check_back(begin)
        self.check_end(self.host.link(), self.host.log(), NEW_PEER, 2 * N)

    def test_snapshot_restored(self) -> None:
        """The guest goes back to a point at which the same session ran.

        The next byte on the link tells. Were nothing new opened, and did all wait for bytes that
        the restore has swallowed, that would be the next PING.
        """
        self.start()
        apps = Apps(self, N)
        self.vm.snapshot()
        apps.check_running()
        time.sleep(0.3)  # the session goes on, and both ends' counters with it
        apps.check_running()
        self.vm.restore()
        begin = time.monotonic()
        self.check_back(begin)
        apps.check_closed(begin + BACK_S)
        reasons = "bytes were lost or repeated|the other end started anew"
        self.check_end(self.guest.link(), self.guest.log(), reasons, 2 * N, 1)
        self.check_end(self.host.link(), self.host.log(), reasons, 2 * N, 1)

    def test_snapshot_of_an_earlier_session(self) -> None:
        """hostmux was started anew since: no byte of its new session reaches the old one.

        On a link that is silent for the time being, the next byte tells, or the next PING.
        """
        self.start()
        self.vm.snapshot()
        self.host.stop()
        self.host.start(self.vm.port_path)
        self.host.wait_up()
        apps = Apps(self, N)
        self.vm.restore()
        begin = time.monotonic()
        self.check_back(begin)
        apps.check_host_closed(begin + BACK_S)

    def test_paused(self) -> None:
        self.start()
        apps = Apps(self, N)
        session = self.host.link()["session"]["id"]
        self.vm.qmp("stop")
        time.sleep(3)
        self.vm.qmp("cont")
        apps.check_running()
        self.check_echo()
        apps.check_running()
        self.assertEqual(self.host.link()["session"]["id"], session)

    def test_cut_within_a_frame(self) -> None:
        """The chardev's connection breaks in the middle of a frame, again and again."""
        path = self.host.folder / "proxy.sock"
        proxy = Proxy(path, self.vm.port_path)
        self.addCleanup(proxy.stop)
        self.host.start(path)
        self.guest.start()
        self.host.wait_up()
        for _ in range(3):
            apps = Apps(self, N)
            begin = time.monotonic()
            proxy.cut(half_a_frame=True)
            apps.check_closed(begin)
            self.check_back(begin)
        end = self.host.link()["last_end"]["reason"]
        self.assertRegex(end, "the port went down: closed by the other end")

    # ---- nobody there ----

    def test_guestmux_is_idle_without_a_host(self) -> None:
        self.guest.start()
        self.assertIn("no host is connected", self.guest.link()["port_state"])
        status, output = self.vm.run("muxctl connect echo")
        self.assertEqual(status, 16, output)
        before = self.guest.cpu_ticks()
        time.sleep(2)
        ticks = self.guest.cpu_ticks() - before
        self.say(f"{ticks * 10} ms of CPU in 2 s")
        self.assertLessEqual(ticks, 2)
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.check_back(begin)

    def test_hostmux_is_idle_without_a_guest(self) -> None:
        """What it says meanwhile waits in QEMU for the guest's first open."""
        self.host.start(self.vm.port_path)
        wait_for(lambda: self.host.state("port_state") == "connected", 2)
        with self.assertRaisesRegex(ConnectionError, "^ERR link-down "):
            self.host.open("gecho")
        before = host_cpu_ticks(self.host.pid)
        time.sleep(2)
        ticks = host_cpu_ticks(self.host.pid) - before
        self.say(f"{ticks * 10} ms of CPU in 2 s")
        self.assertLessEqual(ticks, 2)
        self.guest.start()
        self.check_back(time.monotonic())

    # ---- races ----

    def test_hostmux_restarted_often(self) -> None:
        self.start()
        worst = 0.0
        for _ in range(RESTARTS):
            apps = self.vm.spawn(f"many -c 5 {GUEST_SOCKET} echo")
            time.sleep(random.uniform(0, 0.03))
            self.host.stop(random.choice([signal.SIGKILL, signal.SIGTERM]))
            begin = time.monotonic()
            self.host.start(self.vm.port_path)
            time.sleep(random.uniform(0, 0.02))
            worst = max(worst, self.back(begin))
            self.vm.run(f"kill -TERM -{apps.pid}")
            apps.wait()
            self.check_no_wrong_byte(apps.output())
        self.say(f"{RESTARTS} times; new channels after {worst:.3f} s at worst")
        self.assertLess(worst, BACK_S)
        self.check_echo()

    def test_guestmux_restarted_often(self) -> None:
        self.start()
        worst = 0.0
        for _ in range(RESTARTS):
            apps = self.vm.spawn(f"many -c 5 {GUEST_SOCKET} echo")
            time.sleep(random.uniform(0, 0.03))
            self.guest.stop(random.choice(["KILL", "TERM"]))
            apps.wait()
            self.check_no_wrong_byte(apps.output())
            self.guest.start(wait=random.random() < 0.5)
            worst = max(worst, self.back(time.monotonic()))
        self.say(f"{RESTARTS} times; new channels after {worst:.3f} s at worst")
        self.assertLess(worst, BACK_S)
        self.check_echo()

    def test_both_restarted_at_once(self) -> None:
        self.start()
        for _ in range(RESTARTS // 3):
            self.host.stop()
            self.guest.stop("KILL")
            host_first = random.random() < 0.5
            if host_first:
                self.host.start(self.vm.port_path)
                time.sleep(random.uniform(0, 0.05))
            self.guest.start()
            if not host_first:
                self.host.start(self.vm.port_path)
            self.assertLess(self.back(time.monotonic()), BACK_S)
        self.check_echo()

    def back(self, since: float) -> float:
        wait_for(self.echoes, 10, lambda: self.host.log() + self.guest.log())
        return time.monotonic() - since

    def echoes(self) -> bool:
        return self.vm.run("test $(pipe-client echo back) = back").status == 0

    def check_no_wrong_byte(self, output: str) -> None:
        """What many said, unless it was refused."""
        if "channels" in output:
            self.assertRegex(output, " half 0 wrong 0 ")


class Reconnecting(StackCase):
    """QEMU connects, and hostmux waits for it. Each test has a guest of its own."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="guestmux-port-"))
        cls.hardware = {"connect_to": Path(folder) / "port.sock"}
        super().setUpClass()

    def listen(self) -> None:
        self.host.start(self.hardware["connect_to"], "listen")

    def start(self) -> None:
        self.listen()
        self.guest.start()
        self.host.wait_up()
        self.guest.wait_up()

    def test_1_hostmux_killed(self) -> None:
        self.start()
        apps = Apps(self, N)
        begin = time.monotonic()
        self.host.stop()
        apps.check_closed(begin)
        self.check_end(self.guest.link(), self.guest.log(), NO_HOST, 2 * N)
        begin = time.monotonic()
        self.listen()
        connected = wait_for(lambda: self.host.state("port_state") == "connected", 5)
        self.assertLess(connected, RECONNECT_S + AT_ONCE_S)
        self.say(f"QEMU was back after {time.monotonic() - begin:.2f} s")
        self.check_back(time.monotonic())

    def test_2_qemu_killed(self) -> None:
        self.start()
        apps = Apps(self, N)
        begin = time.monotonic()
        os.kill(self.vm.pid, signal.SIGKILL)
        apps.check_host_closed(begin)
        self.check_end(self.host.link(), self.host.log(), "the port went down: closed", 2 * N)
        self.assertEqual(self.host.link()["state"], "down")
        with guest_vm(self.guest_services, **self.hardware) as vm:
            self.vm = vm  # type: ignore[misc] # this test's own
            self.guest = Guest(vm)
            self.guest.start()
            self.check_back(time.monotonic())
        self.guest.daemon = None


if __name__ == "__main__":
    unittest.main(verbosity=2)
