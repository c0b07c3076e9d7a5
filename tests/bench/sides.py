# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemons of a bench: one hostmux with a link for each way, a guestmux for each in the guest."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import image
from machine import die_with_parent
from measure import BenchError
from stack import BIN, open_channel, wait_for
from vm import Vm

#: Links, as the host calls them.
SHARED, INLINE = "shared", "inline"


class Host:
    """hostmux; it ends with the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "hostmux.sock"
        self._folder = folder
        self._log = folder / "hostmux.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.command = ""

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            finally:
                self._process.kill()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self, vms: Mapping[str, str]) -> None:
        """vms: what --vm takes, by name."""
        services, config = self._folder / "services", self._folder / "hostmux.json"
        services.mkdir()
        config.write_text(json.dumps({"run": str(self._folder / "run")} if SHARED in vms else {}))
        options = [word for name, port in vms.items() for word in ("--vm", f"{name}={port}")]
        options += ["--socket", str(self.socket), "--services", str(services)]
        options += ["--config", str(config)]
        self.command = " ".join(["hostmux", *options])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [BIN / "hostmux", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(["hostmux:", *lines[-20:]])

    def status(self) -> dict[str, dict[str, Any]]:
        """Links by name; none while hostmux does not answer."""
        answer = subprocess.run(
            [BIN / "muxctl", "--socket", self.socket, "status", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        links = json.loads(answer.stdout)["links"] if answer.returncode == 0 else []
        return {link["name"]: link for link in links}

    def wait_up(self, link: str) -> None:
        def there() -> bool:
            return self.status().get(link, {}).get("state") == "up"

        self._wait(there, f"the link {link} does not come up")

    def memory(self, link: str) -> dict[str, Any]:
        found: dict[str, Any] = self.status().get(link, {}).get("memory", {})
        return found

    def wait_shared(self, link: str) -> None:
        """Until the regions of both directions are there."""

        def there() -> bool:
            memory = self.memory(link)
            return all(memory.get(side, {}).get("state") == "on" for side in ("out", "in"))

        self._wait(there, "there is no shared memory", lambda: str(self.memory(link)))

    def _wait(self, condition: Any, otherwise: str, explain: Any = lambda: "") -> None:
        try:
            wait_for(condition, 10)
        except TimeoutError as error:
            raise BenchError(f"{otherwise}: {explain()}\n{self.log_tail()}") from error

    def open(self, name: str) -> socket.socket:
        try:
            return open_channel(self.socket, name)
        except OSError as error:
            raise BenchError(f"{name}: {error}") from error


class Guest:
    """The daemons in the guest, one a link. They end with the guest."""

    PROGRAMS = (BIN / "guestmux", BIN / "muxctl")

    @staticmethod
    def files(served: str) -> dict[str, image.Content]:
        """served: where `load serve` listens."""
        service = {"service": "bench", "connect": f"unix:{served}"}
        return {"/etc/guestmux/services/bench.json": json.dumps(service)}

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self.commands: dict[str, str] = {}

    def start(self, link: str, port_name: str = "org.guestmux.0") -> None:
        usual = link == SHARED
        command = f"guestmux --port-name {port_name}"
        self.commands[link] = command if usual else f"{command} --socket /run/{link}.sock"
        daemon = self._vm.spawn(self.commands[link])
        self._vm.wait_until(f"grep -q 'ready on' {daemon.log}")

    def memory(self) -> dict[str, Any]:
        found: dict[str, Any] = self._status()["links"][0].get("memory", {})
        return found

    def wait_measured(self) -> None:
        """Until guestmux knows whether its region is worth it."""
        wait_for(lambda: self.memory().get("out", {}).get("state") == "on", 10)

    def _status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._vm.check("muxctl status --json"))
        return found
