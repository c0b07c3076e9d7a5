# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two daemons around a test guest: hostmux beside QEMU, guestmux inside it.

    with Host() as host, guest_vm() as vm:
        host.service("echo", ECHO)
        host.start(vm.port_path)
        Guest(vm).start()
        host.wait_up()
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import image
from machine import die_with_parent
from parts import part
from store import Store
from vm import ROOT, Background, Vm

BUILD = Path(os.environ.get("GUESTMUX_BUILD", ROOT / "build"))
BIN = BUILD / "bin"
#: Test apps, for the guest and for the host.
MANY, NOISE, PINGPONG = (BUILD / "tests/vm" / name for name in ("many", "noise", "pingpong"))

VM_NAME = "guest"
GUEST_SOCKET = "/run/guestmux.sock"
#: What a service's file says beside its name.
Handler = Mapping[str, Any]
ECHO: Handler = {"exec": ["/bin/cat"], "max_channels": 1000}


def shell(script: str) -> Handler:
    """A handler that is a shell script, with the channel as stdin and stdout."""
    return {"exec": ["/bin/sh", "-c", script]}


def guest_vm(
    services: Mapping[str, Handler] | None = None,
    files: Mapping[str, image.Content] | None = None,
    **arguments: Any,
) -> Vm:
    """A guest with guestmux, the apps, these services of the guest's, and more files."""
    programs = [BIN / "guestmux", BIN / "muxctl", BIN / "pipe-client", MANY, NOISE, PINGPONG]
    described = {
        f"/etc/guestmux/services/{name}.json": json.dumps({"service": name, **handler})
        for name, handler in (services or {}).items()
    }
    return Vm(programs=programs, files={**described, **(files or {})}, **arguments)


def unpacked(*programs: str) -> dict[str, image.Content]:
    """Programs of tests/parts/fetch, such as usr/sbin/sshd, for a guest's files."""
    return {f"/{program}": Path(part(program)) for program in programs}


class Host:
    """hostmux with its services in a temporary folder; it all ends with the `with` block."""

    def __enter__(self) -> Host:
        self.folder = Path(tempfile.mkdtemp(prefix="guestmux-host-"))
        self.socket = self.folder / "hostmux.sock"
        self.log_path = self.folder / "hostmux.log"
        (self.folder / "services").mkdir()
        self._config = self.folder / "hostmux.json"
        self._config.write_text("{}")
        self._process: subprocess.Popen[bytes] | None = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def service(self, name: str, handler: Handler) -> None:
        """Offer a service, from the next start on."""
        text = json.dumps({"service": name, **handler})
        (self.folder / "services" / f"{name}.json").write_text(text)

    def configure(self, **keys: Any) -> None:
        """Its configuration, from the next start on."""
        self._config.write_text(json.dumps(keys))

    def start(self, port: Path | None, kind: str = "unix", store: Store | None = None) -> None:
        """Start hostmux; kind "unix" connects to the port's socket, "listen" waits there.

        Without a port the VMs are those of its configuration. store: as systemd's.
        """
        assert not self._process
        command: list[Path | str] = [
            BIN / "hostmux", "--socket", self.socket,
            "--services", self.folder / "services", "--config", self._config,
        ]  # fmt: skip
        if port:
            command += ["--vm", f"{VM_NAME}={kind}:{port}"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                store.command(command) if store else command,
                pass_fds=store.descriptors() if store else (),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def stop(self, sig: int = signal.SIGKILL) -> None:
        if self._process:
            self._process.send_signal(sig)
            try:
                self._process.wait(10)
            finally:
                self._process.kill()
                self._process = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def muxctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command: list[Path | str] = [BIN / "muxctl", "--socket", self.socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    def link(self) -> dict[str, Any]:
        """The guest's link, as `muxctl status --json` shows it."""
        answer = self.muxctl("status", "--json")
        assert answer.returncode == 0, answer.stderr
        link: dict[str, Any] = json.loads(answer.stdout)["links"][0]
        return link

    def open(self, name: str) -> socket.socket:
        """A channel to a service of the guest's; ConnectionError with the line that refuses it."""
        return open_channel(self.socket, f"{VM_NAME}/{name}")

    def answers(self) -> bool:
        return self.muxctl("status", "--json").returncode == 0

    def wait_up(self, timeout: float = 5.0) -> None:
        wait_for(lambda: self.state("state") == "up", timeout, self.log)

    def state(self, key: str) -> str:
        """One word of link(), or nothing while hostmux does not answer yet."""
        answer = self.muxctl("status", "--json")
        return str(json.loads(answer.stdout)["links"][0][key]) if answer.returncode == 0 else ""

    def app(self, *command: Path | str) -> subprocess.Popen[str]:
        """Start a program of the host's; its output is read from its stdout."""
        return subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent,
        )  # fmt: skip


class Guest:
    """guestmux in the guest. It can be started and killed again and again.

    before: what stands before its name in the command line.
    """

    def __init__(self, vm: Vm, before: str = "") -> None:
        self.vm = vm
        self._before = before
        self.daemon: Background | None = None

    def start(self, *arguments: str, wait: bool = True) -> Background:
        self.daemon = self.vm.spawn(f"{self._before}guestmux {' '.join(arguments)}")
        if wait:
            self.vm.wait_until(f"grep -q 'ready on' {self.daemon.log}")
        return self.daemon

    def stop(self, sig: str = "KILL") -> None:
        assert self.daemon
        self.daemon.kill(sig)
        self.daemon.wait()
        self.daemon = None

    def log(self) -> str:
        return self.daemon.output() if self.daemon else "guestmux does not run\n"

    def link(self) -> dict[str, Any]:
        """The host's link, as `muxctl status --json` shows it."""
        link: dict[str, Any] = json.loads(self.vm.check("muxctl status --json"))["links"][0]
        return link

    def wait_up(self, timeout: float = 5.0) -> None:
        wait_for(lambda: self.link()["state"] == "up", timeout, self.log)

    def cpu_ticks(self) -> int:
        """What guestmux has used until now, in hundredths of a second."""
        assert self.daemon
        return _ticks(self.vm.check(f"cat /proc/{self.daemon.pid}/stat"))


def host_cpu_ticks(pid: int) -> int:
    return _ticks(Path(f"/proc/{pid}/stat").read_text())


def _ticks(stat: str) -> int:
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def open_channel(path: Path, name: str, timeout: float = 10.0) -> socket.socket:
    """Open a channel; ConnectionError with the answer, if that is not OK."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(str(path))
        sock.sendall(name.encode() + b"\n")
        line = b""
        while not line.endswith(b"\n") and (byte := sock.recv(1)):
            line += byte
        if line != b"OK\n":
            raise ConnectionError(line.decode().strip())
    except BaseException:
        sock.close()
        raise
    return sock


def read_all(sock: socket.socket) -> bytes:
    """All until the end of the direction."""
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def listens(path: Path) -> bool:
    """Whether connections to a unix socket are taken: a moment after its file has appeared."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(words[3] == "00010000" and words[-1] == str(path) for words in map(str.split, lines))


def wait_for(
    condition: Callable[[], object], timeout: float, explain: Callable[[], str] = lambda: ""
) -> float:
    """Wait until a condition holds; how many seconds that took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout:
            raise TimeoutError(f"it did not happen within {timeout:g} s\n{explain()}")
        time.sleep(0.005)
    return time.monotonic() - begin
