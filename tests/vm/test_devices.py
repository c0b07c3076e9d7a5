#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux and real devices whose memory is shared: found, proved, held, and not let be seen by who
had the one before.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import systemd_image
from memory import MIB, Device, MemoryHost
from stack import BIN, BUILD, Guest, wait_for
from test_activation import documented, installed
from vm import Background, Vm

HOLDER = BUILD / "tests/vm/holder"
#: A pipe in the guest.
LOOK = "/tmp/look"


class Devices(unittest.TestCase):
    """One guest a class; a test leaves it without devices."""

    hardware: ClassVar[Mapping[str, Any]] = {}
    bus: ClassVar[str] = ""
    before: ClassVar[str] = ""  # guestmux
    vm: ClassVar[Vm]
    guest: ClassVar[Guest]

    @classmethod
    def setUpClass(cls) -> None:
        programs = [BIN / "guestmux", BIN / "muxctl", HOLDER]
        cls.vm = cls.enterClassContext(Vm(programs=programs, **cls.hardware))
        cls.guest = Guest(cls.vm, cls.before)
        cls.guest.start()

    def setUp(self) -> None:
        self.host = self.enterContext(MemoryHost(self.vm))

    def device(self, size: int = MIB, **keys: Any) -> Device:
        """Plugged, until the test's end."""
        return self.plug(Device(self.vm.folder, size, **keys))

    def plug(self, device: Device, bus: str | None = None) -> Device:
        device.plug(self.vm, self.bus if bus is None else bus)
        self.addCleanup(device.unplug, self.vm)
        return device

    def prove(self, device: Device) -> Device:
        said = self.host.ask(**device.line)
        self.assertEqual(said.get("proof"), device.proof.hex(), f"{said}\n{self.guest.log()}")
        if device.write:
            self.assertEqual(device.read(32, 16).hex(), said["wrote"])
        return device

    def holder(self, path: str, *words: str) -> Background:
        holder = self.vm.spawn(f"exec holder {path} {' '.join(words)}")
        self.vm.wait_until(f"grep -E 'mapped|open|parked' {holder.log}")
        self.addCleanup(self.end, holder)
        return holder

    def end(self, holder: Background) -> None:
        if holder.running():
            holder.kill("KILL")

    def shown(self, holder: Background) -> str:
        """The beginning of what it has mapped, now."""
        before = len(holder.output().split())
        self.vm.check(f"kill -USR1 {holder.pid}")
        self.vm.wait_until(f"test $(wc -w <{holder.log}) -gt {before}")
        return holder.output().split()[-1]

    def gone(self, device: Device) -> int:
        said = self.host.ask(gone=device.id)
        self.assertEqual(said["gone"], device.id)
        holders: int = said["holders"]
        return holders


class Everywhere(Devices):
    def test_proof(self) -> None:
        """It is found while it is being plugged, and proved."""
        device = Device(self.vm.folder)
        self.host.say(device.line)
        self.plug(device)
        said = self.host.hear()
        self.assertEqual(said.get("proof"), device.proof.hex(), f"{said}\n{self.guest.log()}")
        self.assertEqual(device.read(32, 16).hex(), said["wrote"])
        self.assertEqual(self.gone(device), 0)

    def test_read_only(self) -> None:
        device = self.prove(self.device(4 * MIB, write=False))
        self.assertEqual(device.read(32, 16), bytes(16))
        # What the guest writes there is lost, and nothing happens.
        self.assertIn("wrote", self.host.ask(**(device.line | {"write": True})))
        self.assertEqual(device.read(32, 16), bytes(16))

    def test_other_user(self) -> None:
        """What a descriptor was opened for is what its program may do, whoever it is."""
        path = self.prove(self.device()).memory_in(self.vm)
        reader = self.holder(path, "ro", "1000")
        self.assertEqual(reader.output(), "mapped\n")  # and not: writable
        self.assertEqual(self.shown(reader)[:32], self.shown(self.holder(path, "rw", "1000"))[:32])

    def test_held(self) -> None:
        """By who maps it, or has it open."""
        for words in (("", "rw", "1000"), ("", "ro", "1000", "open"), ("_wc", "rw", "0")):
            with self.subTest(words=words):
                device = Device(self.vm.folder).plug(self.vm, self.bus)
                self.prove(device)
                beside, *how = words
                holder = self.holder(device.memory_in(self.vm) + beside, *how)
                self.assertEqual(self.gone(device), 1)
                self.assertIn(f"process {holder.pid} (holder) has it", self.guest.log())
                holder.kill("KILL")
                self.assertEqual(self.host.hear(), {"gone": device.id, "holders": 0})
                device.unplug(self.vm)

    def test_parked_descriptor(self) -> None:
        """No look at processes shows it; the kernel knows."""
        device = Device(self.vm.folder).plug(self.vm, self.bus)
        holder = self.holder(self.prove(device).memory_in(self.vm), "rw", "1000", "parked")
        self.assertEqual(self.gone(device), 1)
        self.assertIn("somebody has it who does not show", self.guest.log())
        self.assertEqual(self.host.ask(may="1" * 16), {"may": "1" * 16})
        device.unplug(self.vm)
        error = "somebody who does not show still has memory that was unplugged"
        wait_for(lambda: self.host.ask(may="2" * 16).get("error") == error, 5, self.guest.log)
        holder.kill("KILL")
        self.assertEqual(self.host.ask(may="3" * 16), {"may": "3" * 16})

    def test_kept_mapping(self) -> None:
        """It shows what is plugged next, so nothing may be plugged while it is there."""
        self.check_kept_mapping(seen=False)

    def test_kept_mapping_of_a_file_that_is_gone(self) -> None:
        self.check_kept_mapping(seen=True)

    def check_kept_mapping(self, seen: bool) -> None:
        """seen: the kernel has noticed that the file is gone, since somebody has looked it up in its
        folder, which he keeps open.
        """
        first = Device(self.vm.folder).plug(self.vm, self.bus)
        path = self.prove(first).memory_in(self.vm)
        holder = self.holder(path, "rw", "1000")
        self.assertEqual(self.host.ask(may="1" * 16), {"may": "1" * 16})
        folder, name = path.rsplit("/", 1)
        self.vm.check(f"rm -f {LOOK}; mkfifo {LOOK}")
        looker = self.vm.spawn(f"cd {folder}; : <{LOOK}; ! test -e {name}")
        first.unplug(self.vm)
        if seen:
            self.vm.check(f": >{LOOK}")
            self.assertEqual(looker.wait(), 0)
            self.assertIn(f"{path} (deleted)\n", self.vm.check(f"cat /proc/{holder.pid}/maps"))
        else:
            looker.kill()
        error = self.host.ask(may="2" * 16)["error"]
        who = f"process {holder.pid} (holder)"
        self.assertEqual(error, f"{who} still maps memory that was unplugged")
        # Were it plugged all the same:
        second = self.device()
        self.prove(second)
        self.assertEqual(self.shown(holder), second.line["mark"])
        self.assertIn("error", self.host.ask(may="3" * 16))
        self.assertEqual(self.gone(second), 0)
        holder.kill("KILL")
        self.assertEqual(self.host.ask(may="4" * 16), {"may": "4" * 16})

    def test_leftover(self) -> None:
        """Of an earlier life of guestmux's: by its address."""
        device = self.device()
        path = device.memory_in(self.vm)
        address = path.split("/")[-2]
        holder = self.holder(path, "rw", "0")
        said = self.host.ask(gone=device.id, address=address)
        self.assertEqual(said, {"gone": device.id, "holders": 1})
        holder.kill("KILL")
        self.assertEqual(self.host.hear(), {"gone": device.id, "holders": 0})


class OnPc(Everywhere):
    pass


class OnQ35(Everywhere):
    hardware: ClassVar[Mapping[str, Any]] = {
        "machine": "q35", "root_ports": 2,
        "extra": ("-device", "pcie-root-port,id=small,chassis=9,slot=9"),
    }  # fmt: skip
    bus = "rp0"

    def test_many_processes(self) -> None:
        """Thousands of them are looked at, and who has it is found among them."""
        device = self.prove(self.device())
        holder = self.holder(device.memory_in(self.vm), "ro", "1000")
        self.vm.check("for i in $(seq 1500); do sleep 1000 & done; sleep 0.1", timeout=120)
        self.addCleanup(self.vm.check, "killall sleep")
        before = self.cpu()
        self.assertEqual(self.gone(device), 1)
        self.assertIn(f"process {holder.pid} (holder) has it", self.guest.log())
        print(f"# {self.vm.check('ls -d /proc/[0-9]* | wc -l').strip()} processes: "
              f"{self.cpu() - before:.2f} s of guestmux's time", file=sys.stderr)  # fmt: skip

    def cpu(self) -> float:
        assert self.guest.daemon
        words = self.vm.check(f"cat /proc/{self.guest.daemon.pid}/stat").split()
        return (int(words[13]) + int(words[14])) / 100

    def test_large(self) -> None:
        self.prove(self.device(64 * MIB))

    def test_no_window(self) -> None:
        """A root port without room: the guest has the device, and nothing in it."""
        device = self.plug(Device(self.vm.folder, 64 * MIB), "small")
        error = self.host.ask(**device.line)["error"]
        self.assertRegex(error, r"device \S+ has no memory in the guest: .*pref64-reserve")


class LockedDown(Devices):
    hardware: ClassVar[Mapping[str, Any]] = {"arguments": "lockdown=integrity"}

    def test_lockdown(self) -> None:
        """At once, and in clear words."""
        error = self.host.ask(**self.device().line)["error"]
        self.assertIn("locked down (Secure Boot", error)
        self.assertIn(error, self.guest.log())
        self.assertEqual(self.guest.link()["memory"]["out"]["why"], error)


class OtherNetwork(Devices):
    """In a network namespace with its own /sys, as newer systemds make it for PrivateNetwork=."""

    before = "exec unshare -n -m sh -c 'mount -t sysfs sysfs /sys && exec \"$0\" \"$@\"' "
    test_proof = Everywhere.test_proof
    test_held = Everywhere.test_held
    test_parked_descriptor = Everywhere.test_parked_descriptor
    test_kept_mapping = Everywhere.test_kept_mapping
    check_kept_mapping = Everywhere.check_kept_mapping


class ColdPlugged(Devices):
    """There when the guest boots, as regions are that QEMU was started with."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="guestmux-cold-"))
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.cold = [Device(folder, 16 * MIB, write=write) for write in (False, True)]
        cls.hardware = {**cls.hardware, "extra": [word for d in cls.cold for word in d.words]}
        super().setUpClass()

    cold: ClassVar[list[Device]]

    def test_proof(self) -> None:
        for device in self.cold:
            self.prove(device)


class ColdPluggedOnQ35(ColdPlugged):
    hardware: ClassVar[Mapping[str, Any]] = {"machine": "q35"}


class UnderSystemd(Devices):
    """In its unit's sandbox, told of devices by udevd."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="guestmux-install-"))
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.vm = cls.enterClassContext(Vm(
            programs=[BIN / "muxctl", HOLDER], files=installed(folder),
            make_image=systemd_image.build,
        ))  # fmt: skip
        cls.guest = Journal(cls.vm)

    def check(self) -> None:
        """What it needs of the sandbox: to write a device, and to see other users' processes."""
        device = self.prove(Device(self.vm.folder).plug(self.vm))
        holder = self.holder(device.memory_in(self.vm), "rw", "1000")
        self.assertEqual(self.gone(device), 1)
        self.assertIn(f"process {holder.pid} (holder) has it", self.guest.log())
        holder.kill("KILL")
        self.assertEqual(self.host.hear(), {"gone": device.id, "holders": 0})
        self.assertEqual(self.host.ask(may="1" * 16), {"may": "1" * 16})
        device.unplug(self.vm)
        device = self.prove(Device(self.vm.folder).plug(self.vm))
        parked = self.holder(device.memory_in(self.vm), "rw", "1000", "parked")
        self.assertEqual(self.gone(device), 1)
        parked.kill("KILL")
        self.assertEqual(self.host.hear(), {"gone": device.id, "holders": 0})
        device.unplug(self.vm)

    def test_sandbox(self) -> None:
        self.check()

    def test_private_network(self) -> None:
        """Where udevd is not heard."""
        folder = "/etc/systemd/system/guestmux.service.d"
        text = documented()[f"{folder}/network.conf"]
        self.vm.check(f"mkdir -p {folder}; echo {shlex.quote(text)} >{folder}/network.conf; "
                      "systemctl daemon-reload; systemctl restart guestmux")  # fmt: skip
        self.host.__exit__(None, None, None)
        self.host = self.enterContext(MemoryHost(self.vm))
        self.check()


class Journal(Guest):
    """The unit's log."""

    def log(self) -> str:
        return self.vm.run("journalctl -b -u guestmux --no-pager").output


del Everywhere

if __name__ == "__main__":
    unittest.main(verbosity=2)
