# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that keeps to the protocol and says of its services what it likes."""

from __future__ import annotations

import os
import threading
import time
import unittest
from contextlib import nullcontext

from client import Client
from daemon import SANITIZED, Json, wait_until
from rogue import EVIL, Rogue, RogueTest
from user import UID, being

LINE_MAX = 32768
REMOTES_MAX = 2048
#: What a user may ask for: 64 services are one.
WORK_BURST, WORK_PER_SECOND = 1024, 512


class Announcements(RogueTest):
    def test_nonsense(self) -> None:
        """Ends the announcements, and nothing else."""
        stack = self.started()
        deep: Json = {}
        for _ in range(40):
            deep = {"a": deep}
        nonsense: list[bytes | Json] = [
            b"junk\n", b"\n", b"[]\n", b"null\n", b"{\n", b"{}}\n", b"\x00\n", b"\xff\xfe\n",
            b'{"service": "x"} {"service": "y"}\n', b"[" * 5000 + b"\n", deep,
            {"daemon": 5}, {"version": []}, {"gone": None}, {"service": 1}, {"service": ["x"]},
            {"service": ""}, {"service": "a b"}, {"service": "a\n"}, {"service": "\x1b[2J"},
            {"service": "a\0b"}, {"service": "x" * 129}, {"service": "@services"},
            {"service": "a:b"}, {"service": "a/b"}, {"service": "ä"},
            {"service": "x", "description": 5}, {"service": "x", "properties": []},
            {"service": "x", "properties": {"a": 1}}, {"service": "x", "properties": {"a": deep}},
            {"service": "x", "description": "y" * 4097}, {"service": "x", "description": "\0"},
            {"service": "x", "properties": {str(n): "" for n in range(33)}},
            b"x" * (LINE_MAX + 5000), b'{"service": "' + b"x" * (1 << 20)]
        for words in nonsense:
            with self.subTest(words=str(words)[:60]):
                rogue = self.announcer(stack)
                sessions = stack.host.link(EVIL)["sessions"]
                rogue.say(words[:60_000] if isinstance(words, bytes) else words)
                wait_until(lambda: self.remote(stack) == [], "nothing of it is believed any more")
                self.assertTrue(self.daemon_up(stack.host, EVIL))
                self.assertEqual(stack.host.link(EVIL)["sessions"], sessions)
                self.end(stack, rogue)
        self.assertLess(stack.host.log().count("\n"), 200)

    def test_later_versions(self) -> None:
        """What is not known is passed over."""
        stack = self.started()
        rogue = self.announcer(stack)
        rogue.say({"later": [1, {"a": None}]}, {}, {"gone": "never"}, {"daemon": "another"},
                  {"service": "after", "later": 1.5}, {"service": "before", "gone": "after"})
        wait_until(lambda: "after" in self.remote(stack) or self.remote(stack) == ["before"], "it")
        rogue.say({"service": "last"})
        wait_until(lambda: "last" in self.remote(stack), "it is announced")
        self.assertEqual(stack.host.link(EVIL)["peer"], {"daemon": "rogue", "version": "9"})

    def test_greeting_is_printable(self) -> None:
        stack = self.started()
        rogue = self.rogue(stack, "@services")
        rogue.say({"daemon": "\x1b[2J\nroot " + "x" * 5000, "version": "\u202e1\0"[:2]})
        peer = wait_until(lambda: stack.host.link(EVIL)["peer"], "it has greeted")
        for text in peer.values():
            self.assertRegex(text, r"\A[!-~]{1,40}\Z")
        self.assertRegex(stack.host.log(), r"\A[\n -~]*\Z")

    def test_too_many(self) -> None:
        stack = self.started()
        rogue = self.announcer(stack)
        memory, before = stack.host.memory(), stack.host.cpu()
        flood = threading.Thread(target=self.swallow, args=(rogue, [
            {"service": f"s{n}", "description": "x" * 100} for n in range(100_000)]), daemon=True)
        flood.start()
        wait_until(lambda: len(self.remote(stack)) == REMOTES_MAX, "as many as are kept")
        self.assertLess(self.slowest(stack, 0.5), 1 if SANITIZED else 0.2)
        self.assertEqual(len(self.remote(stack)), REMOTES_MAX)
        if not SANITIZED:
            self.assertLess(stack.host.memory() - memory, 8 << 20)
        self.assertLess(stack.host.cpu() - before, 3 if SANITIZED else 1)
        self.assertTrue(self.daemon_up(stack.host, EVIL))
        self.assertEqual(stack.host.log().count("has more services than are kept"), 1)
        rogue.close()
        flood.join()

    def swallow(self, rogue: Rogue, lines: list[Json]) -> None:
        try:
            rogue.say(*lines)
        except (BrokenPipeError, ValueError, OSError):
            pass

    def test_as_many_as_may_be(self) -> None:
        """What is beyond is passed over; who asks for all of them all the time is stopped."""
        self.folder.chmod(0o755)
        stack = self.started()
        rogue = self.rogue(stack, "@services")
        rogue.say(*({"service": f"s{n}", "description": "x" * 400} for n in range(REMOTES_MAX)))
        wait_until(lambda: len(self.remote(stack)) == REMOTES_MAX, "all are there")
        rogue.say({"service": "beyond"}, {"service": "s1", "description": "changed"},
                  {"gone": "s0"}, {"service": "last"})
        wait_until(lambda: "last" in self.remote(stack), "there is room for it")
        self.assertEqual(set(self.remote(stack)),
                         {"last", *(f"s{n}" for n in range(1, REMOTES_MAX))})
        with being(UID) if os.geteuid() == 0 else nullcontext():
            client = Client(stack.host.socket)
        self.addCleanup(client.close)
        begin = time.monotonic()
        codes = [answer["ok"] or answer["error"]["code"] for answer in
                 (client.ask({"verb": "services"}) for _ in range(100))]
        work = WORK_BURST + WORK_PER_SECOND * (time.monotonic() - begin)
        if os.geteuid() == 0:
            self.assertLessEqual(100 - codes.count("busy"), work / (REMOTES_MAX / 64 + 1))
        self.assertIs(codes[0], True)

    def test_bytes(self) -> None:
        """The same by their size: one that grows beyond it is passed over, and is not there."""
        stack = self.started()
        rogue = self.rogue(stack, "@services")
        big = {"description": "x" * 4096}
        rogue.say(*({"service": f"s{n}"} | big for n in range(1200)))
        wait_until(lambda: "has more services than are kept" in stack.host.log(), "it is full")
        wait_until(lambda: stack.host.cpu_over(0.1) == 0, "it is read")
        count = len(self.remote(stack))
        self.assertEqual(count, (4 << 20) // (4096 + 4))
        rogue.say({"service": "small"}, {"service": "small"} | big)
        wait_until(lambda: stack.host.cpu_over(0.1) == 0, "it is read")
        self.assertNotIn("small", self.remote(stack))

    def test_flood_of_changes(self) -> None:
        """While somebody subscribes: the processor, memory and the other VM's latency."""
        stack = self.started()
        rogue = self.announcer(stack)
        deaf = Client(stack.host.socket)
        self.addCleanup(deaf.close)
        deaf.good("events")
        stop = threading.Event()

        def flood() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                self.swallow(rogue, [{"service": "s", "description": f"{n}{k}" * 20}
                                     for k in range(500)])

        thread = threading.Thread(target=flood, daemon=True)
        self.addCleanup(stop.set)
        thread.start()
        wait_until(lambda: stack.host.cpu_over(0.1) < 0.1, "it has had its burst")
        memory, before, begin = stack.host.memory(), stack.host.cpu(), time.monotonic()
        self.assertLess(self.slowest(stack, 1.5), 1 if SANITIZED else 0.2)
        used = (stack.host.cpu() - before) / (time.monotonic() - begin)
        self.assertLess(used, 0.9 if SANITIZED else 0.4)
        if not SANITIZED:
            self.assertLess(stack.host.memory() - memory, 2 << 20)
        stop.set()
        rogue.close()
        thread.join()


if __name__ == "__main__":
    unittest.main()
