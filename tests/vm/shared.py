# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Test cases over a guest whose memory is shared: hostmux has QEMU's QMP, or files that QEMU has.

In the guest apps are alice's, uid 1000; on the host they are the Python module.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from case import StackCase
from stack import BUILD, GUEST_SOCKET, VM_NAME, wait_for
from vm import ROOT, Background, Vm

sys.path.insert(0, str(ROOT / "clients/python"))
import guestmux as guestmux  # noqa: E402, PLC0414 (for who imports this)

MIB = 1 << 20
PATIENCE_S = 15.0
KEEPER, HOLDER = BUILD / "tests/vm/keeper", BUILD / "tests/vm/holder"
APPS = {"/usr/bin/keeper": KEEPER, "/usr/bin/holder": HOLDER}
#: Two regions are plugged, the others are for buffers.
Q35: Mapping[str, Any] = {"machine": "q35", "root_ports": 5}
#: QEMU's ids of what hostmux plugs begin so.
PREFIX = "guestmux-"
#: How a keeper says it.
GONE = "gone"


class App:
    """A `keeper` in the guest: a program of alice's that has a buffer."""

    def __init__(self, vm: Vm, request: Mapping[str, Any], mode: str = "", user: str = "alice"):
        command = f"exec keeper {GUEST_SOCKET} {shlex.quote(json.dumps(request))} {mode}"
        self._vm = vm
        self.process: Background = vm.spawn(f"exec su {user} -c {shlex.quote(command)}")
        wait_for(lambda: "ready\n" in self.output() or not self.process.running(), PATIENCE_S)
        self.answer: dict[str, Any] = json.loads(self.output().splitlines()[0])

    def output(self) -> str:
        return self.process.output()

    @property
    def log(self) -> str:
        return self.process.log

    @property
    def error(self) -> str:
        """"code: text" of what it was answered."""
        error = self.answer.get("error")
        return f"{error['code']}: {error['text']}" if error else ""

    def wait(self, text: str) -> str:
        """Wait until it prints that; the whole line."""
        self._vm.wait_until(f"grep -q {shlex.quote(text)} {self.log}", PATIENCE_S)
        return next(x for x in reversed(self.output().splitlines()) if text in x)

    def shown(self) -> tuple[bytes, int]:
        """The first 16 bytes that it sees, and how many of all are not 0."""
        lines = len(self.output().splitlines())
        self.signal("USR1")
        self._vm.wait_until(f"test $(wc -l <{self.log}) -gt {lines}")
        words = self.output().split()
        return bytes.fromhex(words[-2]), int(words[-1])

    def signal(self, name: str) -> None:
        self._vm.check(f"kill -{name} {self.process.pid}")

    def kill(self) -> None:
        self._vm.run(f"kill -KILL {self.process.pid}")  # if it has not ended
        self.process.wait()


class SharedCase(StackCase):
    """offload: whether regions are plugged; config: more of hostmux's configuration."""

    offload: ClassVar[bool] = False
    config: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        hardware = dict(cls.hardware)
        cls.hardware = {**hardware, "files": {**APPS, **hardware.get("files", {})}}
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.configure()
        self._apps: list[App] = []
        self.addCleanup(self._end_in_order)

    def configure(self, **keys: Any) -> None:
        """What the host's daemon is told at its next start of the guest, beside its port."""
        vm = {"port": f"unix:{self.vm.port_path}", "qmp": f"unix:{self.vm.qmp_path}",
              "offload": self.offload, **keys}  # fmt: skip
        vm = {key: value for key, value in vm.items() if value is not None}
        self.qmp = str(vm.get("qmp", "none")).removeprefix("unix:")
        self.host.configure(vms={VM_NAME: vm}, **self.config)

    def start(self) -> None:
        self.host.start(None)
        self.wait_qmp()
        self.guest.start()
        self.host.wait_up()
        self.guest.wait_up()

    def wait_qmp(self) -> None:
        wait_for(self.host.answers, 5, self.host.log)
        if Path(self.qmp).exists():
            wait_for(lambda: self.memory()["qmp"] == "connected", 5, self.host.log)

    def memory(self) -> dict[str, Any]:
        """What the host's status says of it."""
        memory: dict[str, Any] = self.host.link()["memory"]
        return memory

    def _end_in_order(self) -> None:
        """So that each test begins with nothing, and shows that all that it had goes."""
        for app in self._apps:
            app.kill()
        good = self._troubles() == self._troubles_before and self.guest.daemon
        if good and not self.offload and self.host.answers():
            self.wait_nothing_left()

    # ---- in the guest ----

    def app(self, mode: str = "", user: str = "alice", **request: Any) -> App:
        """A program of the guest's that has got what it asked for."""
        app = self.ask(mode, user, **request)
        self.assertEqual(app.error, "", self.host.log() + self.guest.log())
        return app

    def ask(self, mode: str = "", user: str = "alice", **request: Any) -> App:
        """…or has not."""
        app = App(self.vm, request, mode, user)
        self._apps.append(app)
        return app

    def alice(self, command: str) -> str:
        return self.vm.check(f"su alice -c {shlex.quote(command)}")

    # ---- on the host ----

    def open(self, name: str = "clip", **keys: Any) -> guestmux.Buffer:
        """Open it, as soon as the host knows of it."""
        full = f"{VM_NAME}/{name}"
        wait_for(lambda: self.states().get(name) == "ready", PATIENCE_S, self.logs)
        return self.enterContext(guestmux.open_buffer(full, socket=self.host.socket, **keys))

    def create(self, name: str = "clip", size: int = MIB, **keys: Any) -> guestmux.Buffer:
        return self.enterContext(guestmux.create_buffer(
            f"{VM_NAME}/{name}", size, socket=self.host.socket, timeout=PATIENCE_S, **keys))

    def buffers(self) -> list[dict[str, Any]]:
        """As the host lists them."""
        answer = self.host.muxctl("buffer", "list", "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        buffers: list[dict[str, Any]] = json.loads(answer.stdout)["buffers"]
        return buffers

    def states(self) -> dict[str, str]:
        return {b["name"]: b["state"] for b in self.buffers()}

    def guest_names(self) -> list[str]:
        return self.vm.check("muxctl buffer list --names").split()

    def node(self, name: str = "clip") -> Path:
        return self.host.folder / "hostmux" / VM_NAME / "shm" / name

    def logs(self) -> str:
        return f"{self.host.log()}{self.guest.log()}"

    # ---- what there is ----

    def plugged(self) -> list[str]:
        """QEMU's ids of what was plugged: devices, and memory."""
        found = []
        for folder in ("/machine/peripheral", "/objects"):
            listed = self.vm.qmp("qom-list", path=folder)
            found += [x["name"] for x in listed if x["name"].startswith(PREFIX)]
        return found

    def memfds(self, pid: int | None = None) -> list[str]:
        """Descriptors of a process (hostmux), that are shared memory."""
        folder = Path(f"/proc/{pid or self.host.pid}/fd")
        links = []
        for link in folder.iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                links.append(os.readlink(link))
        return [link for link in links if link.startswith("/memfd:guestmux")]

    def wait_nothing_left(self) -> float:
        """No side knows of a buffer, and nothing of any is there any more; how long that took."""
        begin = time.monotonic()
        wait_for(lambda: not self.buffers(), PATIENCE_S, self.logs)
        wait_for(lambda: not self.guest_names(), PATIENCE_S, self.logs)
        wait_for(lambda: not self.plugged(), PATIENCE_S, self.logs)
        wait_for(lambda: not self.memfds(), PATIENCE_S, self.logs)
        wait_for(lambda: not self.memfds(self.vm.pid), PATIENCE_S, self.logs)
        self.assertFalse(self.node().parent.exists())
        self.assertEqual(self.vm.qmp("query-fdsets"), [])
        return time.monotonic() - begin

