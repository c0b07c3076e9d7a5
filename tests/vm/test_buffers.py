#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Named buffers in a real guest: memory of its programs and the host's, that comes and goes."""

from __future__ import annotations

import secrets
import unittest
from pathlib import Path

from shared import GONE, MIB, PATIENCE_S, Q35, SharedCase, guestmux
from stack import VM_NAME, wait_for


class Buffers(SharedCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()

    def test_of_the_guest(self) -> None:
        """The clipboard's story."""
        events = self.enterContext(guestmux.buffer_events("clipboard", socket=self.host.socket))
        app = self.app(create="clip_buffer", size=MIB, properties={"application": "clipboard"})
        self.app(create="other", size=MIB)  # of which who serves clipboards is not told
        added = events.next(PATIENCE_S)
        self.assertEqual((added.kind, added["buffer"]["name"]), ("buffer-added", "clip_buffer"))
        self.assertEqual(added["buffer"]["owner"]["side"], "guest")
        self.assertEqual(added["buffer"]["owner"]["uid"], 1000)

        clip = self.open("clip_buffer")
        self.assertEqual(bytes(clip.memory), bytes(MIB))
        clip.memory[:16] = token = secrets.token_bytes(16)
        clip.notify(0, 16)
        self.assertEqual(app.wait("notice"), "notice 1 0 16")
        self.assertEqual(app.shown()[0], token)
        self.assertEqual(self.node("clip_buffer").read_bytes()[:16], token)

        text = secrets.token_hex(100)
        self.alice(f"echo {text} | muxctl buffer fill clip_buffer")
        self.assertEqual(clip.next(PATIENCE_S), guestmux.Notice(2, 0, 201))
        self.assertEqual(clip.memory[:201].decode(), f"{text}\n")

        app.kill()
        with self.assertRaises(guestmux.Gone) as caught:
            clip.next(PATIENCE_S)
        self.assertEqual(caught.exception.reason, "owner")
        clip.close()
        removed = events.next(PATIENCE_S)
        self.assertEqual((removed.kind, removed["buffer"]["name"]),
                         ("buffer-removed", "clip_buffer"))  # fmt: skip
        self._apps.pop().kill()
        self.say(f"gone after {self.wait_nothing_left():.2f} s")

    def test_of_the_host(self) -> None:
        clip = self.create(size=MIB + 1, properties={"format": "text"})
        self.assertEqual(clip.size, 2 * MIB)
        clip.memory[:5] = b"hello"
        self.vm.wait_until("muxctl buffer list --names | grep -x clip")
        self.assertEqual(self.alice("muxctl buffer cat clip --length 5"), "hello")
        app = self.app(open="clip")
        self.assertEqual(app.answer["buffer"]["size"], 2 * MIB)
        clip.notify(MIB, 7)
        self.assertEqual(app.wait("notice"), f"notice 1 {MIB} 7")
        clip.close()
        self.assertEqual(app.wait("gone"), "gone owner")
        self.wait_nothing_left()

    def test_read_only_for_the_guest(self) -> None:
        clip = self.create(read_only_for="guest")
        clip.memory[:16] = token = secrets.token_bytes(16)
        self.vm.wait_until("muxctl buffer list --names | grep -x clip")
        app = self.app(open="clip")
        self.assertIn("not writable: Permission denied", app.output())
        self.assertRegex(self.ask(open="clip", write=True).error, "^denied: ")
        self.assertEqual(self.vm.run("echo no | muxctl buffer fill clip").status, 12)
        # Even the guest's kernel cannot: QEMU's memory is read-only.
        holder = self.vm.spawn(f"exec holder {self.memory_in_guest()} rw 0")
        self.vm.wait_until(f"grep mapped {holder.log}")
        self.vm.check(f"kill -USR2 {holder.pid}")
        self.vm.wait_until(f"test $(wc -l <{holder.log}) = 2")
        self.assertEqual(holder.output().split()[-1], token.hex())
        holder.kill("KILL")
        self.assertEqual(app.shown()[0], token)
        self.assertEqual(clip.memory[:16], token)
        self.check_echo()

    def memory_in_guest(self) -> str:
        """The path of the only device's memory."""
        devices = "/sys/bus/pci/devices"
        found = self.vm.check(f"for d in {devices}/*; do test $(cat $d/device) = 0x1110 && "
                              "readlink -f $d/resource2; done; true").split()  # fmt: skip
        self.assertEqual(len(found), 1)
        return found[0]


class OnQ35(Buffers):
    hardware = Q35

    def test_properties(self) -> None:
        app = self.app(create="clip", size=MIB, properties={"a": "1", "b": "2"})
        clip = self.open()
        self.assertEqual(clip.properties, {"a": "1", "b": "2"})
        clip.set({"a": None, "c": "3"})
        self.assertIn('"c":"3"', app.wait("properties").replace(" ", ""))
        self.alice("muxctl buffer set clip c=4 d=5 b=")
        while clip.properties != {"c": "4", "d": "5"}:
            clip.next(PATIENCE_S)
        self.assertEqual(self.buffers()[0]["properties"], {"c": "4", "d": "5"})

    def test_read_only_for_the_host(self) -> None:
        app = self.app(create="clip", size=MIB, read_only_for="host")
        clip = self.open()
        self.assertFalse(clip.writable)
        with self.assertRaises(guestmux.Refused) as caught:
            guestmux.open_buffer(f"{VM_NAME}/clip", write=True, socket=self.host.socket)
        self.assertEqual(caught.exception.code, "denied")
        with self.assertRaises(TypeError):
            clip.memory[:1] = b"x"
        self.alice("echo hello | muxctl buffer fill clip")
        clip.next(PATIENCE_S)
        self.assertEqual(clip.memory[:5], b"hello")
        self.assertNotIn("not writable", app.output())

    def test_other_users(self) -> None:
        """A buffer of alice's is hers and root's in the guest."""
        self.app(create="clip", size=MIB)
        self.assertRegex(self.ask(user="bob", open="clip").error, "^(denied|no-buffer): ")
        self.assertEqual(self.vm.check("su bob -c 'muxctl buffer list --names'"), "")
        self.assertNotEqual(self.vm.run("su bob -c 'muxctl buffer release clip'").status, 0)
        self.assertNotEqual(self.vm.run(f"su bob -c 'cat {self.memory_in_guest()}'").status, 0)
        self.app(user="root", open="clip")
        self.open()

    def test_sizes(self) -> None:
        """QEMU is asked for what it can live with, or for nothing."""
        for size in (0, -1, 1 << 40, (1 << 63) - 1):
            with self.subTest(size):
                self.assertRegex(self.ask(create="clip", size=size).error,
                                 "^(bad-size|bad-request|limit): ")
        self.assertEqual(self.plugged(), [])
        app = self.app(create="clip", size=3 * MIB)
        self.assertEqual(app.answer["buffer"]["size"], 4 * MIB)
        self.assertEqual(self.open().size, 4 * MIB)

    def test_object_of_the_hosts(self) -> None:
        """A POSIX shared memory object of the host, in the guest by its name."""
        path = Path("/dev/shm") / f"guestmux-{secrets.token_hex(4)}"
        self.addCleanup(path.unlink)
        path.write_bytes(b"0123456789abcdef" + bytes(MIB - 16))
        offered = self.create(from_object=f"/{path.name}", size=0)
        self.vm.wait_until("muxctl buffer list --names | grep -x clip")
        app = self.app(open="clip")
        self.assertEqual(app.shown(), (b"0123456789abcdef", 16))
        self.alice("echo written | muxctl buffer fill clip")
        self.assertEqual(path.read_bytes()[:8], b"written\n")
        offered.close()
        app.wait(GONE)
        self.wait_nothing_left()
        self.assertEqual(path.read_bytes()[:8], b"written\n")


class OnPc(Buffers):
    """Where devices are plugged another way; all else is the same."""


class Small(SharedCase):
    """A machine with one root port that is as it is by default: with room for 2 MiB or less."""

    hardware = {"machine": "q35", "extra": ("-device", "pcie-root-port,id=small,chassis=9,slot=9")}

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def test_no_room(self) -> None:
        self.assertRegex(self.ask(create="clip", size=32 * MIB).error,
                         r"^unmappable: .*'small' has room for \d+ KiB only.*pref64-reserve=")
        self.wait_nothing_left()
        self.app(create="clip", size=MIB)
        self.assertRegex(self.ask(create="next", size=MIB).error, "root port is free")
        self.check_echo()


del Buffers

if __name__ == "__main__":
    unittest.main(verbosity=2)
