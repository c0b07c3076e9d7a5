# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's clipboard story in five steps: memory of a guest's program and of the host's.

Each command is one that a person could type; what is left out of those that are shown is the path
of the host's socket.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

from machine import die_with_parent
from stack import BIN, GUEST_SOCKET, VM_NAME, Guest, Host
from telling import DemoError, check, detail, say
from vm import Background, Vm

NAME = "clip_buffer"
FULL = f"{VM_NAME}/{NAME}"
OURS, THEIRS = "copied on the host", "copied in the guest"
LIST = "muxctl buffer list --application clipboard"
PATIENCE_S = 10.0
PAUSE_US = 2000


class Clipboard:
    """vm is the guest that asks; another one runs on and has nothing to do with it."""

    def __init__(self, host: Host, vm: Vm, other: Vm) -> None:
        self._host = host
        self._vm = vm
        self._other = other
        self._other_guest = Guest(other)

    def run(self) -> list[tuple[str, str, str]]:
        """The five steps; rows for the closing table."""
        typist = self._start_other()
        with (self._host.folder / "watch.log").open("w+") as self._news:
            app = self._ask()
            node = self._appears()
            took = self._host_writes()
            self._guest_writes(node)
            self._other_runs_on(typist)
            gone = self._everything_gone(app, node)
        return [
            ("a buffer, notified both ways", "ok", f"{took * 1000:.0f} ms from fill to notice"),
            ("its program is killed", "gone", f"{gone * 1000:.0f} ms until nothing is left"),
            ("another guest, meanwhile", "ok", self._figures),
        ]  # fmt: skip

    # ---- typing ----

    def _guest(self, command: str) -> str:
        detail(f"guest$ {command}")
        output = self._vm.check(f"su alice -c {shlex.quote(command)}")
        detail(output)
        return output

    def _spawn(self, command: str) -> Background:
        detail(f"guest$ {command} &")
        return self._vm.spawn(f"exec su alice -c {shlex.quote(f'exec {command}')}")

    def _typed(self, command: str) -> str:
        """With the socket, and our own muxctl."""
        return command.replace("muxctl", f"{BIN}/muxctl --socket {self._host.socket}")

    def _on_host(self, command: str, show: bool = True) -> str:
        run = subprocess.run(self._typed(command), shell=True, capture_output=True, text=True,
                             check=False)  # fmt: skip
        check(run.returncode == 0, f"{command}: {run.stderr}")
        if show:
            detail(f"host$ {command}\n{run.stdout}")
        return run.stdout

    @staticmethod
    def _wait(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"it did not happen: {what}")
            time.sleep(0.005)

    # ---- the steps ----

    def _start_other(self) -> Background:
        self._other_guest.start()
        self._other_guest.wait_up()
        return self._other.spawn(f"pingpong -n 1000000 -i {PAUSE_US} {GUEST_SOCKET} echo")

    def _ask(self) -> Background:
        say("the clipboard, 1: a program in the guest, of user 1000, asks for memory")
        app = self._spawn(f"muxctl buffer create {NAME} --size 1M --property application=clipboard")
        self._vm.wait_until(f"grep -q {NAME} {app.log} || ! pidof muxctl", PATIENCE_S)
        detail(app.output())
        return app

    def _appears(self) -> Path:
        say("the clipboard, 2: it is on the host, for whoever serves clipboards, and as a file")
        self._wait(lambda: FULL in self._on_host(LIST, show=False), "the host has it")
        self._on_host(LIST)
        listed = json.loads(self._on_host(f"{LIST} --json", show=False))
        self._id = listed["buffers"][0]["id"]
        check(self._has_device(), "QEMU has no device for it")
        node = self._host.folder / "hostmux" / VM_NAME / "shm" / NAME
        self._on_host(f"ls {node}")
        return node

    def _host_writes(self) -> float:
        say("the clipboard, 3: the host writes; the guest is told, and reads")
        self._watch = self._spawn(f"muxctl buffer watch {NAME}")
        self._vm.wait_until(f"grep -q ready {self._watch.log}", PATIENCE_S)
        begin = time.monotonic()
        self._on_host(f"echo {OURS} | muxctl buffer fill {FULL}")
        self._vm.wait_until(f"grep -q notice {self._watch.log}", PATIENCE_S)
        took = time.monotonic() - begin
        detail(indent(self._watch.output().strip(), "    "))
        read = self._guest(f"muxctl buffer cat {NAME} --length {len(OURS)}")
        check(read == OURS, f"the guest reads {read!r}")
        return took

    def _guest_writes(self, node: Path) -> None:
        say("the clipboard, 4: the guest writes; the host is told, and reads")
        detail(f"host$ muxctl buffer watch {FULL} &")
        self._host_watch = subprocess.Popen(
            shlex.split(self._typed(f"muxctl buffer watch {FULL}")), stdout=self._news,
            stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._wait(lambda: "ready" in self._heard(), "a program of the host's watches")
        self._guest(f"echo {THEIRS} | muxctl buffer fill {NAME}")
        self._wait(lambda: "notice" in self._heard(), "the host is told")
        detail(indent(self._heard().strip(), "    "))
        read = self._on_host(f"head -c {len(THEIRS)} {node}")
        check(read == THEIRS, f"the host reads {read!r}")

    def _heard(self) -> str:
        self._news.seek(0)
        return self._news.read()

    def _other_runs_on(self, typist: Background) -> None:
        say("another guest has run all the time, and sees nothing of it")
        command = "muxctl buffer list"
        listed = self._other.check(command)
        detail(f"guest2# {command}\n{listed}")
        check("no buffers" in listed, "it sees a buffer")
        typist.kill()
        typist.wait()
        detail(typist.output())
        figures = re.search(r"p50 (\d+) p99 (\d+)", typist.output())
        check(figures, f"its program ended: {typist.output()}")
        assert figures
        p50, p99 = (int(figure) / 1000 for figure in figures.groups())
        self._figures = f"64 bytes and back: p50 {p50:.2f} ms, p99 {p99:.2f} ms"

    def _everything_gone(self, app: Background, node: Path) -> float:
        say("the clipboard, 5: its program is killed")
        detail(f"guest# kill -KILL {app.pid}")
        begin = time.monotonic()
        app.kill("KILL")
        self._host_watch.wait(PATIENCE_S)
        self._wait(lambda: not self._has_device(), "QEMU has nothing of it")
        self._wait(lambda: "no buffers" in self._on_host("muxctl buffer list", show=False),
                   "the host has nothing of it")  # fmt: skip
        took = time.monotonic() - begin
        detail(indent(self._heard().strip().splitlines()[-1], "    "))
        self._watch.wait()
        self._on_host("muxctl buffer list")
        check("no buffers" in self._guest("muxctl buffer list"), "the guest still has it")
        check(not node.exists(), "its file is still there")
        return took

    def _has_device(self) -> bool:
        devices = self._vm.qmp("qom-list", path="/machine/peripheral")
        return any(device["name"] == f"guestmux-{self._id}" for device in devices)
