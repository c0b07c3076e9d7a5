# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One daemon under test: its files, its process, and what /proc and @control say of it.

All of it lies in a folder of the test's own. The log is stderr, appended to over restarts, so that
a sanitizer's report of a killed daemon is found as well.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

BIN = Path(os.environ.get("GUESTMUX_BIN", "build/bin")).resolve()
SANITIZED = os.environ.get("GUESTMUX_SANITIZED") == "1"
# Everything that waits has a deadline; it is only reached when something is wrong.
PATIENCE = 30.0 if SANITIZED else 15.0

REPORTS = ("Sanitizer", "runtime error:", "assertion", "Assertion", "CRITICAL", "GLib-")

Json = dict[str, Any]


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.005)


def dial(path: Path | str, timeout: float = PATIENCE) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))  # waits when the queue is full, as it would not with a timeout
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def read_line(sock: socket.socket) -> bytes:
    """A line without its end, read byte by byte, since what follows is the channel's."""
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            raise EOFError(f"closed after {line!r}")
        line += byte
    return line[:-1]


class Control:
    """A control connection: a request a line, an answer a line."""

    def __init__(self, path: Path) -> None:
        self.sock = dial(path)
        self.buffer = b""
        try:
            self.sock.sendall(b"@control\n")
            if read_line(self.sock) != b"OK":
                raise AssertionError("@control was not answered with OK")
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def answer(self) -> Json:
        while b"\n" not in self.buffer:
            piece = self.sock.recv(1 << 16)
            if not piece:
                raise EOFError("the control connection was closed")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ask(self, request: object) -> Json:
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        return self.answer()


class Daemon:
    def __init__(self, kind: str, folder: Path, arguments: Sequence[str] = (), *, name: str = "",
                 descriptors: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.name = name or kind
        self.folder = folder
        self.arguments = list(arguments)
        self.descriptors = descriptors  # hard limit; 0: what the test has
        self.environment = dict(environment or {})
        self.other_command: list[str] = []  # to start it with, instead of the usual one
        self.socket = folder / f"{self.name}.sock"
        self.config = folder / f"{self.name}.json"
        self.services = folder / f"{self.name}.services"
        self.log_file = folder / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.services.mkdir()
        self.config.write_text("{}")

    # --- what is configured

    def service(self, service: str, **keys: object) -> None:
        """Writes a service's file; it counts from the next start or reload."""
        text = json.dumps({"service": service, **keys})
        (self.services / f"{service}.json").write_text(text)

    def command(self) -> list[str]:
        if self.other_command:
            return self.other_command
        command = [str(BIN / self.kind), "--socket", str(self.socket), "--config",
                   str(self.config), "--services", str(self.services), *self.arguments]
        if self.descriptors:
            limit = 'ulimit -n "$0" && exec "$@"'
            command = ["/bin/sh", "-c", limit, str(self.descriptors), *command]
        return command

    # --- its process

    def launch(self) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log,
                                            env=environment | self.environment)
        return self.process

    def start(self) -> None:
        self.launch()
        wait_until(self._answers, f"{self.name} answers")

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"{self.name} did not start:\n{self.log()}")
        try:
            with Control(self.socket) as control:
                return bool(control.ask({"verb": "status"})["ok"])
        except (ConnectionError, FileNotFoundError):
            return False

    def start_refused(self, expected: int = 1) -> str:
        """Starts it; it must end at once with that status. What it said comes back."""
        before = len(self.log())
        process = self.launch()
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} runs, though it should not:\n{self.log()}") from None
        said = self.log()[before:]
        self.process = None
        assert status == expected, f"status {status} instead of {expected}:\n{said}"
        return said

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Asks it to end; it must do so with status 0 and take its socket away."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} does not end:\n{self.log()}") from None
        assert status == 0, f"{self.name} ended with {status}:\n{self.log()}"
        assert not os.path.lexists(self.socket), f"{self.name} left its socket"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def reload(self, good: bool = True) -> str:
        """SIGHUP; waits until it is done and returns what was said about it.

        `good`: both the configuration and the services are in force now.
        """
        assert self.process is not None
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        said = str(wait_until(lambda: self._reloaded(self.log()[before:]),
                              f"{self.name} reloads"))
        assert ("not reloaded: " not in said) == good, said
        return said

    def _reloaded(self, said: str) -> str:
        """All of what is said about a reload, or nothing yet."""
        words = ("reloaded\n", "not reloaded: ")
        done = all(any(f"{what} {word}" in said for word in words)
                   for what in ("configuration", "services"))
        return said if done and said.endswith("\n") else ""

    # --- what it says

    def log(self) -> str:
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for_log(self, text: str, timeout: float = PATIENCE) -> None:
        wait_until(lambda: text in self.log(), f"{self.name} logs {text!r}, but:\n{self.log()}",
                   timeout)

    def check_log(self) -> None:
        for report in REPORTS:
            assert report not in self.log(), f"{self.name} has a report:\n{self.log()[-8000:]}"

    def ask(self, verb: str) -> Json:
        with Control(self.socket) as control:
            answer = control.ask({"verb": verb})
        assert answer["ok"], answer
        return answer

    def link(self, name: str = "") -> Json:
        """The link of that name in status; the only one without."""
        links: list[Json] = self.ask("status")["links"]
        found = [link for link in links if not name or link["name"] == name]
        assert len(found) == 1, f"{len(found)} links {name}"
        return found[0]

    def channels(self, name: str = "") -> list[Json]:
        channels: list[Json] = self.link(name)["channels"]
        return channels

    def is_up(self, name: str = "") -> bool:
        return bool(self.link(name)["state"] == "up")

    # --- what the kernel says of it

    def descriptors_open(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_over(self, seconds: float) -> float:
        """Processor time that it takes during so much time. This wait is the measurement."""
        before = self.cpu()
        time.sleep(seconds)
        return self.cpu() - before

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]
