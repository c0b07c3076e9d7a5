# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Named buffers between both daemons, from their making to their end, with a stand-in for QEMU."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from cable import Cable
from daemon import Daemon, wait_until
from memory_stack import MIB, NOTICE, PROPERTIES, BufferError, MemoryTest
from qemu import QmpRefusal
from stack import VM, Stack

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Buffers(MemoryTest):
    def test_made_by_guest(self) -> None:
        stack = self.memory_stack()
        app = self.create(stack.guest, properties={"application": "test"})
        self.assertEqual(app.shown["owner"]["side"], "guest")
        other = self.open(stack.host)
        self.assertEqual(other.shown["properties"], {"application": "test"})
        app.memory[4000:4005] = b"hello"
        self.assertEqual(other.memory[4000:4005], b"hello")
        self.assertEqual(self.node().read_bytes()[4000:4005], b"hello")
        other.memory[0:3] = b"abc"
        self.assertEqual(app.memory[0:3], b"abc")
        app.close()
        self.assertEqual(other.gone(), "owner")
        self.wait_nothing_left(stack)

    def test_made_by_host(self) -> None:
        stack = self.memory_stack()
        app = self.create(stack.host, size=MIB + 1)
        self.assertEqual(app.shown["size"], 2 * MIB)
        self.assertEqual(app.shown["owner"]["side"], "host")
        self.assertEqual(app.shown["node"], str(self.node()))
        other = self.open(stack.guest)
        other.memory[2 * MIB - 1:] = b"!"
        self.assertEqual(app.memory[2 * MIB - 1:], b"!")
        app.close()
        self.assertEqual(other.gone(), "owner")
        self.wait_nothing_left(stack)

    def test_memory_begins_empty(self) -> None:
        """What proved the device is not left in it."""
        stack = self.memory_stack()
        for maker in (stack.host, stack.guest):
            handle = self.create(maker)
            self.assertEqual(handle.memory[:], bytes(MIB))
            handle.memory[:] = b"secret!." * (MIB // 8)
            handle.close()
            self.wait_nothing_left(stack)

    def test_notices_and_properties(self) -> None:
        stack = self.memory_stack()
        ours, theirs = self.create(stack.host), self.open(stack.guest)
        ours.notify(10, 20)
        self.assertEqual(theirs.wait(NOTICE)[8:], (10).to_bytes(8, "little") +
                         (20).to_bytes(8, "little"))
        theirs.notify(0, MIB)
        ours.wait(NOTICE)
        ours.set(a="1", b="2")
        self.assertEqual(json.loads(theirs.wait(PROPERTIES)), {"a": "1", "b": "2"})
        theirs.set(a=None, c="3")
        wait_until(lambda: stack.host.ask("buffers")["buffers"][0]["properties"] ==
                   {"b": "2", "c": "3"}, "both agree")
        wait_until(lambda: stack.guest.ask("buffers")["buffers"][0]["properties"] ==
                   {"b": "2", "c": "3"}, "both agree")

    def test_read_only(self) -> None:
        stack = self.memory_stack()
        self.create(stack.guest, read_only_for="host")
        reader = self.open(stack.host)
        self.assertFalse(reader.shown["writable"])
        with self.assertRaises(PermissionError):
            mmap.mmap(reader.fd, MIB, access=mmap.ACCESS_WRITE)
        with self.assertRaises(BufferError) as caught:
            self.open(stack.host, write=True)
        self.assertEqual(caught.exception.code, "denied")
        self.assertIn("read only", caught.exception.text)
        self.create(stack.host, "other", read_only_for="guest")
        add = [r["arguments"] for r in self.qemu.said if r["execute"] == "object-add"]
        self.assertEqual([bool(a.get("readonly")) for a in add], [False, True])

    def test_sealed(self) -> None:
        stack = self.memory_stack()
        handle = self.create(stack.host)
        self.assertEqual(fcntl.fcntl(handle.fd, fcntl.F_GET_SEALS), SEALS)
        with self.assertRaises(PermissionError):
            os.ftruncate(handle.fd, 4096)
        self.assertEqual(os.fstat(handle.fd).st_mode & 0o777, 0o600)

    def test_killed_owner(self) -> None:
        stack = self.memory_stack()
        code = ("import sys; sys.path.insert(0, sys.argv[1]); import memory_stack as m\n"
                "d = type('D', (), {'socket': sys.argv[2]})\n"
                "h = m.Handle(d, create=sys.argv[3], size=1 << 20); h.answer(); h.memory[0:1]\n"
                "print('ready', flush=True); sys.stdin.read()")
        for daemon, name in ((stack.guest, "clip"), (stack.host, f"{VM}/clip")):
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(Path(__file__).parent), str(daemon.socket), name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            with process:
                assert process.stdout
                self.assertEqual(process.stdout.readline(), b"ready\n")
                process.send_signal(signal.SIGKILL)
            self.wait_nothing_left(stack)

    def test_shared_memory_object(self) -> None:
        """A host's object is offered as it is, with what is in it."""
        path = Path("/dev/shm") / self.folder.name
        path.write_bytes(b"content of the object" + bytes(MIB - 21))
        self.addCleanup(path.unlink)
        stack = self.memory_stack()
        self.create(stack.host, size=MIB, **{"from": f"/{path.name}"})
        other = self.open(stack.guest)
        self.assertEqual(other.memory[:21], b"content of the object")
        other.memory[0:7] = b"CONTENT"
        self.assertEqual(path.read_bytes()[:21], b"CONTENT of the object")
        self.handles[0].close()
        other.gone()
        self.wait_nothing_left(stack)
        self.assertEqual(path.read_bytes()[:21], b"CONTENT of the object")

    def test_shared_memory_object_of_wrong_size(self) -> None:
        """QEMU would end itself of one, and another could not be mapped."""
        path = Path("/dev/shm") / self.folder.name
        self.addCleanup(lambda: path.unlink(missing_ok=True))
        stack = self.memory_stack()
        for size in (0, 4096, 3 * MIB):
            path.write_bytes(bytes(size))
            self.assert_fails("bad-size", stack.host, **{"from": f"/{path.name}"})
        path.unlink()
        text = self.assert_fails("failed", stack.host, **{"from": f"/{path.name}"})
        self.assertIn(f"'/{path.name}'", text)
        self.assertIn("/dev/shm", text)
        self.assertNotIn("object-add", self.qemu.commands())

    def test_sizes(self) -> None:
        """QEMU is asked for powers of two of 1 MiB and more, or for nothing."""
        stack = self.memory_stack()
        for daemon in stack.daemons:
            for size in (0, -1, 1 << 60, (1 << 63) - 1, 257 * MIB):
                self.assertIn(self.failure(daemon, size), ("bad-size", "bad-request", "limit"))
        self.assertNotIn("object-add", self.qemu.commands())
        self.create(stack.guest, "small", 1)
        self.create(stack.guest, "odd", 3 * MIB)
        sizes = [r["arguments"]["size"] for r in self.qemu.said if r["execute"] == "object-add"]
        self.assertEqual(sizes, [MIB, 4 * MIB])

    def failure(self, daemon: object, size: int) -> str:
        with self.assertRaises(BufferError) as caught:
            self.create(daemon, size=size)  # type: ignore[arg-type]
        return str(caught.exception.code)

    def test_limits(self) -> None:
        stack = self.memory_stack(limits={"buffers": 2, "buffer_bytes": 4 * MIB})
        self.create(stack.guest, "a")
        self.create(stack.host, "b")
        for daemon in stack.daemons:
            self.assertIn("2 buffers", self.assert_fails("limit", daemon, "c"))
        self.handles[0].close()
        wait_until(lambda: "a" not in self.buffers(stack.host), "a is gone")
        self.assert_fails("limit", stack.host, "c", 4 * MIB)
        self.create(stack.guest, "c", 2 * MIB)

    def test_same_name(self) -> None:
        stack = self.memory_stack()
        self.create(stack.guest)
        self.assert_fails("exists", stack.host)
        self.assert_fails("exists", stack.guest)

    def test_many_at_once(self) -> None:
        """Those that wait are plugged one after the other."""
        stack = self.memory_stack()
        waiting = [self.handle(stack.guest, create=f"b{n}", size=MIB) for n in range(8)]
        waiting += [self.handle(stack.host, create=f"{VM}/h{n}", size=MIB) for n in range(8)]
        self.assertEqual(len({handle.answer()["id"] for handle in waiting}), 16)
        for handle in waiting:
            handle.close()
        self.wait_nothing_left(stack)

    def test_held_in_guest(self) -> None:
        """While a program maps it, it stays plugged, is empty, and is used for nothing else."""
        stack = self.memory_stack(limits={"buffers": 1})
        app = self.create(stack.guest)
        app.memory[0:6] = b"secret"
        fd = os.dup(app.fd)
        self.addCleanup(os.close, fd)
        keeper = mmap.mmap(fd, MIB)
        app.close()
        wait_until(lambda: self.buffers(stack.host) == {"clip": "held"}, "it is held", 30)
        self.assertEqual(keeper[0:6], bytes(6))
        self.assert_fails("limit", stack.host, "next")
        self.assertNotIn("device_del", self.qemu.commands())
        keeper.close()
        self.wait_nothing_left(stack)
        self.create(stack.host, "next")

    def test_does_not_unplug(self) -> None:
        """The guest's kernel does not let go: the device stays counted, until it does."""
        stack = self.memory_stack()
        self.create(stack.guest).close()
        self.qemu.lets_go = False
        wait_until(lambda: "device_del" in self.qemu.commands(), "it is asked for")
        device = next(iter(self.qemu.devices))
        self.assertEqual(set(self.buffers(stack.host).values()) - {"going", "held"}, set())
        self.qemu.let_go(device)
        self.wait_nothing_left(stack)


class Without(MemoryTest):
    def test_no_qmp(self) -> None:
        stack = self.memory_stack(start=False)
        self.configure(stack.host, vms={VM: {"port": f"listen:{stack.port}"}})
        stack.start()
        for daemon in stack.daemons:
            self.assertIn("QMP", self.assert_fails("no-memory", daemon))
        self.assertEqual(stack.host.link(VM)["memory"]["qmp"], "none")

    def test_qmp_is_not_there(self) -> None:
        stack = self.memory_stack()
        self.qemu.stop()
        self.wait_qmp(stack, "No such file")
        for daemon in stack.daemons:
            self.assertIn("not connected", self.assert_fails("no-memory", daemon))
        self.qemu.start()
        self.wait_qmp(stack)
        self.create(stack.guest)

    def test_link_down(self) -> None:
        stack = self.memory_stack()
        self.create(stack.host)
        stack.guest.stop()
        wait_until(lambda: not stack.host.is_up(VM), "it is down")
        self.assert_fails("link-down", stack.host, "other")
        stack.guest.start()
        stack.wait_up()
        self.assertIn(self.handles[0].gone(), ("reset", "link-down"))
        self.wait_nothing_left(stack)


class Ports(MemoryTest):
    """On a machine with PCI Express each root port takes one device."""

    def test_best_fit(self) -> None:
        stack = self.memory_stack(root_ports={"large": 1 << 30, "small": 2 * MIB, "mid": 32 * MIB})
        for name, size in (("a", 16 * MIB), ("b", MIB), ("c", 2 * MIB)):
            self.create(stack.host, name, size)
        buses = [r["arguments"]["bus"] for r in self.qemu.said if r["execute"] == "device_add"]
        self.assertEqual(buses, ["mid", "small", "large"])
        self.assertRegex(self.assert_fails("no-memory", stack.host, "d"), "^no PCIe root port")
        self.handles[1].close()
        wait_until(lambda: "b" not in self.buffers(stack.host), "b is gone")
        self.create(stack.guest, "d")

    def test_window_too_small(self) -> None:
        stack = self.memory_stack(root_ports={"rp0": 2 * MIB})
        text = self.assert_fails("unmappable", stack.host, size=4 * MIB)
        self.assertIn("pref64-reserve", text)
        self.wait_nothing_left(stack)
        self.create(stack.host)

    def test_not_pluggable(self) -> None:
        """A root port may be declared so that nothing can be plugged into it."""
        stack = self.memory_stack(root_ports={"fixed": MIB, "rp1": 2 * MIB})

        def only_rp1(_: object, arguments: dict[str, str]) -> None:
            if arguments["bus"] != "rp1":
                raise QmpRefusal("Bus 'fixed' does not support hotplugging")

        self.qemu.faults["device_add"] = only_rp1
        self.create(stack.host)
        self.assert_fails("no-memory", stack.host, "b")

    def test_regions_fit(self) -> None:
        stack = self.memory_stack(root_ports={"rp0": 2 * MIB, "rp1": 8 * MIB}, offload=True)
        wait_until(lambda: len(self.qemu.devices) == 2, "both are plugged")
        sizes = {r["arguments"]["size"] for r in self.qemu.said if r["execute"] == "object-add"}
        self.assertLessEqual(max(sizes), 8 * MIB)
        wait_until(lambda: {stack.host.link(VM)["memory"][side]["state"] for side in ("in", "out")}
                   <= {"on", "measuring"}, "both are used")


class Regions(MemoryTest):
    """Those that QEMU was started with: files."""

    def start_with(self, out: Path, in_: Path, guest_port: Path | None = None) -> Stack:
        stack = self.memory_stack(start=False)
        if guest_port:
            stack.guest.arguments = ["--port", f"unix:{guest_port}"]
        stack.host.arguments = ["--vm", f"y=unix:{self.folder}/a,,b,shm-out=/x,,y"]
        vm = {"port": f"listen:{stack.port}", "shm-out": str(out), "shm-in": str(in_)}
        self.configure(stack.host, vms={VM: vm})
        stack.host.start()
        stack.guest.start()
        wait_until(lambda: stack.host.is_up(VM), "it is up")
        return stack

    def file(self, name: str, size: int, plugged: bool = True) -> Path:
        path = self.folder / name
        path.write_bytes(bytes(size))
        if plugged:
            (self.folder / "devices").mkdir(exist_ok=True)
            (self.folder / "devices" / name).symlink_to(path)
        return path

    def region(self, stack: Stack, side: str) -> dict[str, object]:
        return dict(stack.host.link(VM)["memory"][side])

    @staticmethod
    def counted(daemon: Daemon) -> int:
        link = daemon.ask("status")["links"][0]
        return sum(link["memory"][side][f"{way}_bytes"]
                   for side in ("out", "in") for way in ("shared", "inline"))

    def test_files(self) -> None:
        stack = self.start_with(self.file("out", 2 * MIB), self.file("in", MIB))
        for number in (1, 2):
            for side in ("out", "in"):
                wait_until(lambda s=side: self.region(stack, s)["state"] == "on",
                           f"it is used: {stack.host.link(VM)}")
            for daemon in stack.daemons:
                wait_until(lambda d=daemon: self.counted(d) < 4096,  # type: ignore[misc]
                           "what was measured with does not count")
            epochs = [self.region(stack, side)["epoch"] for side in ("out", "in")]
            if number == 1:
                stack.guest.kill()
                stack.guest.socket.unlink()
                stack.guest.start()
                wait_until(lambda: stack.host.link(VM)["sessions"] == 2 and stack.host.is_up(VM),
                           "a new session")
                wait_until(lambda: self.region(stack, "in").get("epoch") not in (*epochs, None),
                           "a new epoch")

    def test_measured_again(self) -> None:
        """What could not be measured at first, is later; for each side by itself."""
        path = self.folder / "test-cable"
        cable = Cable(path, self.folder / "port")
        self.addCleanup(cable.close)
        for direction in cable.directions:
            direction.chunk = 1
        stack = self.start_with(self.file("out", MIB), self.file("in", MIB), path)

        def why() -> list[object]:
            return [daemon.ask("status")["links"][0]["memory"]["out"].get("why")
                    for daemon in stack.daemons]

        slow = "measuring it took too long"
        wait_until(lambda: why() == [slow, slow], "it takes too long")
        with cable.lock:
            for direction in cable.directions:
                direction.chunk = 1 << 16
        wait_until(lambda: slow not in why(), "it does not")
        self.assertEqual([daemon.ask("status")["links"][0]["sessions"] for daemon in stack.daemons],
                         [1, 1])

    def test_unusable_files(self) -> None:
        """The link works, and status says why."""
        stack = self.start_with(self.file("out", 3 * MIB), self.folder / "nothing")
        for side, why in (("out", "power of two"), ("in", "No such file")):
            wait_until(lambda s=side, w=why: w in str(self.region(stack, s).get("why")),
                       f"{why}: {stack.host.link(VM)}")

    def test_not_in_guest(self) -> None:
        """QEMU was started without, or with another file."""
        stack = self.start_with(self.file("out", MIB, False), self.file("in", MIB, False))
        self.file("other", MIB)
        for side in ("out", "in"):
            wait_until(lambda s=side: self.region(stack, s)["state"] == "off"
                       and "guest:" in str(self.region(stack, s)["why"]),
                       f"it is off: {stack.host.link(VM)}")


class Reload(MemoryTest):
    def test_settings(self) -> None:
        """Only a VM whose settings changed is let go of."""
        stack = self.memory_stack()
        self.create(stack.guest)
        config = json.loads(stack.host.config.read_text())
        stack.host.config.write_text(json.dumps(config | {"shares": []}))
        stack.host.reload()
        self.assertEqual(self.buffers(stack.host), {"clip": "ready"})
        del config["vms"][VM]["qmp"]
        stack.host.config.write_text(json.dumps(config))
        stack.host.reload()
        self.handles[0].gone()
        stack.wait_up()
        self.assert_fails("no-memory", stack.guest)
        config["vms"][VM]["qmp"] = f"unix:{self.qemu.path}"
        stack.host.config.write_text(json.dumps(config))
        stack.host.reload()
        stack.wait_up()
        self.wait_qmp(stack)
        self.create(stack.guest)
        stack.measure()


if __name__ == "__main__":
    unittest.main()
