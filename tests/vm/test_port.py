#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux finds its port by name: at its start, plugged later, unplugged, beside others."""

from __future__ import annotations

import time
import unittest

from case import Apps, StackCase
from stack import Guest
from vm import PORT_NAME


class Port(StackCase):
    def plug(self) -> None:
        self.vm.plug_port(path=self.vm.port_path)

    def test_found_at_start(self) -> None:
        self.start()
        self.check_echo()
        self.assertEqual(self.guest.link()["port"], "/dev/vport0p1")

    def test_plugged_later(self) -> None:
        self.vm.unplug_port()
        self.vm.wait_until("test ! -e /dev/vport0p1")
        self.guest.start()
        self.assertIn(f"no virtio-serial port named '{PORT_NAME}' yet", self.guest.log())
        self.assertEqual(self.guest.link()["state"], "down")
        self.host.start(self.vm.port_path)
        self.plug()
        self.check_back(time.monotonic())

    def test_unplugged_with_channels_open(self) -> None:
        self.start()
        apps = Apps(self, 20)
        begin = time.monotonic()
        self.vm.unplug_port()
        apps.check_closed(begin)
        self.check_end(self.guest.link(), self.guest.log(), "the device was unplugged", 40)
        self.check_end(self.host.link(), self.host.log(), "the port went down: closed", 40)
        self.assertIn("was unplugged", self.guest.link()["port_state"])
        self.plug()
        self.check_back(time.monotonic())

    def test_unplugged_again_and_again(self) -> None:
        self.start()
        for _ in range(5):
            self.vm.unplug_port()
            self.plug()
            self.check_back(time.monotonic())

    def test_unplugged_and_plugged_with_guestmux_stopped(self) -> None:
        """Both events wait in its socket, and the new device has the old one's path."""
        self.start()
        daemon = self.guest.daemon
        assert daemon
        daemon.kill("STOP")
        self.vm.unplug_port()
        self.plug()
        self.vm.wait_until(f"grep -qx {PORT_NAME} /sys/class/virtio-ports/*/name")
        daemon.kill("CONT")
        self.check_back(time.monotonic())

    def test_other_name_is_not_taken(self) -> None:
        self.vm.unplug_port()
        other = self.vm.plug_port("org.other.0")
        self.addCleanup(lambda: self.vm.unplug_port("org.other.0"))
        self.vm.wait_until("grep -qx org.other.0 /sys/class/virtio-ports/*/name")
        self.guest.start()
        time.sleep(0.2)
        sysfs = "$(dirname $(grep -lx org.other.0 /sys/class/virtio-ports/*/name))"
        status, output = self.vm.run(f"exec 3<>/dev/$(basename {sysfs})")
        self.assertEqual(status, 0, f"guestmux holds another's port: {output}")
        self.plug()
        self.host.start(self.vm.port_path)
        self.check_back(time.monotonic())
        self.assertTrue(other.exists())

    def test_second_guestmux(self) -> None:
        self.start()
        second = Guest(self.vm)
        daemon = second.start("--socket /run/second.sock")
        self.addCleanup(second.stop)
        self.vm.wait_until(f"grep -q 'another program has the device open' {daemon.log}")
        self.check_echo()
        status = self.vm.check("muxctl --socket /run/second.sock status")
        self.assertIn("another program has the device open", status)
        # The first one gone, the second takes the port.
        self.guest.stop("TERM")
        self.vm.wait_until("muxctl --socket /run/second.sock status | grep -q 'host: up'", 2)


class PortOnQ35(Port):
    hardware = {"machine": "q35"}


if __name__ == "__main__":
    unittest.main(verbosity=2)
