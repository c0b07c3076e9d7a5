#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where memory cannot be shared, that is said in clear words, and all else works."""

from __future__ import annotations

import unittest

from shared import MIB, SharedCase, guestmux
from stack import GUEST_SOCKET, wait_for


class Without(SharedCase):
    """No region can be had: clear words, and all goes through the port."""

    offload = True

    def check(self, why: str) -> None:
        for link in (self.host.link, self.guest.link):
            for side in ("out", "in"):
                self.assertEqual(link()["memory"][side]["state"], "off")
        for side in ("out", "in"):
            self.assertRegex(self.memory()[side]["why"], why)
        self.assertRegex(self.host.log(), why)
        output = self.vm.check(f"many -c 5 -k 100 {GUEST_SOCKET} echo")
        self.assertRegex(output, "done 5 closed 0 half 0 wrong 0 ")
        self.check_echo()
        self.assertEqual(self.memory()["out"]["shared_bytes"], 0)
        self.assertGreater(self.memory()["out"]["inline_bytes"], 0)

    def start(self) -> None:
        super().start()

        def refused() -> bool:
            sides = [self.memory()[side] for side in ("out", "in")]
            return all(side["state"] == "off" and "why" in side for side in sides)

        wait_for(refused, 15, self.logs)


class LockedDown(Without):
    """As with Secure Boot: no program of the guest's may map a device's memory."""

    hardware = {"arguments": "lockdown=integrity"}

    def test_offload(self) -> None:
        self.start()
        self.check(r"guest: .*locked down \(Secure Boot")
        self.assertRegex(self.guest.log(), r"locked down \(Secure Boot")

    def test_buffers(self) -> None:
        self.configure(offload=False)
        self.start()
        self.assertRegex(self.ask(create="clip", size=MIB).error, "^unmappable: .*locked down")
        with self.assertRaisesRegex(guestmux.Refused, "unmappable: .*locked down"):
            self.create()
        wait_for(lambda: not self.buffers() and not self.plugged(), 5, self.logs)
        self.check('"offload" is false')

    def test_no_qmp(self) -> None:
        self.configure(qmp=None)
        self.start()
        self.check("hostmux was told neither of this VM's QMP nor of files")
        self.assertEqual(self.memory()["qmp"], "none")
        self.assertRegex(self.ask(create="clip", size=MIB).error, "^no-memory: .*qmp=")

    def test_no_qemu_at_qmp(self) -> None:
        self.configure(qmp=f"unix:{self.host.folder}/nobody.sock")
        self.start()
        self.check("this VM's QMP is not connected")
        self.assertIn("No such file", self.memory()["qmp"])
        self.assertRegex(self.ask(create="clip", size=MIB).error, "^no-memory: .*not connected")


class Unmappable(Without):
    """Regions that QEMU has, and the guest cannot use."""

    hardware = {"machine": "q35", "extra": ("-device", "pcie-root-port,id=small,chassis=9,slot=9")}

    def test_sizes(self) -> None:
        """One is too large for its root port, as it is by default; of the other there is another
        size in QEMU than hostmux was told.
        """
        large, other = self.host.folder / "large", self.host.folder / "other"
        for path, size in ((large, 32 * MIB), (other, 2 * MIB)):
            with path.open("xb") as file:
                file.truncate(size)
        self.vm.qmp("object-add", id="large", share=True, size=32 * MIB,
                    **{"qom-type": "memory-backend-file", "mem-path": str(large)})  # fmt: skip
        self.vm.qmp("device_add", driver="ivshmem-plain", memdev="large", bus="small", id="large")
        self.configure(**{"qmp": None, "shm-out": str(large), "shm-in": str(other)})
        self.start()
        self.check("guest: ")
        self.assertIn("pref64-reserve", self.memory()["out"]["why"])


del Without

if __name__ == "__main__":
    unittest.main(verbosity=2)
