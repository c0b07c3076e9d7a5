#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A buffer of one guest's that others may read, as hostmux's configuration says."""

from __future__ import annotations

import json
import secrets
import unittest
from typing import Any, ClassVar

from shared import APPS, GONE, MIB, PATIENCE_S, PREFIX, Q35, App, SharedCase
from stack import Guest, guest_vm, wait_for
from vm import Vm

OTHER = "reader1"


class Shares(SharedCase):
    """Two guests: frames of the first one's are shown to the second."""

    hardware = Q35
    config = {"shares": [{"buffer": "frames", "from": "guest", "to": ["reader*"]}]}
    other_vm: ClassVar[Vm]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.other_vm = cls.enterClassContext(guest_vm(files=APPS))

    def setUp(self) -> None:
        self.other = Guest(self.other_vm)
        self.addCleanup(self.stop_other)  # after all that super() does
        super().setUp()
        self.start()
        self.other.start()
        self.other.wait_up()

    def stop_other(self) -> None:
        if self.other.daemon:
            self.other.stop("KILL")

    def configure(self, **keys: Any) -> None:
        vms = {
            name: {"port": f"unix:{v.port_path}", "qmp": f"unix:{v.qmp_path}", "offload": False}
            for name, v in (("guest", self.vm), (OTHER, self.other_vm))
        }
        self.qmp = str(self.vm.qmp_path)
        self.host.configure(vms=vms, **self.config)

    def reader(self, **request: Any) -> App:
        """A program of the other guest's, when the buffer is there."""
        self.other_vm.wait_until("muxctl buffer list --names | grep -x frames", PATIENCE_S)
        app = App(self.other_vm, {"open": "frames", **request})
        self._apps.append(app)
        return app

    def listed(self) -> list[dict[str, Any]]:
        text = self.other_vm.check("muxctl buffer list --json")
        buffers: list[dict[str, Any]] = json.loads(text)["buffers"]
        return buffers

    def wait_nothing_left(self) -> float:
        wait_for(lambda: not self.listed(), PATIENCE_S, self.logs)
        return super().wait_nothing_left()

    def test_read_by_another(self) -> None:
        writer = self.app(create="frames", size=2 * MIB, properties={"format": "XR24"})
        self.app(create="private", size=MIB)
        reader = self.reader()
        self.assertEqual(reader.error, "")
        self.assertIn("not writable: Permission denied", reader.output())
        shown = self.listed()
        self.assertEqual([b["name"] for b in shown], ["frames"])
        self.assertEqual(shown[0]["owner"]["side"], "guest")
        self.assertEqual(shown[0]["properties"], {"format": "XR24"})
        self.assertRegex(self.reader(write=True).error, "^denied: ")

        token = secrets.token_hex(8)
        self.vm.check(f"printf {token} | su alice -c 'muxctl buffer fill frames'")
        self.assertEqual(reader.wait("notice").split()[2:], ["0", "16"])
        self.assertEqual(reader.shown(), (token.encode(), 16))
        ours = self.open("frames")
        ours.memory[:4] = b"host"
        ours.notify(0, 4)
        reader.wait("notice 2 0 4")
        self.assertEqual(reader.shown()[0], b"host" + token.encode()[4:])
        self.alice("muxctl buffer set frames format=NV12")
        self.assertIn("NV12", reader.wait("properties"))
        ours.close()

        writer.kill()
        self.assertEqual(reader.wait(GONE), "gone owner")

    def test_reader_goes(self) -> None:
        """Its guest comes and goes: the writer does not notice, and what is made next is shown."""
        writer = self.app(create="frames", size=MIB)
        reader = self.reader()
        self.other.stop("KILL")
        reader.wait("closed")
        self.other.start()
        self.other.wait_up()
        wait_for(lambda: not self.plugged_in_other(), PATIENCE_S, self.logs)
        self.vm.check("echo again | muxctl buffer fill frames")
        writer.wait("notice 1 0 6")
        self.assertNotIn(GONE, writer.output())
        writer.kill()
        super().wait_nothing_left()
        self.app(create="frames", size=MIB)
        self.assertEqual(self.reader().shown(), (bytes(16), 0))

    def plugged_in_other(self) -> list[str]:
        names = [x["name"] for x in self.other_vm.qmp("qom-list", path="/machine/peripheral")]
        return [name for name in names if name.startswith(PREFIX)]


if __name__ == "__main__":
    unittest.main(verbosity=2)
