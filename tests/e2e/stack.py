# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole stack on one machine: both daemons, joined by a unix socket instead of a VM's port.

A StackTest makes stacks and listeners, and at its end everything is closed and looked at: no
channel is open, no descriptor more than at the start, no child, no sanitizer report; both daemons end with
status 0 and nothing is left behind in the test's folder but files.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon import BIN, PATIENCE, Daemon, dial, read_line, wait_until

VM = "x"
HERE = Path(__file__).resolve().parent


class Refused(Exception):
    """The daemon answered ERR."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line.decode(errors="replace"))
        self.code = line.split(b" ")[1].decode()


def raise_descriptor_limit(wanted: int) -> bool:
    """Whether this process, and so what it starts, may have that many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, OSError):  # not root
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)) >= wanted


class Listener:
    """A handler that the test itself plays: where it listens, and what was accepted."""

    def __init__(self, address: str | tuple[str, int], family: int = socket.AF_UNIX,
                 backlog: int = 128) -> None:
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.bind(address)
        self.sock.listen(backlog)
        self.sock.settimeout(PATIENCE)
        self.accepted: list[socket.socket] = []
        if family == socket.AF_UNIX:
            self.connect = f"unix:{address}"
        else:
            host, port = self.sock.getsockname()[:2]
            self.connect = f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"

    def accept(self) -> socket.socket:
        sock, _ = self.sock.accept()
        sock.settimeout(PATIENCE)
        self.accepted.append(sock)
        return sock

    def close(self) -> None:
        for sock in (self.sock, *self.accepted):
            sock.close()


class Stack:
    """Both daemons. The host's VM is called VM. `opened` are the apps' ends of channels."""

    def __init__(self, folder: Path, *, guest: Sequence[str] = (), host: Sequence[str] = (),
                 guest_port: Path | None = None, descriptors: int = 0,
                 environment: Mapping[str, str] | None = None) -> None:
        self.port = folder / "port"
        self.guest = Daemon("guestmux", folder,
                            ["--port", f"unix:{guest_port or self.port}", *guest],
                            descriptors=descriptors, environment=environment)
        self.host = Daemon("hostmux", folder, ["--vm", f"{VM}=listen:{self.port}", *host],
                           descriptors=descriptors, environment=environment)
        self.opened: list[socket.socket] = []
        self.baseline: dict[str, int] = {}

    @property
    def daemons(self) -> tuple[Daemon, Daemon]:
        return self.guest, self.host

    def start(self) -> Stack:
        self.host.start()
        self.guest.start()
        self.wait_up()
        self.measure()
        return self

    def is_up(self) -> bool:
        return all(daemon.is_up(VM if daemon is self.host else "") for daemon in self.daemons)

    def wait_up(self, timeout: float = PATIENCE) -> None:
        wait_until(self.is_up, "a session", timeout)

    def measure(self) -> None:
        """Remembers how many descriptors each daemon has when nothing is going on."""
        for daemon in self.daemons:
            self.baseline[daemon.name] = settled_descriptors(daemon)

    # --- channels

    def dial(self, side: str = "guest") -> socket.socket:
        daemon = self.guest if side == "guest" else self.host
        sock = dial(daemon.socket)
        self.opened.append(sock)
        return sock

    def open(self, name: str | bytes, data: bytes = b"", *, side: str = "guest",
             silent: bool = False) -> socket.socket:
        """Opens a channel and writes `data` behind the name. `silent`: the style that ends in NUL.

        Raises Refused when the daemon answers ERR.
        """
        raw = name if isinstance(name, bytes) else name.encode()
        if side == "host":
            raw = VM.encode() + b"/" + raw
        sock = self.dial(side)
        try:
            sock.sendall(raw + (b"\0" if silent else b"\n") + data)
        except BrokenPipeError:  # refused before all of it was written; the answer is there
            if silent:
                raise
        if not silent:
            line = read_line(sock)
            if line != b"OK":
                raise Refused(line)
        return sock

    def join(self, listener: Listener, name: str | bytes, data: bytes = b"",
             side: str = "guest") -> tuple[socket.socket, socket.socket]:
        """The app's end of a new channel, and the handler's."""
        app = self.open(name, data, side=side)
        return app, listener.accept()

    # --- the end

    def close_apps(self) -> None:
        for sock in self.opened:
            sock.close()
        self.opened.clear()

    def check_settled(self) -> None:
        """Nothing of the channels that there were is left in either daemon."""
        for daemon in self.daemons:
            if not daemon.running():
                continue
            wait_until(lambda d=daemon: not any(  # type: ignore[misc]
                link["channels_open"] or link["channels"] for link in d.ask("status")["links"]),
                f"no channels in {daemon.name}, but: {daemon.ask('status')}")
            wait_until(lambda d=daemon: not d.children(),  # type: ignore[misc]
                       f"no children of {daemon.name}")
            if daemon.name in self.baseline:
                wait_until(lambda d=daemon: (  # type: ignore[misc]
                    d.descriptors_open() <= self.baseline[d.name]),
                    f"{daemon.name} back to {self.baseline[daemon.name]} descriptors, "
                    f"but it has {show_descriptors(daemon)}")


def settled_descriptors(daemon: Daemon) -> int:
    """How many descriptors it has, once the control connection that we just had is gone."""
    daemon.is_up(VM if daemon.kind == "hostmux" else "")
    counts = [daemon.descriptors_open()]

    def steady() -> bool:
        counts.append(daemon.descriptors_open())
        return len(counts) > 5 and len(set(counts[-5:])) == 1

    wait_until(steady, f"{daemon.name} has a steady number of descriptors")
    return counts[-1]


def show_descriptors(daemon: Daemon) -> list[str]:
    folder = f"/proc/{daemon.pid}/fd"
    shown = []
    for fd in os.listdir(folder):
        try:
            shown.append(f"{fd}: {os.readlink(f'{folder}/{fd}')}")
        except FileNotFoundError:
            continue
    return shown


class StackTest(unittest.TestCase):
    """Makes stacks, and checks at the end that they are well and gone."""

    maxDiff = 2000

    def setUp(self) -> None:
        # Short, since a socket's path has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="mux-", dir="/tmp"))
        self.daemons: list[Daemon] = []
        self.addCleanup(self._look_back)

    def _look_back(self) -> None:
        try:
            for daemon in self.daemons:
                if daemon.running():
                    daemon.kill()
                    raise AssertionError(f"{daemon.name} still runs")
            for daemon in self.daemons:
                daemon.check_log()
        except AssertionError:
            for daemon in self.daemons:
                print(f"--- the end of {daemon.name}'s log:\n{daemon.log()[-3000:]}",
                      file=sys.stderr)
            raise
        finally:
            shutil.rmtree(self.folder)

    # --- making

    def daemon(self, kind: str, arguments: Sequence[str] = (), **keys: object) -> Daemon:
        daemon = Daemon(kind, self.folder, arguments, **keys)  # type: ignore[arg-type]
        self.daemons.append(daemon)
        self.addCleanup(daemon.stop)
        return daemon

    def stack(self, start: bool = True, **keys: object) -> Stack:
        stack = Stack(self.folder, **keys)  # type: ignore[arg-type]
        self.daemons += stack.daemons
        self.addCleanup(self._finish, stack)
        return stack.start() if start else stack

    def _finish(self, stack: Stack) -> None:
        for step in (stack.close_apps, stack.check_settled, stack.guest.stop, stack.host.stop,
                     self.check_no_sockets):
            try:
                step()
            except (AssertionError, OSError):
                self._stop_hard(stack)
                raise

    def _stop_hard(self, stack: Stack) -> None:
        for daemon in stack.daemons:
            if daemon.running():
                daemon.kill()

    def check_no_sockets(self) -> None:
        """The daemons have taken away the sockets that they made."""
        ours = {f"handler-{n}" for n in range(100)}
        left = [path.name for path in self.folder.iterdir()
                if stat.S_ISSOCK(path.lstat().st_mode) and path.name not in ours
                and not path.name.startswith("test-")]
        self.assertEqual(left, [], "sockets were left behind")

    def listener(self, family: int = socket.AF_UNIX, backlog: int = 128) -> Listener:
        if family == socket.AF_UNIX:
            number = sum(1 for path in self.folder.iterdir() if path.name.startswith("handler-"))
            listener = Listener(str(self.folder / f"handler-{number}"), family, backlog)
        else:
            host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            listener = Listener((host, 0), family, backlog)
        self.addCleanup(listener.close)
        return listener

    def serve(self, stack: Stack, service: str = "svc", **keys: object) -> Listener:
        """A service of the host (before the start) whose handler is the test."""
        listener = self.listener()
        stack.host.service(service, connect=listener.connect, **keys)
        return listener

    def echo(self) -> str:
        """Starts an echo handler in a process of its own; its address comes back."""
        path = self.folder / "test-echo"
        process = subprocess.Popen([sys.executable, str(HERE / "echo.py"), str(path)],
                                   stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return f"unix:{path}"

    # --- looking

    def assert_refused(self, code: str, stack: Stack, name: str | bytes,
                       side: str = "guest") -> None:
        with self.assertRaises(Refused) as caught:
            stack.open(name, side=side)
        self.assertEqual(caught.exception.code, code, str(caught.exception))

    def assert_eof(self, sock: socket.socket) -> None:
        self.assertEqual(read_to_end(sock), b"")


def read_to_end(sock: socket.socket) -> bytes:
    """Everything up to the end, be that an orderly one or a reset."""
    pieces = []
    while True:
        try:
            piece = sock.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    pieces = []
    while size > 0:
        piece = sock.recv(min(size, 1 << 16))
        if not piece:
            raise EOFError(f"{size} bytes are missing")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def muxctl(daemon: Daemon, *arguments: str,
           data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs muxctl to its end."""
    return subprocess.run([str(BIN / "muxctl"), "--socket", str(daemon.socket), *arguments],
                          input=data, capture_output=True, timeout=PATIENCE, check=False)
