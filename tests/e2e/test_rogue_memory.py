# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that means no good, on the channel @memory: hostmux, QEMU and other VMs stay well."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import unittest
from typing import Any

from daemon import Json, wait_until
from memory_stack import MIB, MemoryTest
from rogue import Rogue
from stack import VM

LIMIT = 4
ID = "0123456789abcdef"


class RogueMemory(MemoryTest):
    def setUp(self) -> None:
        super().setUp()
        self.the_stack = self.memory_stack(start=False, limits={"buffers": LIMIT})
        self.host = self.the_stack.host
        self.host.start()
        self.wait_qmp(self.the_stack)
        self.measured = False

    def guest(self, *arguments: str) -> Rogue:
        rogue = Rogue(self.folder, "guest", f"unix:{self.the_stack.port}", *arguments, "--only",
                      "@memory", "@memory")
        self.addCleanup(rogue.close)
        rogue.says("up", "accept @memory")
        self.looked = 0
        return rogue

    def hear(self, rogue: Rogue, *keys: str) -> Json:
        """The next line that has one of the keys."""
        def line() -> Json | None:
            lines = rogue.out.read_bytes().splitlines(keepends=True)
            while len(lines) > self.looked and lines[self.looked].endswith(b"\n"):
                self.looked += 1
                said: Json = json.loads(lines[self.looked - 1])
                if any(key in said for key in keys):
                    return said
            return None

        found: Json = wait_until(line, f"a line with {keys}; {self.host.log()}")
        return found

    def plugged(self, rogue: Rogue, name: str = "clip", **keys: object) -> Json:
        """Has a buffer made, up to the host's line for its proof."""
        rogue.say({"create": name, "request": 7, "size": MIB, **keys})
        rogue.say({"may": self.hear(rogue, "may")["may"]})
        return self.hear(rogue, "device")

    def memory(self, line: Json) -> int:
        """Opens the device's memory, as the guest's kernel would let it."""
        at = self.qemu.devices["guestmux-" + line["device"]]["address"]
        return os.open(self.qemu.devices_folder / at, os.O_RDWR)

    def proof(self, line: Json) -> Json:
        fd, wrote = self.memory(line), secrets.token_bytes(16)
        mark, proof = os.pread(fd, 16, 0), os.pread(fd, 16, 16)
        self.assertEqual(mark.hex(), line["mark"])
        os.pwrite(fd, wrote, 32)
        os.close(fd)
        return {"device": line["device"], "proof": proof.hex(), "wrote": wrote.hex()}

    def assert_well(self) -> None:
        self.assertTrue(self.host.running())
        self.assertTrue(self.host.is_up(VM))
        self.assertLess(self.host.memory(), 150 << 20)

    @staticmethod
    def channel_ended(rogue: Rogue) -> bool:
        return any(line.startswith(("fin @memory", "reset @memory"))
                   for line in rogue.log.read_text().splitlines())

    def wait_channel_ended(self, rogue: Rogue) -> None:
        wait_until(lambda: self.channel_ended(rogue), "it is ended")

    # ---

    def test_well(self) -> None:
        """So that the others fail for the reason that they name."""
        rogue = self.guest()
        self.hear(rogue, "ready")
        line = self.plugged(rogue, uid=5, gid=6, program="x", properties={"a": "b"})
        rogue.say(self.proof(line))
        made = self.hear(rogue, "buffer")
        self.assertEqual((made["buffer"], made["device"], made["request"], made["size"]),
                         ("clip", line["device"], 7, MIB))
        fd = self.memory(line)
        self.assertEqual(os.pread(fd, 64, 0), bytes(64))
        os.close(fd)
        rogue.say({"release": "clip", "device": line["device"]})
        gone = self.hear(rogue, "gone")
        self.assertEqual(gone["gone"], line["device"])
        rogue.say({"gone": line["device"], "holders": 0})
        wait_until(lambda: not self.qemu.objects, "it is unplugged")

    def test_bad_proof(self) -> None:
        rogue = self.guest()
        for spoil in ({"proof": "00" * 16}, {"wrote": "00" * 16}, {"proof": "0"}, {"proof": 5},
                      {"wrote": None}, {"proof": "zz" * 16}):
            line = self.plugged(rogue)
            rogue.say(self.proof(line) | spoil)
            self.assertEqual(self.hear(rogue, "error")["error"]["code"], "unmappable")
            rogue.say({"gone": self.hear(rogue, "gone")["gone"], "holders": 0})
            wait_until(lambda: not self.qemu.objects, "it is unplugged")
        self.assertEqual(self.buffers(self.host), {})

    def test_never_gives_back(self) -> None:
        """What it does not let go counts against its limit, in whichever way it came to be."""
        rogue = self.guest()
        for n in range(LIMIT):
            line = self.plugged(rogue, f"b{n}")
            rogue.say({"device": line["device"], "error": "no\x1b[2J\n" + "x" * 10000})
            self.assertEqual(self.hear(rogue, "error")["error"]["code"], "unmappable")
        rogue.say({"create": "more", "request": 8, "size": MIB})
        self.assertEqual(self.hear(rogue, "error")["error"]["code"], "limit")
        self.assertEqual(len(self.qemu.objects), LIMIT)
        self.assertNotIn("\x1b", self.host.log())
        # A new session does not change that.
        rogue.close()
        wait_until(lambda: not self.host.is_up(VM), "its session is over")
        rogue = self.guest()
        rogue.say({"create": "more", "request": 9, "size": MIB})
        self.assertEqual(self.hear(rogue, "error")["error"]["code"], "limit")
        for device in list(self.qemu.devices):
            rogue.say({"gone": device[len("guestmux-"):], "holders": 1})
            rogue.say({"gone": device[len("guestmux-"):], "holders": 0})
        wait_until(lambda: not self.qemu.objects, "all are unplugged")

    def test_held_memory_is_zeroed(self) -> None:
        rogue = self.guest()
        line = self.plugged(rogue)
        rogue.say(self.proof(line))
        self.hear(rogue, "buffer")
        fd = self.memory(line)
        self.addCleanup(os.close, fd)
        os.pwrite(fd, b"secret", MIB - 6)
        rogue.say({"release": "clip", "device": line["device"]})
        rogue.say({"gone": self.hear(rogue, "gone")["gone"], "holders": 1 << 40})
        wait_until(lambda: self.buffers(self.host) == {"clip": "held"}, "it is held")
        self.assertEqual(os.pread(fd, MIB, 0), bytes(MIB))

    def test_wrong_names_and_sizes(self) -> None:
        rogue = self.guest()
        wishes: list[Json] = [{"create": name, "size": MIB} for name in (
            "", "..", "../x", "a/b", "a\n", "-x", "a" * 129, "\u00e4", "@memory", "a b")]
        wishes += [{"create": "x", "size": size} for size in (
            0, -1, 1 << 63, 1 << 62, (1 << 64) - 1, "5", None, 257 * MIB, 1.5)]
        wishes += [{"create": "x", "size": MIB, "read_only_for": "x"},
                   {"create": "x", "size": MIB, "properties": {"a": 5}},
                   {"create": "x", "size": MIB, "properties": {"a b": "c"}},
                   {"create": "x", "size": MIB, "properties": {f"k{n}": "" for n in range(33)}},
                   {"create": "x", "size": MIB, "properties": {"k": "x" * 5000}}]
        for number, wish in enumerate(wishes):
            rogue.say({"request": number, **wish})
            answer = self.hear(rogue, "error")
            self.assertEqual(answer["request"], number)
            self.assertIn(answer["error"]["code"], ("bad-name", "bad-size", "bad-request"), wish)
        self.assertNotIn("object-add", self.qemu.commands())
        self.assert_well()

    def test_nonsense(self) -> None:
        """Each ends the channel at most, and the next session has it again."""
        lines: list[Any] = [
            {"may": 5}, {"may": "x"}, {"may": "0" * 16}, {"may": ID}, {"device": ID}, {"gone": ID},
            {"gone": {}}, {"device": []}, {"device": "G" * 16}, {"create": 5}, {"create": {}},
            {"set": "nothing"}, {"set": 5, "properties": {}}, {"release": []}, {"release": "x"},
            {"region": "out"}, {"region": "up", "epoch": 1}, {"region": "in", "epoch": "x"},
            {"region": 5}, {"what": "is this"}, {}, {"ready": True}, {"buffer": "x"},
            b"not JSON\n", b"[]\n", b"\0\n", b'{"a":' * 100 + b"\n", b"x" * 100000]
        rogue = self.guest()
        for line in lines:
            rogue.say(line)
            rogue.close()
            wait_until(lambda: not self.host.is_up(VM), "its session is over")
            rogue = self.guest()
            self.hear(rogue, "ready")
            self.assert_well()
        line = self.plugged(rogue)
        rogue.say(self.proof(line))
        self.hear(rogue, "buffer")

    def test_properties(self) -> None:
        """Of a buffer that it may only read, none; and no nonsense."""
        rogue = self.guest()
        rogue.say({"create": "mine", "request": 1, "size": MIB, "read_only_for": "guest"})
        rogue.say({"may": self.hear(rogue, "may")["may"]})
        line = self.hear(rogue, "device")
        self.assertFalse(line["write"])
        proof = self.proof(line)
        del proof["wrote"]
        rogue.say(proof)
        self.hear(rogue, "buffer")
        rogue.say({"set": "mine", "properties": {"a": "b"}})
        line = self.plugged(rogue, "other")
        rogue.say(self.proof(line))
        self.hear(rogue, "buffer")
        self.assertEqual([b["properties"] for b in self.host.ask("buffers")["buffers"]], [{}, {}])
        # What cannot be is not, and the guest is told what is.
        rogue.say({"set": "other", "properties": {"a": ["b"]}})
        self.assertEqual(self.hear(rogue, "buffer")["properties"], {})
        rogue.say({"set": "other", "properties": {f"k{n}": "v" for n in range(33)}})
        self.assertEqual(self.hear(rogue, "buffer")["properties"], {})
        rogue.say({"set": "other", "properties": {"a": "b"}, "all": True})
        self.assertEqual(self.hear(rogue, "buffer")["properties"], {"a": "b"})
        self.assert_well()

    def test_asks_and_does_not_read(self) -> None:
        rogue = self.guest("--deaf")
        assert rogue.process.stdin
        fd = rogue.process.stdin.fileno()
        os.set_blocking(fd, False)  # nobody takes it any more when the channel has ended
        lines = json.dumps({"create": "../x", "request": 1, "size": MIB}).encode() + b"\n"

        def push() -> bool:
            with contextlib.suppress(BlockingIOError):
                os.write(fd, lines * 60)  # all or nothing, as it is less than PIPE_BUF
            return "does not read answers" in self.host.log()

        wait_until(push, "the channel is ended")
        self.assert_well()
        self.assertLess(len(self.host.log()), 100_000)

    def test_creates_and_releases(self) -> None:
        """In a storm: one after the other is plugged, and nothing is left."""
        rogue = self.guest()
        for n in range(300):
            rogue.say({"create": f"b{n}", "request": n + 1, "size": MIB}, {"release": f"b{n}"})
        rogue.say({"create": "../x", "request": 999, "size": MIB})
        while self.hear(rogue, "error")["request"] != 999:
            pass
        wait_until(lambda: self.buffers(self.host) == {}, "they are gone")
        rogue.say({"create": "last", "request": 1000, "size": MIB})
        while "may" in (line := self.hear(rogue, "may", "device")):
            rogue.say({"may": line["may"]})
        rogue.say(self.proof(line))
        wait_until(lambda: self.buffers(self.host) == {"last": "ready"}, "the others are gone")
        self.assertEqual(len(self.qemu.objects), 1)
        self.assert_well()

    def test_is_not_heard_of_again(self) -> None:
        """It takes a buffer of a program of the host's, and goes."""
        rogue = self.guest()
        ours = self.handle(self.host, create=f"{VM}/ours", size=MIB)
        rogue.say({"may": self.hear(rogue, "may")["may"]})
        rogue.say(self.proof(self.hear(rogue, "device")))
        ours.answer()
        rogue.say({"release": "ours"})  # without saying which
        rogue.say({"release": "ours", "device": ID})
        rogue.say({"set": "ours", "properties": {"a": "b"}})
        wait_until(lambda: self.host.ask("buffers")["buffers"][0]["properties"], "it is set")
        rogue.close()
        wait_until(lambda: not self.host.is_up(VM), "its session is over")
        self.assertEqual(self.buffers(self.host), {"ours": "ready"})

    def test_answers_before_it_is_asked(self) -> None:
        rogue = self.guest()
        self.hear(rogue, "ready")
        rogue.say({"create": "clip", "request": 1, "size": MIB})
        device = self.hear(rogue, "may")["may"]
        rogue.say({"device": device, "proof": "00" * 16}, {"gone": device, "holders": 0},
                  {"may": device}, {"may": device})
        line = self.hear(rogue, "device")
        rogue.say({"may": device}, {"gone": device, "holders": 0})
        proof = self.proof(line)
        rogue.say(proof, proof)
        self.hear(rogue, "buffer")
        self.assertEqual(self.buffers(self.host), {"clip": "ready"})
        self.assert_well()


if __name__ == "__main__":
    unittest.main()
