#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Channels through a real port: both ways, names and refusals, bulk, half-close, many at once."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
import time
import unittest

from case import StackCase
from stack import ECHO, GUEST_SOCKET, MANY, NOISE, VM_NAME, read_all, shell, wait_for

MIB = 1 << 20
BULK = 64 * MIB
#: What a handler of `stall` and its app do: write first, read later.
STALL = 8 * MIB


class Channels(StackCase):
    guest_services = {
        "gecho": ECHO,
        "sum": shell("sha256sum"),
        "noise": shell(f"noise 3 {BULK}"),
        "gone": {"connect": "unix:/run/nobody.sock"},
        "full": {**ECHO, "max_channels": 1},
    }
    host_services = {
        "echo": ECHO,
        "sum": shell("sha256sum"),
        "noise": shell(f"{NOISE} 4 {BULK}"),
        "gone": {"connect": "unix:/run/nobody.sock"},
        "full": {**ECHO, "max_channels": 1},
        "others": {**ECHO, "vms": ["other*"]},
        "stuck": shell("exec sleep 60 >&-"),
        "stall": shell(f"{NOISE} 5 {STALL} & sleep 1; sha256sum >&2"),
    }

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def refusal(self, name: str) -> str:
        """What the host's app is told."""
        with self.assertRaises(ConnectionError) as raised:
            self.host.open(name)
        return str(raised.exception)

    def guest_refusal(self, name: str) -> tuple[int, str]:
        status, output = self.vm.run(f"muxctl connect '{name}'")
        return status, output

    # ---- names ----

    def test_both_ways(self) -> None:
        self.check_echo()
        self.assertEqual(self.vm.check("echo hi | muxctl connect echo"), "hi\n")
        answer = self.host.muxctl("connect", f"{VM_NAME}/gecho", input="hi")
        self.assertEqual((answer.returncode, answer.stdout), (0, "hi"))

    def test_names(self) -> None:
        argument = "".join(chr(c) for c in range(1, 256) if chr(c) not in "\n'") * 3
        self.assertEqual(self.ask("gecho:" + argument[:500]), b"hi")
        self.assertEqual(self.vm.check("pipe-client pipe:echo:a/b hi"), "hi")
        self.assertEqual(self.vm.check("printf 'hi' | muxctl connect echo:x=1,y=2"), "hi")

    def ask(self, name: str) -> bytes:
        with self.host.open(name) as channel:
            channel.sendall(b"hi")
            channel.shutdown(socket.SHUT_WR)
            return read_all(channel)

    def test_refusals(self) -> None:
        for name, status, code in [
            ("nosuch", 11, "no-service"),
            ("others", 12, "denied"),
            ("gone", 13, "refused"),
            ("bad name", 17, "bad-name"),
            ("x" * 129, 17, "bad-name"),
        ]:
            with self.subTest(name):
                got, text = self.guest_refusal(name)
                self.assertEqual(got, status, text)
                self.assertIn(code, text)
        for name, code in [
            ("nosuch", "no-service"), ("gone", "refused"), ("bad name", "bad-name"),
        ]:  # fmt: skip
            with self.subTest(f"host: {name}"):
                self.assertRegex(self.refusal(name), f"^ERR {code} .+")

    def test_limit_of_a_service(self) -> None:
        with self.host.open("full"):
            self.assertRegex(self.refusal("full"), "^ERR limit ")
        wait_for(lambda: self.host.link()["channels_open"] == 0, 2)
        self.assertEqual(self.ask("full"), b"hi")
        first = self.vm.spawn("sleep 60 | muxctl connect full")
        wait_for(lambda: self.host.link()["channels_open"] == 1, 2)
        self.assertEqual(self.guest_refusal("full")[0], 14)
        first.kill()

    # ---- the stream's two directions ----

    def test_half_close_by_the_guest(self) -> None:
        """The handler answers after the end of its input."""
        output = self.vm.check("noise 9 100000 | tee /tmp/sent | muxctl connect sum")
        self.assertEqual(output, self.vm.check("sha256sum </tmp/sent"))

    def test_half_close_by_the_host(self) -> None:
        data = subprocess.run([NOISE, "9", "100000"], capture_output=True, check=True).stdout
        with self.host.open("sum") as channel:
            channel.sendall(data)
            channel.shutdown(socket.SHUT_WR)
            answer = read_all(channel).split()[0].decode()
        self.assertEqual(answer, hashlib.sha256(data).hexdigest())

    def test_bulk_both_ways_at_once(self) -> None:
        """64 MiB in each direction for apps of either side: 256 MiB, four checksums."""
        self.vm.check(f"noise 1 {BULK} >/tmp/up")
        begin = time.monotonic()
        up = self.vm.spawn("muxctl connect sum </tmp/up")
        down = self.vm.spawn("muxctl connect noise </dev/null | sha256sum")
        sums: dict[str, str] = {}
        threads = [
            threading.Thread(target=self._host_up, args=(sums,)),
            threading.Thread(target=self._host_down, args=(sums,)),
        ]
        for thread in threads:
            thread.start()
        for app in (up, down):
            self.assertEqual(app.wait(60), 0, app.output())
        for thread in threads:
            thread.join()
        self.say(f"{4 * BULK / MIB / (time.monotonic() - begin):.0f} MiB/s, all four together")
        self.assertEqual(sums.keys(), {"up", "down"})
        self.assertEqual(up.output().split()[0], _noise_sum(1))
        self.assertEqual(down.output().split()[0], _noise_sum(4))
        self.assertEqual(sums["up"], _noise_sum(2))
        self.assertEqual(sums["down"], _noise_sum(3))
        self.vm.check("rm /tmp/up")

    def _host_up(self, sums: dict[str, str]) -> None:
        with self.host.open("sum") as channel:
            channel.setblocking(True)  # for noise, which shares the setting
            subprocess.run([str(NOISE), "2", str(BULK)], stdout=channel.fileno(), check=True)
            channel.shutdown(socket.SHUT_WR)
            sums["up"] = read_all(channel).split()[0].decode()

    def _host_down(self, sums: dict[str, str]) -> None:
        digest = hashlib.sha256()
        with self.host.open("noise") as channel:
            channel.settimeout(60)
            channel.shutdown(socket.SHUT_WR)
            while piece := channel.recv(MIB):
                digest.update(piece)
        sums["down"] = digest.hexdigest()

    def test_both_write_before_they_read(self) -> None:
        """Four channels on which 8 MiB wait in each direction while neither end reads."""
        self.vm.check(f"noise 6 {STALL} >/tmp/up")
        apps = [
            self.vm.spawn("muxctl connect stall </tmp/up | (sleep 1; sha256sum)") for _ in range(4)
        ]
        time.sleep(0.5)
        self.check_echo()
        for app in apps:
            self.assertEqual(app.wait(20), 0, app.output())
            self.assertEqual(app.output().split()[0], _noise_sum(5, STALL))
        wait_for(lambda: self.host.log().count(_noise_sum(6, STALL)) == 4, 5, self.host.log)

    def test_handler_that_never_reads(self) -> None:
        """It fills its window and no more; the others go on, and memory stays where it is."""
        stuck = [self.vm.spawn("cat /dev/zero | muxctl connect stuck") for _ in range(10)]
        wait_for(
            lambda: [c["unread"] > 0 for c in self.host.link()["channels"]] == [True] * 10, 5,
            self.host.log,
        )  # fmt: skip
        self.assertIn("bytes", self.vm.check(f"many -c 50 -k 100 {GUEST_SOCKET} echo", timeout=30))
        link = self.host.link()
        unread = [c["unread"] for c in link["channels"] if c["service"] == "stuck"]
        self.assertEqual(len(unread), 10)
        self.assertLess(sum(unread), link["session"]["budget"])
        credits = [c["credit"] for c in self.guest.link()["channels"] if c["service"] == "stuck"]
        self.assertEqual(credits, [0] * 10)
        for app in stuck:
            app.kill()

    # ---- many ----

    def test_many_of_the_guests(self) -> None:
        begin = time.monotonic()
        output = self.vm.check(f"many -c 500 -k 20 {GUEST_SOCKET} echo", timeout=60)
        self.say(f"500 channels, 20 KiB each, echoed in {time.monotonic() - begin:.2f} s")
        self.assertRegex(output, "all open\nchannels 500 done 500 closed 0 half 0 wrong 0 ")
        self.check_nothing_left()

    def test_many_of_the_hosts(self) -> None:
        begin = time.monotonic()
        app = self.host.app(MANY, "-c", "500", "-k", "20", self.host.socket, f"{VM_NAME}/gecho")
        output, _ = app.communicate(timeout=60)
        self.say(f"500 channels, 20 KiB each, echoed in {time.monotonic() - begin:.2f} s")
        self.assertRegex(output, "all open\nchannels 500 done 500 closed 0 half 0 wrong 0 ")
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        wait_for(lambda: self.host.link()["channels_open"] == 0, 2)
        wait_for(lambda: self.guest.link()["channels_open"] == 0, 2)
        self.assertEqual(self.guest.link()["channels"], [])
        assert self.guest.daemon
        handlers = f"ps -o ppid,comm | grep '^ *{self.guest.daemon.pid} '"
        self.assertEqual(self.vm.run(handlers), (1, ""), "handlers are left in the guest")


_sums: dict[tuple[int, int], str] = {}


def _noise_sum(seed: int, size: int = BULK) -> str:
    """The checksum of what `noise SEED SIZE` prints."""
    if (seed, size) not in _sums:
        run = subprocess.run([NOISE, str(seed), str(size)], capture_output=True, check=True)
        _sums[seed, size] = hashlib.sha256(run.stdout).hexdigest()
    return _sums[seed, size]


if __name__ == "__main__":
    unittest.main(verbosity=2)
