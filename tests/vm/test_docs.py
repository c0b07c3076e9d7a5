#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/shared-memory.md is right: what it says of QEMU's command line, hostmux and muxctl works."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from machine import die_with_parent
from stack import BIN, Guest, Host, guest_vm, wait_for
from vm import ROOT, Background, Vm

PATIENCE_S = 15.0
TEXT = (ROOT / "docs/shared-memory.md").read_text()
#: Of a line that is shown, what is another one each time.
CHANGES = re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b|\bid [0-9a-f]{16}\b|\bsession .*")


def block(beginning: str) -> str:
    """The indented text that begins so."""
    found = re.search(rf"^    {re.escape(beginning)}.*\n(?:    .*\n)*", TEXT, re.M)
    assert found, beginning
    return "".join(line[4:] + "\n" for line in found[0].splitlines())


def alike(text: str) -> list[list[str]]:
    """Words of lines, without those that change."""
    return [CHANGES.sub("…", line).split() for line in text.splitlines() if line.strip()]


def steps() -> Iterator[tuple[str, str, str]]:
    """Side, command and what it prints, of the tour."""
    tour = block("guest$ muxctl buffer create clip")
    pieces = re.split(r"^(host|guest)\$ (.*)\n", tour, flags=re.M)
    yield from zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)


class Page(unittest.TestCase):
    """A VM as the page has it: its paths in a folder of the test's."""

    host: ClassVar[Host]
    vm: ClassVar[Vm]
    folder: ClassVar[Path]

    @classmethod
    def place(cls, text: str) -> str:
        """With its paths in the test's folder."""
        return re.sub(r"/run/(?=web1)|/dev/shm/(?=web1)", f"{cls.folder}/", text)

    @classmethod
    def boot(cls, machine: str, *words: str) -> None:
        cls.host = cls.enterClassContext(Host())
        cls.vm = cls.enterClassContext(guest_vm(machine=machine, extra=words))
        (cls.folder / "web1.sock").symlink_to(cls.vm.port_path)
        Guest(cls.vm).start()

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="guestmux-docs-")
        cls.folder = Path(cls.enterClassContext(folder))

    def begin(self, command: str) -> None:
        """hostmux, as it is called on the page."""
        command = self.place(command)
        self.assertRegex(command, "^hostmux --vm ")
        words: list[str | Path] = [
            BIN / "hostmux", *shlex.split(command)[1:], "--socket", self.host.socket,
            "--services", self.host.folder / "services",
            "--config", self.host.folder / "hostmux.json",
        ]  # fmt: skip
        log = self.enterContext(self.host.log_path.open("ab"))
        process = subprocess.Popen(words, stderr=log, preexec_fn=die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait_for(self.host.answers, PATIENCE_S, self.host.log)
        self.host.wait_up()

    def regions(self) -> list[str]:
        memory = self.host.link()["memory"]
        return [memory[side]["state"] for side in ("out", "in")]


class Plugged(Page):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        text = block("-qmp ") + block("-device pcie-root-port")
        cls.boot("q35", *shlex.split(cls.place(text)))

    def test_tour(self) -> None:
        self.begin(block("hostmux --vm web1=unix:/run/web1.sock,qmp=").strip())
        wait_for(lambda: self.regions() == ["on", "on"], PATIENCE_S, self.host.log)
        self.running: list[tuple[Background | subprocess.Popen[str], str]] = []
        tour = list(steps())
        self.assertGreater(len(tour), 6)
        for side, command, shown in tour:
            with self.subTest(command):
                getattr(self, f"on_{side}")(command, shown)
        for process, shown in self.running:
            if isinstance(process, Background):
                process.wait()
                said = process.output()
            else:
                said = process.communicate(timeout=PATIENCE_S)[0]
            self.assertEqual(alike(said), alike(shown))

    def on_guest(self, command: str, shown: str) -> None:
        if command == "kill %1":
            assert isinstance(self.running[0][0], Background)
            self.running[0][0].kill()
        elif command.endswith(" &"):
            process = self.vm.spawn(f"exec {command[:-2]}")
            self.vm.wait_until(f"test -s {process.log}", PATIENCE_S)
            self.running.append((process, shown))
        else:
            self.assertEqual(alike(self.vm.check(command)), alike(shown))

    def on_host(self, command: str, shown: str) -> None:
        command = command.replace("muxctl", f"{BIN}/muxctl --socket {self.host.socket}")
        self.wait_known()
        if command.endswith(" &"):
            process = subprocess.Popen(["sh", "-c", f"exec {command[:-2]}"], stdout=subprocess.PIPE,
                                       text=True, preexec_fn=die_with_parent)  # fmt: skip
            wait_for(lambda: '"handles":1' in self.listed("--json"), PATIENCE_S)
            self.running.append((process, shown))
            return
        run = subprocess.run(command, shell=True, text=True, capture_output=True, check=True)
        shown = shown.replace("/run/hostmux", f"{self.host.folder}/hostmux")
        self.assertEqual(alike(run.stdout), alike(shown))

    def wait_known(self) -> None:
        wait_for(lambda: "web1/clip" in self.listed("--names"), PATIENCE_S)

    def listed(self, option: str) -> str:
        return self.host.muxctl("buffer", "list", option).stdout


class Files(Page):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        subprocess.run(cls.place(block("truncate ")), shell=True, check=True)
        cls.boot("pc", *shlex.split(cls.place(block("-object "))))

    def test_regions(self) -> None:
        self.begin(block("hostmux --vm web1=unix:/run/web1.sock,shm-out=").strip())
        wait_for(lambda: self.regions() == ["on", "on"], PATIENCE_S, self.host.log)


del Page

if __name__ == "__main__":
    unittest.main(verbosity=2)
