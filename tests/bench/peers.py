# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What people join a guest's socket to the host with otherwise, each on ports of its own.

Host's end first, always: a program in the guest reads the end of the file from a port whose other
end is not there.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from machine import die_with_parent
from measure import BUILD, LOAD, BenchError
from stack import listens, wait_for
from vm import Vm

SOCAT, YAMUX = Path("/usr/bin/socat"), BUILD / "tests/bench/yamux-relay"


@dataclass(frozen=True)
class Contender:
    """One way from the host to `load serve` in the guest, as it stands there."""

    #: The second one carries the load, where there is one.
    connections: Sequence[socket.socket]
    #: Where more connections can be made, if they can, and the name that is written first there.
    opens_at: Path | None = None
    opens_name: str = ""
    #: What was run for it, on either side.
    commands: dict[str, list[str]] = field(default_factory=dict)


class Peers:
    """Makes contenders in one guest; they end with the stack. served: where `load serve` listens."""

    PROGRAMS = (LOAD, SOCAT, YAMUX)

    def __init__(self, vm: Vm, stack: ExitStack, folder: Path, served: str) -> None:
        self._vm = vm
        self._stack = stack
        self._folder = folder
        self._log = folder / "peers.log"
        self._served = served

    def raw(self) -> Contender:
        """No relay: `load` itself has the port, and a second one for the load."""
        found, commands = [], []
        for n in range(2):
            path, device = self._plug(f"org.bench.raw.{n}")
            found.append(self._connect(path))
            commands.append(self._in_guest(f"load serve device {device}"))
        return Contender(found, commands={"guest": commands})

    def socat(self, name: str, *options: str) -> Contender:
        """A pair carries one connection, so there are two pairs."""
        found: list[socket.socket] = []
        commands: dict[str, list[str]] = {"host": [], "guest": []}
        words = " ".join(["socat", *options])
        for n in range(2):
            path, device = self._plug(f"org.bench.{name}.{n}")
            here = self._folder / f"{name}-{n}.sock"
            commands["host"].append(
                self._on_host(f"{words} UNIX-CONNECT:{path} UNIX-LISTEN:{here}", here)
            )
            found.append(self._connect(here))
            commands["guest"].append(
                self._in_guest(f"{words} OPEN:{device} UNIX-CONNECT:{self._served}")
            )
        return Contender(found, commands=commands)

    def yamux(self, name: str, *options: str) -> Contender:
        """Streams of one session, so both connections have one port."""
        path, device = self._plug(f"org.bench.{name}")
        here = self._folder / f"{name}.sock"
        words = " ".join([YAMUX.name, *options])
        host = self._on_host(f"{YAMUX.parent}/{words} listen {here} unix:{path}", here)
        guest = self._in_guest(f"{words} connect {self._served} {device}")
        found = [self._connect(here) for _ in range(2)]
        return Contender(found, here, commands={"host": [host], "guest": [guest]})

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(["peers:", *lines[-10:]])

    def _plug(self, name: str) -> tuple[Path, str]:
        """A new port: where it is on the host, and its device in the guest."""
        path = self._vm.plug_port(name, own_device=True)
        names = "/sys/class/virtio-ports/*/name"
        self._vm.wait_until(f"grep -qx {name} {names}")
        return path, self._vm.check(f"echo -n /dev/$(basename $(dirname $(grep -lx {name} {names})))")

    def _connect(self, path: Path) -> socket.socket:
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(str(path))
        return sock

    def _in_guest(self, command: str) -> str:
        self._vm.spawn(command)
        return command

    def _on_host(self, command: str, makes: Path) -> str:
        """Start a program that lasts, and wait until it listens."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command.split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        try:
            wait_for(lambda: listens(makes), 10)
        except TimeoutError as error:
            raise BenchError(f"{command}: {error}\n{self.log_tail()}") from error
        return command.replace(str(YAMUX), YAMUX.name)
