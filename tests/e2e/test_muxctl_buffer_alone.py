# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl buffer alone: what it says to a daemon that the test plays, and makes of the answers."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

from daemon import BIN, PATIENCE, wait_until
from fake_buffers import NOTIFY, SET, FakeDaemon, Handle, listed
from running import Muxctl
from stack import muxctl
from terminal import Terminal
from traffic import pattern

BROKEN, USAGE, NO_DAEMON, ERROR = 1, 2, 3, 4
NO_BUFFER, DENIED, LIMIT, TIMEOUT, LINK_DOWN, BAD_NAME = 11, 12, 14, 15, 16, 17
EXISTS, GONE, UNSHARED = 18, 19, 20
MIB = 1 << 20
# Short sleeps: the signal would be lost on a child that has not become sleep yet.
WAITS = "trap 'echo asked; exit 5' TERM; echo on; while :; do sleep 0.1; done"


class FakeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mux-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)

    def fake(self, kind: str = "guestmux", **keys: Any) -> FakeDaemon:
        fake = FakeDaemon(self.folder / f"{kind}.sock", kind, **keys)
        self.addCleanup(fake.close)
        return fake

    def begin(self, fake: FakeDaemon, *arguments: str, **keys: Any) -> Muxctl:
        running = Muxctl(fake, "buffer", *arguments, **keys)  # type: ignore[arg-type]
        self.addCleanup(running.end)
        return running

    def run_to_end(self, fake: FakeDaemon, *arguments: str,
                   data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return muxctl(fake, "buffer", *arguments, data=data)  # type: ignore[arg-type]

    def assert_says(self, status: int, text: str,
                    run: subprocess.CompletedProcess[bytes]) -> None:
        """It failed, and said why in one line."""
        self.assertEqual((run.returncode, run.stdout), (status, b""), run.stderr)
        self.assertEqual(run.stderr.count(b"\n"), 1, run.stderr)
        self.assertIn(text, run.stderr.decode())


class Looking(FakeTest):
    def test_list(self) -> None:
        fake = self.fake("hostmux")
        fake.answers["buffers"] = {"buffers": [
            listed("clip", link="web1", properties={"application": "clip", "a": "b"}, notices=17),
            listed("frames", link="web2", size=16 * MIB, read_only_for="guest",
                   owner={"side": "web1"}, state="held")]}
        text = self.run_to_end(fake, "list").stdout.decode()
        lines = [line.split() for line in text.splitlines()]
        self.assertEqual(lines, [
            ["NAME", "SIZE", "STATE", "OWNER", "WRITERS", "HANDLES", "NOTICES", "PROPERTIES"],
            ["web1/clip", "1MiB", "ready", "guest", "paint(1000)", "both", "1", "17",
             "application=clip", "a=b"],
            ["web2/frames", "16MiB", "held", "web1", "host", "1", "0"]])
        self.assertEqual(self.run_to_end(fake, "list", "--names").stdout, b"web1/clip\n")
        for arguments in (("list", "--json"), ("--json", "list")):
            answer = json.loads(self.run_to_end(fake, *arguments).stdout)
            self.assertEqual([b["name"] for b in answer["buffers"]], ["clip", "frames"])
        run = self.run_to_end(fake, "list", "--json", "--application", "clip")
        self.assertEqual([b["name"] for b in json.loads(run.stdout)["buffers"]], ["clip"])
        run = self.run_to_end(fake, "list", "--application", "none")
        self.assertEqual(run.stdout, b"There are no buffers.\n")

    def test_names_in_a_guest(self) -> None:
        fake = self.fake()
        fake.answers["buffers"] = {"buffers": [listed("clip"), listed("new", state="making")]}
        self.assertEqual(self.run_to_end(fake, "list", "--names").stdout, b"clip\n")

    def test_show(self) -> None:
        fake = self.fake("hostmux")
        fake.answers["buffers"] = {"buffers": [
            listed("clip", link="web1", properties={"a": "b", "c": "\x1b[31m"},
                   read_only_for="guest", notices=2, node="/run/hostmux/web1/shm/clip")]}
        text = self.run_to_end(fake, "show", "web1/clip").stdout.decode()
        for part in ("web1/clip: ready, 1048576 bytes\n", "owner: guest paint(1000)\n",
                     "read only for: guest\n", "  a=b\n", "node: /run/hostmux/web1/shm/clip\n",
                     "  1 handle here, 2 notices, id 00000000000000aa\n"):
            self.assertIn(part, text)
        self.assertNotIn("\x1b", text)
        answer = json.loads(self.run_to_end(fake, "show", "--json", "web1/clip").stdout)
        self.assertEqual((answer["name"], answer["link"]), ("clip", "web1"))
        self.assert_says(NO_BUFFER, "web1/c: no-buffer: there",
                         self.run_to_end(fake, "show", "web1/c"))
        self.assert_says(BAD_NAME, "clip: bad-name: on the host",
                         self.run_to_end(fake, "show", "clip"))
        self.assert_says(BAD_NAME, "web1/clip: bad-name: in a guest",
                         self.run_to_end(self.fake(), "show", "web1/clip"))

    def test_old_daemon(self) -> None:
        fake = self.fake()
        fake.answers["buffers"] = {"ok": False, "error": {"code": "no-verb", "text": "what?"}}
        self.assert_says(ERROR, "what?", self.run_to_end(fake, "list"))

    def test_release(self) -> None:
        fake = self.fake()
        run = self.run_to_end(fake, "release", "clip")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))
        self.assertEqual(fake.asked.get(timeout=PATIENCE), {"verb": "release", "buffer": "clip"})
        fake.answers["release"] = {"ok": False, "error": {"code": "denied", "text": "not yours"}}
        self.assert_says(DENIED, "clip: denied: not yours", self.run_to_end(fake, "release", "clip"))


class Create(FakeTest):
    def create(self, fake: FakeDaemon, *arguments: str) -> tuple[Muxctl, Handle]:
        running = self.begin(fake, "create", "clip", *arguments)
        return running, fake.handle()

    def test_held_until_a_signal(self) -> None:
        fake = self.fake()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            running, handle = self.create(fake, "--size", "1M")
            running.wait_for("\n", "stdout")
            self.assertEqual(running.out, "clip: ready, 1048576 bytes\n")
            handle.notice(1, 0, 10)  # is nothing to it
            handle.properties({"a": "b"})
            running.process.send_signal(number)
            self.assertEqual((running.wait(), running.err), (0, ""))
            handle.closed()

    def test_request(self) -> None:
        fake = self.fake()
        running, _ = self.create(fake, "--size", "4M", "--property", "a=b=c", "--property",
                                 "empty=", "--read-only-for", "guest", "--json")
        self.assertEqual(fake.asked.get(timeout=PATIENCE), {
            "create": "clip", "size": 4 * MIB, "properties": {"a": "b=c", "empty": ""},
            "read_only_for": "guest"})
        running.wait_for("\n", "stdout")
        answer = json.loads(running.out)
        self.assertEqual({key: answer[key] for key in ("name", "size", "properties")},
                         {"name": "clip", "size": MIB, "properties": {"a": "b=c", "empty": ""}})
        running, _ = self.create(fake, "--from", "/frames")
        self.assertEqual(fake.asked.get(timeout=PATIENCE)["from"], "/frames")

    def test_sizes(self) -> None:
        fake = self.fake()
        for text, size in (("1048576", MIB), ("1024k", MIB), ("1024K", MIB), ("1024KiB", MIB),
                           ("3M", 3 * MIB), ("3m", 3 * MIB), ("3MB", 3 * MIB),
                           ("3MiB", 3 * MIB), ("64k", 65536), ("2G", 2 << 30), ("1T", 1 << 40), ("17B", 17)):
            running, _ = self.create(fake, "--size", text)
            self.assertEqual(fake.asked.get(timeout=PATIENCE)["size"], size, text)
        for text in ("", "M", "-1", " 1", "1MBs", "1x", "1MiBs", "1.5M", "0x10", "16777216T",
                     "18446744073709551615", "99999999999999999999"):
            run = self.run_to_end(fake, "create", "clip", "--size", text)
            self.assert_says(USAGE, "--size takes", run)

    def test_gone(self) -> None:
        fake = self.fake()
        running, handle = self.create(fake, "--size", "1M")
        running.wait_for("\n", "stdout")
        handle.gone("reset")
        handle.closed()
        self.assertEqual(running.wait(), GONE)
        self.assertEqual(running.err, "muxctl: clip: the buffer is gone: reset "
                         "(the other side's daemon started anew)\n")

    def test_daemon_goes(self) -> None:
        fake = self.fake()
        running, _ = self.create(fake, "--size", "1M")
        running.wait_for("\n", "stdout")
        fake.die()
        self.assertEqual(running.wait(), NO_DAEMON)
        self.assertEqual(running.err.count("\n"), 1)

    def test_refusals(self) -> None:
        fake = self.fake()
        for code, status in (("exists", EXISTS), ("no-buffer", NO_BUFFER), ("denied", DENIED),
                             ("limit", LIMIT), ("timeout", TIMEOUT), ("link-down", LINK_DOWN),
                             ("bad-name", BAD_NAME), ("bad-size", USAGE), ("no-memory", UNSHARED),
                             ("unmappable", UNSHARED), ("failed", ERROR), ("bad-request", ERROR),
                             ("never-heard", ERROR)):
            fake.refusal = {"code": code, "text": "some words"}
            run = self.run_to_end(fake, "create", "clip", "--size", "1M")
            self.assert_says(status, f"clip: {code}: some words", run)

    def test_usage(self) -> None:
        fake = self.fake()
        for arguments in ((), ("clip",), ("clip", "--size", "1M", "--read-only-for", "both"),
                          ("clip", "--size", "1M", "--property", "a"),
                          ("clip", "--size", "1M", "--property", "=a"),
                          ("clip", "--size", "1M", "--timeout", "0")):
            self.assert_says(USAGE, "", self.run_to_end(fake, "create", *arguments))
        self.assert_says(USAGE, "which command", self.run_to_end(fake))
        self.assert_says(USAGE, "'buffer paint' is not a command; there are list, create, ",
                         self.run_to_end(fake, "paint"))
        self.assertEqual(self.run_to_end(fake, "--help").returncode, 0)

    def test_output_that_nobody_reads(self) -> None:
        fake = self.fake()
        read, write = os.pipe()
        os.close(read)
        running = self.begin(fake, "create", "clip", "--size", "1M", stdout=write)
        os.close(write)
        fake.handle().closed()
        self.assertEqual(running.wait(), BROKEN)


class Command(FakeTest):
    def start(self, *command: str, fake: FakeDaemon | None = None,
              **keys: Any) -> tuple[Muxctl, Handle]:
        fake = fake or self.fake()
        running = self.begin(fake, "create", "clip", "--size", "1M", "--", *command, **keys)
        return running, fake.handle()

    def test_status(self) -> None:
        fake = self.fake()
        for script, status in (("echo $GUESTMUX_BUFFER", 0), ("exit 7", 7), ("kill -9 $$", 137)):
            running, handle = self.start("sh", "-c", script, fake=fake)
            self.assertEqual((running.wait(), running.err), (status, ""))
            handle.closed()
            self.assertEqual(running.out, "clip\n" if "echo" in script else "")

    def test_not_started(self) -> None:
        fake = self.fake()
        for program, status in (("/nonexistent", 127), ("/", 126)):
            running, handle = self.start(program, fake=fake)
            handle.closed()
            self.assertEqual(running.wait(), status)
            self.assertEqual(running.err.count("\n"), 1)

    def test_signals(self) -> None:
        """They are the command's, and the buffer is there until it has ended."""
        running, handle = self.start("sh", "-c", WAITS)
        running.wait_for("on", "stdout")
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 5)
        handle.closed()

    def test_terminal(self) -> None:
        """^C reaches the command once, from the terminal."""
        fake = self.fake()
        script = "trap 'n=$((n+1)); echo int$n' INT; echo on; read x; read x; exit 3"
        terminal = Terminal([str(BIN / "muxctl"), "--socket", str(fake.socket), "buffer", "create",
                             "clip", "--size", "1M", "--", "bash", "-c", script])
        self.addCleanup(terminal.end)
        terminal.wait_for(lambda: "on" in terminal.text, "the command")
        terminal.press("\x03")
        terminal.wait_for(lambda: "int1" in terminal.text, "a signal")
        terminal.press("\r\r")
        self.assertEqual(terminal.wait(), 3)
        self.assertNotIn("int2", terminal.text)

    def test_gone(self) -> None:
        """The command is asked to end, and it is waited for."""
        running, handle = self.start("sh", "-c", WAITS)
        running.wait_for("on", "stdout")
        handle.gone("released")
        handle.closed()
        self.assertEqual(running.wait(), GONE)
        self.assertIn("gone: released", running.err)
        self.assertIn("asked", running.out)

    def test_nohup(self) -> None:
        """What was to be ignored is ignored, also by the command."""
        fake = self.fake()
        running = Muxctl(fake, "buffer", "create", "clip", "--size", "1M",  # type: ignore[arg-type]
                         preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.addCleanup(running.end)
        running.wait_for("ready", "stdout")
        running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 0)

    def test_descriptors(self) -> None:
        """The command has none of ours, so the memory ends with us."""
        running, _ = self.start("ls", "-l", "/proc/self/fd")
        self.assertEqual(running.wait(), 0)
        self.assertEqual(len(re.findall("(?m) ([0-9]+) ->", running.out)), 4, running.out)


class Carry(FakeTest):
    def test_cat(self) -> None:
        fake = self.fake()
        data = pattern(1, MIB)
        fake.memory[:] = data
        for arguments, start, end in (((), 0, MIB), (("--offset", "4k"), 4096, MIB),
                                      (("--offset", "10", "--length", "100"), 10, 110),
                                      (("--length", "0"), 0, 0)):
            run = self.run_to_end(fake, "cat", "clip", *arguments)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            self.assertEqual(run.stdout, data[start:end])
            request = fake.asked.get(timeout=PATIENCE)
            self.assertEqual(request, {"open": "clip", "write": False})
        for arguments in (("--offset", "1025k"), ("--length", "2M"),
                          ("--offset", "1M", "--length", "1"), ("--length", "x")):
            self.assert_says(USAGE, "", self.run_to_end(fake, "cat", "clip", *arguments))

    def test_at_the_end(self) -> None:
        """There is nothing, and that is said, whatever one wants there."""
        fake = self.fake()
        for command in ("cat", "fill", "notify"):
            run = self.run_to_end(fake, command, "clip", "--offset", "1M", data=b"x")
            self.assert_says(USAGE, "clip: --offset 1048576 is not before its end", run)
            self.assertEqual(self.heard(fake), [])

    def test_cat_into_a_file(self) -> None:
        fake = self.fake(size=8 * MIB)
        fake.memory[:] = pattern(2, 8 * MIB)
        path = self.folder / "copy"
        with path.open("wb") as stdout:
            running = self.begin(fake, "cat", "clip", stdout=stdout)
            self.assertEqual(running.wait(), 0)
        self.assertEqual(path.read_bytes(), fake.memory[:])

    def test_cat_gone(self) -> None:
        """It does not hold the memory for a reader that is slow."""
        fake = self.fake(size=4 * MIB)
        running = self.begin(fake, "cat", "clip", stdout=subprocess.PIPE)
        running.selector.unregister(running.process.stdout)  # it is not read
        handle = fake.handle()
        handle.gone("owner")
        handle.closed()
        self.assertEqual(running.process.wait(PATIENCE), GONE)

    def test_cat_shrinks(self) -> None:
        """The memory is somebody's file that he truncates: that is no crash."""
        fake = self.fake(size=4 * MIB)
        running = self.begin(fake, "cat", "clip", stdout=subprocess.PIPE)
        running.selector.unregister(running.process.stdout)
        fake.handle()
        assert running.process.stdout
        self.assertEqual(len(running.process.stdout.read(4096)), 4096)
        os.truncate(fake.memfd, 0)
        while running.process.stdout.read(1 << 16):
            pass
        self.assertEqual(running.process.wait(PATIENCE), GONE)
        os.truncate(fake.memfd, 4 * MIB)

    def test_cat_nobody_reads(self) -> None:
        fake = self.fake()
        running = self.begin(fake, "cat", "clip")
        assert running.process.stdout
        running.selector.unregister(running.process.stdout)
        running.process.stdout.close()
        self.assertEqual(running.wait(), BROKEN)

    def heard(self, fake: FakeDaemon) -> list[tuple[int, ...]]:
        """The ranges that were notified by the last one that opened it."""
        handle = fake.handle()
        ranges = []
        while record := handle.heard():
            self.assertEqual(record[0], NOTIFY)
            ranges.append(struct.unpack("<QQ", record[1]))
        return ranges

    def test_fill(self) -> None:
        fake = self.fake()
        data = pattern(3, MIB)
        path = self.folder / "data"
        path.write_bytes(data[:5000])
        for arguments, given, start, size in (
                ((), data, 0, MIB), (("-",), data[:77], 0, 77),
                (("--offset", "4k"), data[:100], 4096, 100),
                ((str(path), "--offset", "1"), b"", 1, 5000)):
            fake.memory[:] = bytes(MIB)
            run = self.run_to_end(fake, "fill", "clip", *arguments, data=given)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))
            self.assertEqual(fake.memory[:], bytes(start) + data[:size] + bytes(MIB - size - start))
            self.assertEqual(self.heard(fake), [(start, size)])
            self.assertEqual(fake.asked.get(timeout=PATIENCE), {"open": "clip", "write": True})
        run = self.run_to_end(fake, "fill", "clip", "--quiet", data=b"x")
        self.assertEqual((run.returncode, self.heard(fake)), (0, []))
        run = self.run_to_end(fake, "fill", "clip")
        self.assertEqual((run.returncode, self.heard(fake)), (0, []))

    def test_fill_too_much(self) -> None:
        fake = self.fake()
        run = self.run_to_end(fake, "fill", "clip", "--offset", "1048570", data=b"1234567")
        self.assert_says(BROKEN, "there is room for 6 bytes", run)
        self.assertEqual(self.heard(fake), [(MIB - 6, 6)])
        self.assertEqual(fake.memory[-6:], b"123456")

    def test_fill_gone(self) -> None:
        """It does not hold the memory for an input that is slow."""
        fake = self.fake()
        running = self.begin(fake, "fill", "clip", stdin=subprocess.PIPE)
        handle = fake.handle()
        assert running.process.stdin
        running.process.stdin.write(b"x")
        running.process.stdin.flush()
        wait_until(lambda: fake.memory[0] == ord("x"), "it is written")
        handle.gone("owner")
        self.assertIsNone(handle.heard())
        self.assertEqual(running.wait(), GONE)

    def test_fill_not_allowed(self) -> None:
        fake = self.fake()
        fake.refusal = {"code": "denied", "text": "it is read only here"}
        for arguments in (("fill", "clip"), ("notify", "clip"), ("set", "clip", "a=b")):
            self.assert_says(DENIED, "read only", self.run_to_end(fake, *arguments))
        run = self.run_to_end(fake, "fill", "clip", "/nonexistent")
        self.assert_says(USAGE, "/nonexistent", run)

    def test_notify(self) -> None:
        fake = self.fake()
        for arguments, expected in (((), (0, MIB)), (("--offset", "1k"), (1024, MIB - 1024)),
                                    (("--offset", "5", "--length", "6"), (5, 6))):
            run = self.run_to_end(fake, "notify", "clip", *arguments)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))
            self.assertEqual(self.heard(fake), [expected])
        self.assert_says(USAGE, "", self.run_to_end(fake, "notify", "clip", "--offset", "2M"))


class Watch(FakeTest):
    def test_lines(self) -> None:
        fake = self.fake()
        fake.properties = {"a": "b"}
        running = self.begin(fake, "watch", "clip")
        handle = fake.handle()
        running.wait_for("ready", "stdout")
        handle.notice(17, 4096, 100)
        handle.properties({"a": "c", "d": "\u009b31m"})
        handle.gone("released")
        self.assertEqual((running.wait(), running.err), (0, ""))
        handle.closed()
        lines = [re.sub(r"^\d\d:\d\d:\d\d\.\d\d\d (\S+) +", r"\1 ", line)
                 for line in running.out.splitlines()]
        self.assertEqual(lines, ["ready 1048576 bytes a=b", "notice 17: 100 bytes at 4096",
                                 "properties a=c d=?31m", "gone released"])

    def test_json(self) -> None:
        fake = self.fake()
        running = self.begin(fake, "watch", "clip", "--json")
        handle = fake.handle()
        handle.notice(1, 2, 3)
        handle.properties({"a": "b"})
        handle.gone("owner")
        self.assertEqual(running.wait(), 0)
        events = [json.loads(line) for line in running.out.splitlines()]
        for event in events:
            self.assertRegex(event.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(events[0]["buffer"]["name"], "clip")
        self.assertEqual(events[1:], [
            {"event": "notice", "sequence": 1, "offset": 2, "length": 3},
            {"event": "properties", "properties": {"a": "b"}},
            {"event": "gone", "reason": "owner"}])

    def test_ends(self) -> None:
        fake = self.fake()
        running = self.begin(fake, "watch", "clip")
        running.wait_for("ready", "stdout")
        fake.die()
        self.assertEqual(running.wait(), NO_DAEMON)
        fake.handle()
        running = self.begin(fake, "watch", "clip")
        running.wait_for("ready", "stdout")
        assert running.process.stdout
        running.selector.unregister(running.process.stdout)
        running.process.stdout.close()  # "… | head -1"
        self.assertEqual(running.wait(), BROKEN)
        fake.handle().closed()
        fake.refusal = {"code": "no-buffer", "text": "there is none"}
        self.assert_says(NO_BUFFER, "there is none", self.run_to_end(fake, "watch", "clip"))


class Wait(FakeTest):
    def test_there(self) -> None:
        fake = self.fake("hostmux")
        fake.answers["buffers"] = {"buffers": [listed("clip", link="web1")]}
        run = self.run_to_end(fake, "wait", "web1/clip", "--timeout", "0")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))

    def test_comes(self) -> None:
        """As an event; others are nothing to it."""
        fake = self.fake()
        fake.events = [{"event": "buffer-added", "buffer": listed("other")},
                       {"event": "buffer-removed", "buffer": listed("clip"), "reason": "owner"},
                       {"event": "buffer-added", "buffer": listed("clip")}]
        run = self.run_to_end(fake, "wait", "clip", "--timeout", str(PATIENCE))
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))
        self.assertEqual(fake.asked.get(), {"verb": "buffers"})
        self.assertEqual(fake.asked.get(), {"verb": "events", "only": ["buffers"]})

    def test_lost(self) -> None:
        """It may have been among those, so it asks anew."""
        fake = self.fake()
        fake.events = [{"event": "lost", "count": 3}]
        running = self.begin(fake, "wait", "clip")
        for _ in range(3):
            fake.asked.get(timeout=PATIENCE)
        fake.events = [{"event": "buffer-added", "buffer": listed("clip")}]
        self.assertEqual((running.wait(), running.out, running.err), (0, "", ""))

    def test_not_there(self) -> None:
        fake = self.fake()
        for seconds in ("0", "0.2"):
            run = self.run_to_end(fake, "wait", "clip", "--timeout", seconds)
            self.assert_says(TIMEOUT, f"clip: not there within {seconds} s", run)
        for name in ("web1/clip", "a b", "/clip"):
            self.assert_says(BAD_NAME, "bad-name: ", self.run_to_end(fake, "wait", name))
        self.assert_says(USAGE, "--timeout", self.run_to_end(fake, "wait", "a", "--timeout", "-1"))

    def test_daemon_dies(self) -> None:
        fake = self.fake()
        running = self.begin(fake, "wait", "clip")
        while fake.asked.get(timeout=PATIENCE)["verb"] != "events":
            pass
        fake.die()
        self.assertEqual(running.wait(), NO_DAEMON)
        self.assertEqual(running.err.count("\n"), 1)


class Set(FakeTest):
    def answer(self, fake: FakeDaemon, properties: dict[str, str],
               heard: queue.Queue[Any]) -> None:
        """What a daemon does when somebody sets something: it says what there is then."""
        handle = fake.handle()
        heard.put(handle.heard())
        handle.notice(5, 0, 1)
        handle.properties(properties)

    def set(self, fake: FakeDaemon, properties: dict[str, str],
            *arguments: str) -> tuple[subprocess.CompletedProcess[bytes], Any]:
        heard: queue.Queue[Any] = queue.Queue()
        thread = threading.Thread(target=self.answer, args=(fake, properties, heard))
        thread.start()
        self.addCleanup(thread.join)
        run = self.run_to_end(fake, "set", "clip", *arguments)
        kind, payload = heard.get(timeout=PATIENCE)
        self.assertEqual(kind, SET)
        return run, json.loads(payload)

    def test_set(self) -> None:
        fake = self.fake()
        fake.properties = {"old": "1", "same": "2"}
        run, said = self.set(fake, {"same": "2", "a": "b=c"}, "a=b=c", "old=", "same=2")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))
        self.assertEqual(said, {"a": "b=c", "old": None, "same": "2"})
        run, _ = self.set(fake, {"old": "1", "same": "2"}, "a=b")
        self.assert_says(ERROR, "does not take", run)

    def test_usage(self) -> None:
        fake = self.fake()
        for arguments in (("clip",), ("clip", "a"), ("clip", "=a")):
            self.assert_says(USAGE, "", self.run_to_end(fake, "set", *arguments))


REGION = {"state": "on", "size": 16 * MIB, "epoch": 3, "from_bytes": 16384,
          "shared_bytes": 5_000_000, "inline_bytes": 123, "slots_used": 2, "slots": 64}


class Regions(FakeTest):
    """What status, top and events make of memory."""

    def link(self, **memory: Any) -> dict[str, Any]:
        return {"name": "web1", "state": "up", "memory": memory, "channels": []}

    def test_status(self) -> None:
        fake = self.fake("hostmux")
        off = {"state": "off", "why": "the guest's kernel is locked down"}
        never = REGION | {"from_bytes": None}
        fake.answers["status"] = {"links": [self.link(qmp="connected", out=REGION, **{"in": off}),
                                            self.link(out=never), {"name": "old", "state": "up"}]}
        text = muxctl(fake, "status").stdout.decode()  # type: ignore[arg-type]
        for line in ("  QMP: connected\n",
                     "  memory out: on, from 16384 bytes on; 5.0M shared, 123 inline; "
                     "2 of 64 slots in use\n",
                     "  memory in: off: the guest's kernel is locked down\n",
                     "  memory out: on, not used: it is not faster here; 5.0M shared"):
            self.assertIn(line, text)
        self.assertEqual(text.count("  memory "), 3)
        received = {key: value for key, value in REGION.items() if key != "from_bytes"}
        fake.answers["status"] = {"links": [self.link(**{"in": received})]}
        text = muxctl(fake, "status").stdout.decode()  # type: ignore[arg-type]
        self.assertIn("  memory in: on; 5.0M shared, 123 inline; 2 of 64 slots in use\n", text)
        fake.answers["status"] = {"links": [self.link(out=off, **{"in": off})]}
        text = muxctl(fake, "status").stdout.decode()  # type: ignore[arg-type]
        self.assertIn("  no shared memory: the guest's kernel is locked down\n", text)
        self.assertEqual(text.count("memory"), 1)

    def test_top(self) -> None:
        fake = self.fake("hostmux")
        fake.answers["status"] = {"links": [self.link(out=REGION, **{"in": {"state": "proving"}}),
                                            {"name": "old", "state": "up"}]}
        run = muxctl(fake, "top", "--interval", "0.1")  # type: ignore[arg-type]
        rows = [line.split() for line in run.stdout.decode().splitlines()]
        self.assertEqual([row[-2:] for row in rows[2:5]],
                         [["MEM-IN", "MEM-OUT"], ["proving", "on"], ["-", "-"]])

    def test_top_part(self) -> None:
        """How much of what went in the interval was shared."""
        fake = self.fake("hostmux")
        later = REGION | {"shared_bytes": 8_000_000, "inline_bytes": 1_000_123}
        terminal_answers = iter([REGION, later])

        class Changing(dict[str, Any]):
            def get(self, key: str, default: Any = None) -> Any:
                return {"links": [{"name": "a", "state": "up",
                                   "memory": {"in": next(terminal_answers)}}]}

        fake.answers = Changing()
        run = muxctl(fake, "top", "--interval", "0.1", "--json")  # type: ignore[arg-type]
        region = json.loads(run.stdout)["links"][0]["memory"]["in"]
        self.assertEqual(round(region["shared_rate"] / region["inline_rate"], 1), 3.0)

    def test_events(self) -> None:
        fake = self.fake("hostmux")
        buffer = listed("clip", link="web1", properties={"a": "b"})
        fake.events = [{"event": "buffer-added", "buffer": buffer},
                       {"event": "buffer-changed", "buffer": buffer},
                       {"event": "buffer-removed", "buffer": buffer, "reason": "owner"}]
        running = Muxctl(fake, "events", "--only", "buffers",  # type: ignore[arg-type]
                         "--application", "clip")
        self.addCleanup(running.end)
        running.wait_for("buffer-removed", "stdout")
        running.wait_for("\n", "stdout", 3)
        self.assertEqual(fake.asked.get(timeout=PATIENCE), {
            "verb": "events", "only": ["buffers"], "application": "clip"})
        lines = [line.split(" ", 1)[1] for line in running.out.splitlines()]
        self.assertEqual(lines, ["buffer-added    web1 clip 1MiB by guest paint(1000) a=b",
                                 "buffer-changed  web1 clip 1MiB by guest paint(1000) a=b",
                                 "buffer-removed  web1 clip owner (its owner is gone)"])
        for arguments in (("--application", "clip"),
                          ("--only", "buffers,links", "--application", "clip")):
            run = muxctl(fake, "events", *arguments)  # type: ignore[arg-type]
            self.assert_says(USAGE, "--only buffers", run)


if __name__ == "__main__":
    unittest.main()
