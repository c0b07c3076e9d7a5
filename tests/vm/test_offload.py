#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Channels whose bulk goes through shared memory, in a real guest: whole, whatever ends."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import unittest
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from shared import MIB, Q35, SharedCase
from stack import (
    BIN, ECHO, GUEST_SOCKET, NOISE, VM_NAME, Handler, read_all, shell, wait_for,
)  # fmt: skip

BULK = 4 * MIB
#: Each session measures from which size on shared memory is used; what is moved here is about that
#: large, unless a busy machine measures something else again and again.
USUAL, TRIES = 16384, 5
#: So many channels wait until somebody reads them, with so much in each.
LATE_ONES, LATE = 8, 2 * MIB
GO = "/tmp/go"


def late(go: Path | str) -> Handler:
    """Reads when somebody has opened that pipe."""
    return shell(f": <{go}; exec sha256sum")


def fill(sock: socket.socket) -> None:
    """Write until nothing is taken for a while."""
    sock.settimeout(0.3)
    try:
        while True:
            sock.send(bytes(MIB))
    except TimeoutError:
        pass


def noise_sum(seed: int, size: int = BULK) -> str:
    run = subprocess.run([NOISE, str(seed), str(size)], capture_output=True, check=True)
    return hashlib.sha256(run.stdout).hexdigest()


class Offload(SharedCase):
    offload = True
    guest_services = {
        "gecho": ECHO, "gsum": shell("sha256sum"), "gzeros": shell("exec cat /dev/zero"),
        "gnoise": shell(f"exec noise 3 {BULK}"), "gstuck": shell("exec sleep 60 >&-"),
        "glate": late(GO),
    }  # fmt: skip
    host_services = {
        "echo": ECHO, "sum": shell("sha256sum"), "zeros": shell("exec cat /dev/zero"),
        "noise": shell(f"exec {NOISE} 4 {BULK}"), "sink": shell("exec cat >/dev/null"),
    }  # fmt: skip

    # ---- the regions ----

    def begin(self, tries: int = 2) -> None:
        """Both daemons, until both directions are used as usual; or not, after so many tries."""
        self.start()
        for _ in range(tries - 1):
            self.wait_measured()
            if all(size and size <= USUAL for size in self.thresholds()):
                return
            self.host.stop()
            self.host.start(None)
            self.wait_again()
        self.wait_measured()
        self.say(f"measured to be worth it from {self.thresholds()} bytes on")

    def wait_again(self) -> None:
        self.wait_qmp()
        self.host.wait_up()
        self.guest.wait_up()

    def wait_measured(self) -> None:
        def measured() -> bool:
            both = self.memory(), self.guest.link()["memory"]
            return {memory[side]["state"] for memory in both for side in ("out", "in")} == {"on"}

        wait_for(measured, 10, self.logs)

    def thresholds(self) -> tuple[Any, Any]:
        return self.memory()["out"]["from_bytes"], self.guest.link()["memory"]["out"]["from_bytes"]

    def went(self) -> Counter[str]:
        """Bytes from the host ("out") and from the guest, which way."""
        memory = self.memory()
        return Counter({f"{side} {way}": memory[side][f"{way}_bytes"]
                        for side in ("out", "in") for way in ("shared", "inline")})  # fmt: skip

    def slots_used(self) -> tuple[int, int]:
        return (self.memory()["out"]["slots_used"],
                self.guest.link()["memory"]["out"]["slots_used"])  # fmt: skip

    def credits(self) -> list[int]:
        return [c["credit"] for link in (self.host.link(), self.guest.link())
                for c in link["channels"]]  # fmt: skip

    def wait_nothing_open(self) -> None:
        """No channel, and each sender has all of its slots back."""
        wait_for(lambda: self.host.link()["channels_open"] == 0, 5, self.logs)
        wait_for(lambda: self.guest.link()["channels_open"] == 0, 5, self.logs)
        wait_for(lambda: self.slots_used() == (0, 0), 5, self.logs)

    # ---- what is moved ----

    def move(self) -> None:
        """Both ways, for ever; it is under way."""
        self.bulk = [self.vm.spawn("exec muxctl connect zeros </dev/null >/dev/null"),
                     self.vm.spawn("exec muxctl connect sink </dev/zero")]  # fmt: skip
        before = self.went()
        wait_for(lambda: all(n > MIB for n in self.moved(before)), 10, self.logs)

    def moved(self, before: Counter[str]) -> tuple[int, int]:
        new = self.went()
        new.subtract(before)
        return (new["out shared"] + new["out inline"], new["in shared"] + new["in inline"])

    def wait_bulk_ended(self) -> None:
        for app in self.bulk:
            app.wait(10)

    def check_whole(self) -> None:
        """Four streams at once; the sums are said when the stream's end has come."""
        up = self.vm.spawn(f"noise 1 {BULK} | muxctl connect sum")
        down = self.vm.spawn("muxctl connect noise </dev/null | sha256sum")
        with self.host.open("gnoise") as from_guest, self.host.open("gsum") as to_guest:
            to_guest.settimeout(None)  # for noise, which shares the setting
            with subprocess.Popen([NOISE, "2", str(BULK)], stdout=to_guest.fileno()) as noise:
                digest = hashlib.sha256()
                while piece := from_guest.recv(MIB):
                    digest.update(piece)
            self.assertEqual(noise.returncode, 0)
            to_guest.shutdown(socket.SHUT_WR)
            ours = read_all(to_guest).split()[0].decode()
        self.assertEqual((up.wait(30), down.wait(30)), (0, 0), up.output() + down.output())
        sums = [up.output().split()[0], ours, digest.hexdigest(), down.output().split()[0]]
        self.assertEqual(sums, [noise_sum(seed) for seed in (1, 2, 3, 4)])

    def check_again(self, before: list[int]) -> None:
        """A new session has new epochs; all is as it was at first."""
        self.wait_measured()
        self.assertFalse(set(before) & set(self.epochs()))
        self.check_whole()
        self.wait_nothing_open()

    def epochs(self) -> list[int]:
        memory = self.memory()
        return [memory["out"]["epoch"], memory["in"]["epoch"]]

    def check_devices(self) -> None:
        """None is left of an earlier life."""
        wait_for(lambda: len(self.plugged()) == 4, 15, lambda: f"{self.plugged()}{self.logs()}")
        wait_for(lambda: len(self.memfds()) == len(self.memfds(self.vm.pid)), 5, self.logs)


class OnQ35(Offload):
    """Plugged by hostmux, through QMP."""

    hardware = Q35

    def test_three_ways(self) -> None:
        """Large, small, and both at once: all of it arrives, and went where it should."""
        self.begin(TRIES)
        thresholds = dict(zip(("out", "in"), self.thresholds(), strict=True))
        start = self.went()
        self.check_whole()
        large = self.went() - start
        output = self.vm.check(f"many -c 20 -k 20 {GUEST_SOCKET} echo")
        self.assertRegex(output, "done 20 closed 0 half 0 wrong 0 ")
        small = self.went() - large - start
        for side, threshold in thresholds.items():
            self.assertGreaterEqual(large[f"{side} shared"] + large[f"{side} inline"], 2 * BULK)
            if threshold and threshold <= USUAL:
                self.assertGreater(large[f"{side} shared"], BULK)
            if threshold and threshold >= 4096:  # its pieces are smaller
                self.assertGreater(small[f"{side} inline"], small[f"{side} shared"])
        many = self.vm.spawn(f"many -c 20 {GUEST_SOCKET} echo")
        self.vm.wait_until(f"grep -q 'all open' {many.log}")
        self.check_whole()
        many.kill()
        many.wait()
        self.assertRegex(many.output(), " half 0 wrong 0 ")
        self.wait_nothing_open()

    def test_reset(self) -> None:
        """Whoever reads or writes is killed in the middle."""
        self.begin()
        for _ in range(2):
            self.move()
            with self.host.open("gzeros") as from_guest, self.host.open("gstuck") as to_guest:
                from_guest.recv(MIB)
                fill(to_guest)
            for app in self.bulk:
                app.kill("KILL")
            # What it does not read waits for it in slots, as long as it lives.
            self.vm.wait_until("killall -KILL sleep")
            self.wait_nothing_open()
        self.check_whole()

    def test_nobody_reads(self) -> None:
        """What they hold is bounded; others go on, through what is left or through the port."""
        go = self.host.folder / "go"
        os.mkfifo(go)
        self.vm.check(f"mkfifo {GO}")
        self.host.service("late", late(go))
        self.begin()
        command = f"{NOISE} 6 {LATE} | {BIN}/muxctl --socket {self.host.socket} connect"
        apps = [self.vm.spawn(f"noise 5 {LATE} | muxctl connect late") for _ in range(LATE_ONES)]
        ours = [self.host.app("/bin/sh", "-c", f"{command} {VM_NAME}/glate")
                for _ in range(LATE_ONES)]  # fmt: skip

        def held() -> list[int]:
            """What waits in the daemons, for each channel."""
            ways = ((self.host.link(), "late"), (self.guest.link(), "glate"))
            return [c["unread"] for link, name in ways
                    for c in link["channels"] if c["service"] == name and c["unread"]]  # fmt: skip

        wait_for(lambda: len(held()) == 2 * LATE_ONES, 20,
                 lambda: f"{held()} {self.credits()}\n{self.logs()}")  # fmt: skip
        self.say(f"slots held: {self.slots_used()}")
        self.check_whole()
        self.check_echo()
        self.vm.check(f": >{GO}; rm {GO}")
        go.write_bytes(b"")
        for app in apps:
            self.assertEqual((app.wait(20), app.output().split()[0]), (0, noise_sum(5, LATE)))
        for process in ours:
            self.assertEqual(process.communicate(timeout=20)[0].split()[0], noise_sum(6, LATE))
        self.wait_nothing_open()

    def test_guestmux_killed(self) -> None:
        self.begin()
        epochs = self.epochs()
        self.move()
        self.guest.stop("KILL")
        self.wait_bulk_ended()
        self.guest.start()
        self.wait_again()
        self.check_again(epochs)

    def test_hostmux_killed(self) -> None:
        self.begin()
        epochs = self.epochs()
        self.move()
        self.host.stop(signal.SIGKILL)
        self.wait_bulk_ended()
        self.host.start(None)
        self.wait_again()
        self.check_again(epochs)
        self.check_devices()

    def test_guest_reset(self) -> None:
        self.begin()
        epochs = self.epochs()
        self.move()
        self.vm.reset()
        self.guest.start()
        self.wait_again()
        self.check_again(epochs)
        self.check_devices()


class Files(Offload):
    """Files that QEMU has had from its start; nothing of QMP."""

    test_three_ways = OnQ35.test_three_ways
    test_hostmux_killed = OnQ35.test_hostmux_killed
    test_guest_reset = OnQ35.test_guest_reset

    folder: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(dir="/dev/shm")))
        words: list[str] = []
        for side, readonly in (("out", "on"), ("in", "off")):
            path = cls.folder / side
            with path.open("xb") as file:
                file.truncate(4 * MIB)
            words += ["-object", f"memory-backend-file,id={side},mem-path={path},size={4 * MIB},"
                      f"share=on,readonly={readonly}",
                      "-device", f"ivshmem-plain,memdev={side}"]  # fmt: skip
        cls.hardware = {"machine": "pc", "extra": words}
        super().setUpClass()

    def configure(self, **keys: Any) -> None:
        files: dict[str, Any] = {f"shm-{side}": str(self.folder / side) for side in ("out", "in")}
        super().configure(**{**files, "qmp": None, **keys})

    def check_devices(self) -> None:
        self.assertEqual(self.plugged() + self.memfds(), [])


class OnPc(Offload):
    """Where devices are plugged another way; all else is the same."""

    test_hostmux_killed = OnQ35.test_hostmux_killed


del Offload

if __name__ == "__main__":
    unittest.main(verbosity=2)
