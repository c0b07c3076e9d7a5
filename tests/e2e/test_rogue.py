# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest, or a host, that keeps to the protocol and says on the daemons' own channel what it likes.

hostmux has two VMs: one is well, and the other one's end is tests/e2e/rogue.c.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import unittest
from contextlib import nullcontext
from pathlib import Path

from client import Client
from daemon import BIN, SANITIZED, Daemon, Json, wait_until
from stack import Stack, StackTest, read_exactly
from user import UID, being

EVIL = "evil"
LINE_MAX = 32768
REMOTES_MAX = 2048


class Rogue:
    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / f"rogue.{time.monotonic_ns()}"
        self.out = folder / f"{self.log.name}.out"
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen([str(BIN / "rogue"), *arguments], bufsize=0,
                                            stdin=subprocess.PIPE, stdout=out, stderr=log)

    def says(self, *words: str) -> None:
        wait_until(lambda: all(word in self.log.read_text().splitlines() for word in words),
                   f"{words}, but: {self.log.read_text()}")

    def say(self, *lines: bytes | Json) -> None:
        """Objects, or whatever else comes on the channel."""
        assert self.process.stdin
        data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                        for line in lines)
        while data:
            data = data[self.process.stdin.write(data):]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()


class RogueTest(StackTest):
    def started(self, **keys: object) -> Stack:
        stack = self.stack(start=False, host=["--vm", f"{EVIL}=listen:{self.folder}/evil"], **keys)
        stack.host.service("echo", connect=self.echo())
        return stack.start()

    def daemon_up(self, daemon: Daemon, link: str) -> bool:
        return bool(daemon.link(link)["state"] == "up")

    def rogue(self, stack: Stack, *arguments: str) -> Rogue:
        """A guest, whose session is up."""
        rogue = Rogue(self.folder, "guest", f"unix:{self.folder}/evil", *arguments)
        self.addCleanup(rogue.close)
        rogue.says("up")
        return rogue

    def announcer(self, stack: Stack) -> Rogue:
        """One that has announced a service."""
        rogue = self.rogue(stack, "@services")
        rogue.say({"daemon": "rogue", "version": "9"}, {"service": "before"})
        wait_until(lambda: self.remote(stack) == ["before"], "it is announced")
        return rogue

    def end(self, stack: Stack, rogue: Rogue) -> None:
        rogue.close()
        wait_until(lambda: not self.daemon_up(stack.host, EVIL), "its link is down")
        self.assertEqual(self.remote(stack), [])

    def remote(self, stack: Stack) -> list[str]:
        """What the host believes to be on the rogue's side."""
        return [one["service"] for one in stack.host.ask("services")["remote"]
                if one["link"] == EVIL]

    def slowest(self, stack: Stack, seconds: float) -> float:
        """The longest of one round trip a millisecond, in the VM that is well."""
        app = stack.open("echo")
        longest, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            app.sendall(b"x")
            read_exactly(app, 1)
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.001)
        app.close()
        return longest


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
            {"service": f"s{n}", "description": "x" * 100} for n in range(100_000)]))
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
        """What is beyond is passed over; a user who asks for all of them all the time is stopped."""
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
        codes = [answer["ok"] or answer["error"]["code"] for answer in
                 (client.ask({"verb": "services"}) for _ in range(100))]
        if os.geteuid() == 0:
            self.assertGreater(codes.count("busy"), 50)
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
        self.assertEqual(count, (4 << 20) // (4096 + 4) + (0 if count < 1023 else 1))
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

        thread = threading.Thread(target=flood)
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


class Own(RogueTest):
    def test_names(self) -> None:
        """Opened more than once; others than the one that there is."""
        stack = self.started()
        rogue = self.rogue(stack, "@services", "@services", "@other", "@control", "@services")
        rogue.says("accept @services", "reset @services limit", "reset @other no-service",
                   "reset @control no-service")
        self.assertEqual(rogue.log.read_text().count("reset @services limit"), 2)
        rogue.say({"service": "svc"})
        wait_until(lambda: self.remote(stack) == ["svc"], "the first one counts")
        link = stack.host.link(EVIL)
        self.assertEqual((link["state"], link["sessions"], link["channels_open"]), ("up", 1, 0))

    def test_ends(self) -> None:
        """It says no more: what it said counts no more, and nothing else ends."""
        stack = self.started()
        rogue = self.announcer(stack)
        assert rogue.process.stdin
        rogue.process.stdin.close()
        wait_until(lambda: self.remote(stack) == [], "it has ended")
        rogue.says("fin @services")
        stack.host.service("new", exec=["/bin/cat"])
        wait_until(lambda: len(stack.guest.ask("services")["remote"]) == 2, "others are told")
        self.assertTrue(self.daemon_up(stack.host, EVIL))

    def test_host_is_rogue(self) -> None:
        """guestmux bears the same from the other side."""
        guest = self.daemon("guestmux", ["--port", f"unix:{self.folder}/test-port"])
        rogue = Rogue(self.folder, "host", f"listen:{self.folder}/test-port", "@services", "@x")
        self.addCleanup(rogue.close)
        guest.service("cat", exec=["/bin/cat"])
        wait_until(lambda: (self.folder / "test-port").exists(), "it listens")
        guest.start()
        rogue.says("up", "open @services", "reset @services limit", "reset @x no-service")
        rogue.say({"daemon": "rogue", "version": "0"}, {"service": "svc"})
        wait_until(lambda: len(guest.ask("services")["remote"]) == 1, "it is announced")
        wait_until(lambda: '{"service":"cat"' in rogue.out.read_text(), "it is told")
        rogue.say(b"junk\n")
        wait_until(lambda: guest.ask("services")["remote"] == [], "it is not believed any more")
        self.assertEqual((guest.link()["state"], guest.link()["sessions"]), ("up", 1))

    def test_never_reads(self) -> None:
        """Its announcements wait, one for each service at most; the other VM gets its own."""
        stack = self.started()
        deaf = self.rogue(stack, "--deaf", "@services")
        registrant = Client(stack.host.socket)
        self.addCleanup(registrant.close)
        for stopped in (False, True):
            if stopped:
                deaf.process.send_signal(signal.SIGSTOP)
            memory = stack.host.memory()
            for n in range(3000):
                registrant.good("register", service=f"s{n % 20}", accept="fd",
                                description=f"{n}" * 500)
                registrant.good("unregister", service=f"s{n % 20}")
            registrant.good("register", service=f"last-{stopped}", accept="fd")
            wait_until(lambda: f"last-{stopped}" in [  # noqa: B023
                one["service"] for one in stack.guest.ask("services")["remote"]], "it is told")
            if not SANITIZED:
                self.assertLess(stack.host.memory() - memory, 4 << 20)
            self.assertLess(stack.host.cpu_over(0.3), 0.1)
        deaf.process.send_signal(signal.SIGCONT)


class Callers(RogueTest):
    def test_lies(self) -> None:
        """What another machine says of its users is shown as something printable."""
        stack = self.started()
        stack.host.service("env", exec=["/usr/bin/env"])
        stack.host.service("sleep", exec=["/bin/sleep", "1000"], preamble="json")
        stack.host.reload()
        client = Client(stack.host.socket)
        self.addCleanup(client.close)
        client.good("events", only=["channels"])
        rogue = self.rogue(stack, "--uid", "0", "--gid", "4294967295", "--program",
                           "\x1b[31mroot\nx ü" + "y" * 40, "env", "sleep", "nobody\x1b[31m:\r\x01")
        rogue.says("accept env", "accept sleep")
        caller = {"uid": 0, "gid": 4294967295, "program": "?[31mroot?x???" + "y" * 17}
        for _ in range(3):
            came = client.event()
            if came["event"] != "channel-closed":
                self.assertEqual(came["caller"], caller)
        (sleep,) = stack.host.channels(EVIL)
        self.assertEqual(sleep["caller"], caller)
        wait_until(lambda: b"GUESTMUX_PROGRAM=?[31mroot?x???" in rogue.out.read_bytes(), "env")
        self.assertNotIn("\x1b", stack.host.log())

    def test_says_nothing(self) -> None:
        """Nor is anybody believed to call whom the daemon's own environment names."""
        names = {f"GUESTMUX_{name}": "0" for name in ("UID", "GID", "PROGRAM")}
        stack = self.started(environment=names)
        stack.host.service("env", exec=["/bin/sh", "-c", "head -n 1; env"], preamble="json")
        stack.host.reload()
        rogue = self.rogue(stack, "env:")
        rogue.says("fin env:")
        said = rogue.out.read_text()
        self.assertIsNone(json.loads(said.splitlines()[0])["caller"])
        self.assertIn(f"GUESTMUX_LINK={EVIL}\n", said)
        for name in names:
            self.assertNotIn(name, said)


if __name__ == "__main__":
    unittest.main()
