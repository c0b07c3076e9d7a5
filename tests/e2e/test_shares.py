# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guest to guest: a buffer of one VM that others may read, where the configuration says so."""

from __future__ import annotations

import json
import unittest

import qemu as fake
from daemon import Daemon, wait_until
from memory_stack import MIB, NOTICE, PROPERTIES, BufferError, Handle, MemoryTest
from qemu import FakeQemu

SHARES = [{"buffer": "frames", "from": "web1", "to": ["web2", "db*"]}]


class Shares(MemoryTest):
    def start(self, *vms: str) -> None:
        self.handles: list[Handle] = []
        self.addCleanup(self.close_handles)
        self.guests: dict[str, Daemon] = {}
        self.qemus: dict[str, FakeQemu] = {}
        self.host = self.daemon("hostmux")
        configured = {}
        for vm in vms:
            folder = self.folder / f"of-{vm}"
            folder.mkdir()
            self.qemus[vm] = FakeQemu(folder).start()
            self.addCleanup(self.qemus[vm].stop)
            configured[vm] = {"port": f"listen:{self.folder}/port-{vm}", "offload": False,
                              "qmp": f"unix:{self.qemus[vm].path}"}
        self.configure(self.host, vms=configured, shares=SHARES)
        self.host.start()
        for vm in vms:
            guest = self.daemon("guestmux", ["--port", f"unix:{self.folder}/port-{vm}"], name=vm)
            self.configure(guest, devices=str(self.qemus[vm].devices_folder))
            guest.start()
            self.guests[vm] = guest
        for vm in vms:
            wait_until(lambda v=vm: self.host.is_up(v), "it is up")  # type: ignore[misc]
            # What was asked is done when this is: the guest's channel is open, and was begun.
            self.create(self.guests[vm], "first").close()
            wait_until(lambda v=vm: not self.qemus[v].objects, "it is gone")  # type: ignore[misc]

    def test_others_read(self) -> None:
        self.start("web1", "web2", "db1", "other")
        writer = self.create(self.guests["web1"], "frames", 2 * MIB, properties={"format": "rgb"})
        writer.memory[5:10] = b"frame"
        readers = [self.open(self.guests[vm], "frames") for vm in ("web2", "db1")]
        for reader in readers:
            self.assertFalse(reader.shown["writable"])
            self.assertEqual(reader.shown["owner"]["side"], "web1")
            self.assertEqual(reader.shown["properties"], {"format": "rgb"})
            self.assertEqual(reader.memory[:10], bytes(5) + b"frame")
            with self.assertRaises(BufferError):
                self.open(self.guests["web2"], "frames", write=True)
        self.assertEqual(self.buffers(self.guests["other"]), {})
        for vm in ("web2", "db1"):
            self.assertTrue(all(o["readonly"] for o in self.qemus[vm].objects.values()))
        writer.notify(5, 5)
        for reader in readers:
            self.assertEqual(int.from_bytes(reader.wait(NOTICE)[8:16], "little"), 5)
        writer.set(format="yuv")
        for reader in readers:
            self.assertEqual(json.loads(reader.wait(PROPERTIES)), {"format": "yuv"})
        writer.close()
        for reader in readers:
            self.assertEqual(reader.gone(), "owner")
        for qemu in self.qemus.values():
            wait_until(lambda q=qemu: not q.objects, "it is unplugged")  # type: ignore[misc]

    def test_only_as_configured(self) -> None:
        """Neither other names nor other writers are shared."""
        self.start("web1", "web2")
        self.create(self.guests["web1"], "else")
        self.create(self.guests["web2"], "frames")
        self.create(self.guests["web1"], "frames")
        self.assertEqual(set(self.buffers(self.guests["web1"])), {"else", "frames"})
        self.assertEqual(set(self.buffers(self.guests["web2"])), {"frames"})
        self.assertEqual(len(self.qemus["web2"].objects), 1)

    def test_one_cannot(self) -> None:
        """A VM that cannot have it, or does not answer, holds nobody up for long."""
        self.start("web1", "web2", "db1")
        self.qemus["web2"].faults = {"object-add": fake.refuse}
        self.create(self.guests["web1"], "frames")
        self.open(self.guests["db1"], "frames")
        self.assertEqual(self.buffers(self.guests["web2"]), {})
        self.handles[-2].close()
        wait_until(lambda: "frames" not in self.buffers(self.host), "it is gone")

    def test_silent_one(self) -> None:
        self.start("web1", "web2")
        self.qemus["web2"].faults = {"device_add": fake.no_answer}
        self.create(self.guests["web1"], "frames")
        self.assertEqual(self.buffers(self.guests["web2"]), {})

    def test_reader_goes(self) -> None:
        self.start("web1", "web2")
        writer = self.create(self.guests["web1"], "frames")
        reader = self.open(self.guests["web2"], "frames")
        self.guests["web2"].kill()
        reader.close()
        self.qemus["web2"].stop()
        wait_until(lambda: not self.host.is_up("web2"), "it is down")
        writer.memory[0:1] = b"x"
        writer.notify(0, 1)
        writer.close()
        wait_until(lambda: not self.qemus["web1"].objects, "it is unplugged")


if __name__ == "__main__":
    unittest.main()
