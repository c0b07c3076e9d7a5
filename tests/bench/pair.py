# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both daemons on one machine, with a unix socket as the port: a hostmux, and a guestmux a link."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from machine import die_with_parent
from measure import LOAD, BenchError
from stack import BIN, listens, open_channel

CROWD = LOAD.parent / "crowd"
PATIENCE = 30.0

T = TypeVar("T")


def wait_until(condition: Callable[[], T], otherwise: str, pause: float = 0.002) -> T:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise BenchError(f"not within {PATIENCE:g} s: {otherwise}")
        time.sleep(pause)
    return answer


class Process:
    """A program that runs until stop(), or until this one ends."""

    def __init__(self, command: Sequence[str | Path], log: Path, **keys: Any) -> None:
        self._log = log
        with log.open("ab") as file:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            self.popen: subprocess.Popen[bytes] = subprocess.Popen(
                command, preexec_fn=die_with_parent, **(streams | keys)
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(10)
        finally:
            self.popen.kill()
            self.popen.wait()

    def memory(self) -> int:
        """Resident bytes, of which it shares those of its program's file with its like."""
        return memory_of(self.pid, "Rss")

    def cpu_us(self) -> float:
        """How long it has run; it has one thread that does anything."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e3

    def own_memory(self) -> int:
        """Resident bytes that nobody else has."""
        return memory_of(self.pid, "Private_Dirty")


def memory_of(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"no {what} of a process")


class Daemon(Process):
    """One of ours; config is its file's content."""

    def __init__(
        self, folder: Path, kind: str, name: str, options: Iterable[str],
        config: Mapping[str, Any], services: Path,
    ) -> None:  # fmt: skip
        self.socket = folder / f"{name}.sock"
        file = folder / f"{name}.json"
        file.write_text(json.dumps(config))
        super().__init__(
            [BIN / kind, *options, "--socket", self.socket, "--services", services, "--config",
             file], folder / f"{name}.log",
        )  # fmt: skip

    def ask(self, verb: str) -> list[dict[str, Any]]:
        """The links; none while it does not answer."""
        try:
            with open_channel(self.socket, "@control") as sock:
                sock.sendall(json.dumps({"verb": verb}).encode() + b"\n")
                with sock.makefile() as file:
                    links: list[dict[str, Any]] = json.loads(file.readline())["links"]
                    return links
        except OSError:
            return []

    def links_up(self) -> int:
        return sum(link["state"] == "up" for link in self.ask("links"))


class Pair:
    """One hostmux with so many links, each to a guestmux. It ends with the `with` block.

    Both sides have all services: "bench" is a `load serve`, others come with service().
    """

    def __init__(self, limits: Mapping[str, int] | None = None, cable_rate: int = 0) -> None:
        """cable_rate: bytes a second that the port carries to the host; 0: as many as it can."""
        self._stack = ExitStack()
        self._config = {"limits": dict(limits or {})}
        self._cable_rate = cable_rate
        self.guests: list[Daemon] = []

    def __enter__(self) -> Pair:
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mux-", dir="/tmp"))
        self.folder = Path(name)
        self._services = self.folder / "services"
        self._services.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def guest(self) -> Daemon:
        return self.guests[0]

    def run(self, command: Sequence[str | Path], **keys: Any) -> Process:
        process = Process(command, self.folder / "peers.log", **keys)
        self._stack.callback(process.stop)
        return process

    def service(self, name: str, command: Sequence[str | Path] = (), *more: str) -> Path:
        """Before start(). command: the handler; the path to listen at is put behind it."""
        path = self.folder / f"{name}.handler"
        described = {"service": name, "connect": f"unix:{path}", "max_channels": 16384}
        (self._services / f"{name}.json").write_text(json.dumps(described))
        if command:
            self.run([*command, path, *more])
            wait_until(lambda: listens(path), f"the handler of {name} listens")
        return path

    def sides(self) -> tuple[tuple[str, Daemon], tuple[str, Daemon]]:
        return ("guest", self.guest), ("host", self.host)

    def channels(self) -> int:
        """Of the first link, as the host sees it."""
        found: int = self.host.ask("links")[0]["channels_open"]
        return found

    def cpu_us(self) -> float:
        """How long both have run."""
        return sum(daemon.cpu_us() for _, daemon in self.sides())

    def start(self, links: int = 1) -> float:
        """Until all links are up; how many seconds that took with the guests' start."""
        self.service("bench", [LOAD, "serve", "listen"])
        ports = {f"vm{n}": self.folder / f"port{n}" for n in range(links)}
        options = [word for vm, port in ports.items() for word in ("--vm", f"{vm}=listen:{port}")]
        self.host = self._daemon("hostmux", "hostmux", options)
        wait_until(lambda: self.host.ask("links"), "hostmux answers")
        begin = time.monotonic()
        for vm, port in ports.items():
            option = f"unix:{self._cable(port) if self._cable_rate else port}"
            self.guests.append(self._daemon("guestmux", f"guest-{vm}", ["--port", option]))
        wait_until(lambda: self.host.links_up() == links, f"{links} links are up")
        took = time.monotonic() - begin
        wait_until(lambda: all(listens(guest.socket) for guest in self.guests), "guestmux answers")
        return took

    def _daemon(self, kind: str, name: str, options: Iterable[str]) -> Daemon:
        daemon = Daemon(self.folder, kind, name, options, self._config, self._services)
        self._stack.callback(daemon.stop)
        return daemon

    def _cable(self, port: Path) -> Path:
        slow = port.with_suffix(".slow")
        self.run([CROWD, "cable", slow, port, str(self._cable_rate)])
        wait_until(lambda: listens(slow), "the cable is there")
        return slow

    def open(self, name: str = "bench", link: int = 0) -> socket.socket:
        """A channel, opened in the guest. The caller closes it."""
        try:
            return open_channel(self.guests[link].socket, name)
        except OSError as error:
            raise BenchError(f"{name}: {error}\n{self.guests[link].log_tail()}") from error

    def channel(self) -> socket.socket:
        """One that stays."""
        return self._stack.enter_context(self.open())
