# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hostmux and a QMP that goes wrong: it says so, leaves nothing behind, and recovers by itself."""

from __future__ import annotations

import os
import unittest

import qemu as fake
from cable import Cable
from daemon import wait_until
from memory_stack import MIB, BufferError, Handle, MemoryTest
from qemu import FakeQemu, Silence
from stack import VM

STEPS = ("query-pci", "add-fd", "object-add", "device_add")


class Faults(MemoryTest):
    def test_refused(self) -> None:
        """At each step: a clear error, and what was done before is undone."""
        stack = self.memory_stack()
        for step in STEPS:
            with self.subTest(step):
                self.qemu.faults = {step: fake.refuse}
                for daemon in stack.daemons:
                    self.assertIn("as the test wants", self.assert_fails("failed", daemon))
                self.wait_nothing_left(stack)
        self.qemu.faults.clear()
        self.create(stack.guest)

    def test_descriptor_is_not_given_back(self) -> None:
        stack = self.memory_stack()
        self.qemu.faults = {"remove-fd": fake.refuse}
        self.create(stack.guest)

    def test_ends_in_between(self) -> None:
        """The connection is lost before an answer: hostmux looks what was done, and undoes it."""
        stack = self.memory_stack()
        for step in (*STEPS, "remove-fd"):
            with self.subTest(step):
                self.qemu.faults = {step: self.once(step, fake.hang_up)}
                self.assert_fails("failed", stack.guest)
                self.wait_qmp(stack)
                self.wait_nothing_left(stack)
        self.create(stack.guest)

    def once(self, command: str, fault: fake.Fault) -> fake.Fault:
        def first(qemu: FakeQemu, arguments: fake.Json) -> None:
            del qemu.faults[command]
            fault(qemu, arguments)
        return first

    def test_done_but_not_answered(self) -> None:
        """QEMU has done it, and the connection is lost before it says so."""
        stack = self.memory_stack()

        def do_and_hang_up(qemu: FakeQemu, arguments: fake.Json) -> None:
            del qemu.faults["device_add"]
            qemu._do("device_add", arguments, [])
            fake.hang_up(qemu, arguments)

        self.qemu.faults = {"device_add": do_and_hang_up}
        self.assert_fails("failed", stack.host)
        self.wait_nothing_left(stack)

    def test_ends_while_unplugging(self) -> None:
        stack = self.memory_stack()
        for step in ("device_del", "object-del"):
            with self.subTest(step):
                handle = self.create(stack.guest)
                self.qemu.faults = {step: self.once(step, fake.hang_up)}
                handle.close()
                self.wait_nothing_left(stack)

    def test_survives_reconnection(self) -> None:
        """A buffer is not lost with the connection to QMP."""
        stack = self.memory_stack()
        app = self.create(stack.guest)
        other = self.open(stack.host)
        self.qemu.hang_up()
        wait_until(lambda: self.qemu.connections == 2, "it connects again")
        self.wait_qmp(stack)
        app.notify(1, 2)
        other.record()
        app.memory[0:1] = b"x"
        self.assertEqual(other.memory[0:1], b"x")
        app.close()
        other.gone()
        self.wait_nothing_left(stack)

    def test_garbage(self) -> None:
        stack = self.memory_stack()
        for fault in (fake.garbage, fake.endless):
            with self.subTest(fault.__name__):
                before = self.qemu.connections
                self.qemu.faults = {"query-pci": self.once("query-pci", fault)}
                self.assert_fails("failed", stack.guest)
                wait_until(lambda n=before: self.qemu.connections > n,  # type: ignore[misc]
                           "it connects again")
                self.wait_qmp(stack)
        self.create(stack.guest)
        self.assertLess(stack.host.memory(), 100 << 20)

    def test_no_answer(self) -> None:
        """After a time limit it is given up, and asked anew."""
        stack = self.memory_stack()
        self.qemu.faults = {"object-add": self.once("object-add", fake.no_answer)}
        waiting = self.handle(stack.host, create=f"{VM}/clip", size=MIB)
        with self.assertRaises(BufferError) as caught:
            waiting.answer()
        self.assertIn(caught.exception.code, ("failed", "timeout"))
        self.wait_qmp(stack)
        self.create(stack.host)

    def test_is_no_qmp(self) -> None:
        stack = self.memory_stack(start=False)
        self.qemu.faults = {"greeting": lambda qemu, _: qemu.say_raw(b"220 mail.example ESMTP\n")}
        stack.start()
        self.wait_qmp(stack, "no QMP")
        self.assertIn("not connected", self.assert_fails("no-memory", stack.guest))
        self.assertLess(self.qemu.connections, 10)
        self.qemu.faults.clear()
        self.wait_qmp(stack)
        stack.measure()
        self.create(stack.guest)

    def test_does_not_greet(self) -> None:
        """It serves somebody else."""
        stack = self.memory_stack(start=False)
        self.qemu.faults = {"greeting": lambda _, __: None}
        stack.start()
        self.wait_qmp(stack, "give it a second -qmp")
        self.assertIn(f"link {VM}: QMP unix:{self.qemu.path}: QEMU does not greet",
                      stack.host.log())
        self.qemu.faults.clear()
        self.wait_qmp(stack)

    def test_takes_no_commands(self) -> None:
        stack = self.memory_stack(start=False)
        self.qemu.faults = {"qmp_capabilities": fake.refuse}
        stack.start()
        self.wait_qmp(stack, "does not take commands")
        self.qemu.faults.clear()
        self.wait_qmp(stack)
        stack.measure()

    def test_nonsense_in_answers(self) -> None:
        """Answers of the wrong shape are errors, not crashes."""
        stack = self.memory_stack()
        for step, answers in {
                "query-pci": (None, 5, [None], [{"devices": 3}], [{"devices": [[], {"id": []}]}]),
                "add-fd": (None, {}, {"fd": "x"}, {"fd": -1, "fdset-id": 1 << 62}),
                "object-add": (None, [], "x")}.items():
            for answer in answers:
                with self.subTest(step=step, answer=answer):
                    self.qemu.faults = {step: self.answering(answer)}
                    try:
                        self.create(stack.host).close()
                    except BufferError as error:
                        self.assertIn(error.code, ("failed", "unmappable"))
                    self.qemu.faults.clear()
                    self.wait_nothing_left(stack)
        self.create(stack.guest)

    @staticmethod
    def answering(answer: object) -> fake.Fault:
        def say(qemu: FakeQemu, _: fake.Json) -> None:
            qemu.say({"return": answer, "id": qemu.said[-1]["id"]})
            raise Silence
        return say

    def test_events_of_others(self) -> None:
        stack = self.memory_stack()
        self.create(stack.guest)
        for data in ({}, {"device": 5}, {"device": "disk0"}, {"device": "guestmux-"}):
            self.qemu.event("DEVICE_DELETED", **data)
        self.qemu.say({"event": "RESET"})
        self.qemu.say({"event": 5})
        self.qemu.say({"return": {}, "id": 123456})
        self.qemu.say({"error": "x"})
        self.create(stack.guest, "other")
        self.assertEqual(self.qemu.connections, 1)

    def test_somebody_else_unplugs(self) -> None:
        stack = self.memory_stack()
        app = self.create(stack.guest)
        other = self.open(stack.host)
        self.qemu.let_go(next(iter(self.qemu.devices)))
        self.assertEqual(other.gone(), "reset")
        app.gone()
        self.wait_nothing_left(stack)


class Leftovers(MemoryTest):
    def plugged(self, handle: Handle) -> str:
        return f"guestmux-{handle.shown['id']}"

    def test_of_killed_hostmux(self) -> None:
        """What an earlier hostmux plugged is unplugged, once nobody in the guest has it."""
        stack = self.memory_stack()
        app = self.create(stack.guest)
        device = self.plugged(app)
        stack.host.kill()
        self.assertIn(device, self.qemu.devices)
        self.assertTrue(self.node().is_symlink())
        stack.port.unlink()
        stack.host.start()
        stack.wait_up()
        self.assertEqual(app.gone(), "reset")
        self.wait_nothing_left(stack)
        self.create(stack.guest)

    def test_of_both_killed(self) -> None:
        """As after a crash of the whole guest: nobody knows of them, and they go."""
        stack = self.memory_stack()
        self.create(stack.guest)
        self.create(stack.host, "other")
        for daemon in stack.daemons:
            daemon.kill()
            daemon.socket.unlink()
        stack.port.unlink()
        self.close_handles()
        stack.start()
        self.wait_nothing_left(stack)

    def test_objects_alone(self) -> None:
        """Memory without a device is deleted; what is not ours is left alone."""
        stack = self.memory_stack(start=False)
        for name in ("guestmux-0123456789abcdef-memory", "guestmux-xyz-memory", "pc.ram",
                     "guestmux-0123456789abcdef0-memory"):
            fd = os.memfd_create("left")
            self.qemu.objects[name] = {"fd": fd, "size": MIB, "readonly": False}
        stack.start()
        wait_until(lambda: len(self.qemu.objects) == 3, "ours is deleted")
        self.assertNotIn("guestmux-0123456789abcdef-memory", self.qemu.objects)

    def test_qemu_dies(self) -> None:
        """With QEMU's end its buffers end, on the host."""
        stack = self.memory_stack()
        self.create(stack.guest)
        other = self.open(stack.host)
        ours = self.create(stack.host, "ours")
        stack.guest.kill()
        stack.guest.socket.unlink()
        self.qemu.stop()
        self.assertEqual({other.gone(), ours.gone()}, {"link-down"})
        wait_until(lambda: not self.buffers(stack.host), "the host has none")
        self.assertEqual(list(self.folder.glob("hostmux/*")), [])
        self.qemu.start()
        stack.guest.start()
        stack.wait_up()
        self.wait_qmp(stack)
        self.create(stack.guest)

    def test_guest_starts_anew(self) -> None:
        """guestmux is killed: its programs' buffers end on the host, and so do the host's."""
        stack = self.memory_stack()
        self.create(stack.guest)
        other = self.open(stack.host)
        ours = self.create(stack.host, "ours")
        stack.guest.kill()
        stack.guest.socket.unlink()
        self.handles[0].close()
        stack.guest.start()
        stack.wait_up()
        self.assertIn(other.gone(), ("owner", "reset"))
        self.assertEqual(ours.gone(), "reset")
        self.wait_nothing_left(stack)

    def test_port_breaks(self) -> None:
        """Only the session is lost: both sides still know their buffers, and go on with them."""
        stack = self.memory_stack(start=False)
        cable = Cable(self.folder / "test-cable", stack.port)
        self.addCleanup(cable.close)
        stack.guest.arguments = ["--port", f"unix:{self.folder}/test-cable"]
        stack.host.start()
        self.wait_qmp(stack)
        stack.guest.start()
        stack.wait_up()
        app = self.create(stack.guest)
        ours = self.create(stack.host, "ours")
        self.open(stack.guest, "ours").close()
        cable.cut()
        wait_until(lambda: stack.host.link(VM)["sessions"] == 2 and stack.is_up(), "a new session")
        self.assertEqual(self.buffers(stack.guest), {"clip": "ready", "ours": "ready"})
        other = self.open(stack.host)
        app.notify(3, 4)
        other.record()
        app.close()
        ours.close()
        other.gone()
        self.wait_nothing_left(stack)


if __name__ == "__main__":
    unittest.main()
