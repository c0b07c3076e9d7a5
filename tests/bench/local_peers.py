# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What joins programs on this machine: guestmux, and what people use otherwise.

Each has two processes between client and server, the host's end and the guest's, and between these
one unix socket where a VM's port would be (socat has two processes and one socket a connection):

    client → host's end → port → guest's end → server
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from measure import BenchError
from parts import ROOT as PARTS
from parts import environment, part
from peers import SOCAT, YAMUX
from programs import Program, cpu_us
from sides import Host
from ssh import Keys
from stack import BIN

#: The link, as hostmux calls it, and who sshd is in a user namespace of its own.
LINK, NOBODY = "x", "nobody"
SERVICE = "bench"
#: Where what is run here lies.
PROGRAMS = (BIN, YAMUX.parent, PARTS / "usr/bin", PARTS / "usr/sbin", SOCAT.parent)


class Peer:
    """One way to the server. `path`: where clients connect; `name`: what they write there first."""

    def __init__(self, path: Path, programs: Mapping[str, Program], name: str = "") -> None:
        self.path = path
        self.name = name
        self._programs = programs

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(self.path))
        except OSError as error:
            sock.close()
            raise BenchError(f"{self.path}: {error}") from error
        return sock

    def commands(self) -> dict[str, list[str]]:
        """By side."""
        return {side: [shlex.join(one.command)] for side, one in self._programs.items()}

    def pids(self) -> list[int]:
        return [one.pid for one in self._programs.values()]

    def cpu_us(self) -> float:
        """How long both ends have worked."""
        return sum(map(cpu_us, self.pids()))

    def explain(self) -> str:
        return "\n".join(one.explain() for one in self._programs.values())


class Mux(Peer):
    """Both daemons. A connection is a channel to a guest's service."""

    def __init__(self, host: Host, guest: Program) -> None:
        super().__init__(host.socket, {"guest": guest}, f"{LINK}/{SERVICE}")
        self._host = host

    def open(self) -> socket.socket:
        return self._host.open(self.name)

    def commands(self) -> dict[str, list[str]]:
        return {"host": [self._host.command], **super().commands()}

    def pids(self) -> list[int]:
        return [self._host.pid, *super().pids()]

    def explain(self) -> str:
        return f"{super().explain()}\n{self._host.log_tail()}"


#: What begins ends with the stack. The folder is the peer's own; in `served` the server listens.
Start = Callable[[ExitStack, Path, Path], Peer]


def direct(stack: ExitStack, folder: Path, served: Path) -> Peer:
    return Peer(served, {})


def guestmux(stack: ExitStack, folder: Path, served: Path) -> Peer:
    port, services, config = folder / "port", folder / "guest.services", folder / "guest.json"
    services.mkdir()
    service = {"service": SERVICE, "connect": f"unix:{served}"}
    (services / f"{SERVICE}.json").write_text(json.dumps(service))
    config.write_text("{}")
    host = stack.enter_context(Host(folder))
    host.start({LINK: f"listen:{port}"})
    path = folder / "guestmux.sock"
    command: list[Path | str] = [BIN / "guestmux", "--port", f"unix:{port}", "--socket", path,
                                 "--services", services, "--config", config]  # fmt: skip
    guest = stack.enter_context(Program(command, path))
    host.wait_up(LINK)
    return Mux(host, guest)


def socat(stack: ExitStack, folder: Path, served: Path, options: Sequence[str] = ()) -> Peer:
    def end(listen: Path, connect: Path) -> Program:
        addresses = [f"UNIX-LISTEN:{listen},fork", f"UNIX-CONNECT:{connect}"]
        return stack.enter_context(Program([SOCAT, *options, *addresses], listen))

    port, path = folder / "port", folder / "sock"
    guest = end(port, served)
    return Peer(path, {"host": end(path, port), "guest": guest})


def yamux(stack: ExitStack, folder: Path, served: Path) -> Peer:
    port, path = folder / "port", folder / "sock"
    host = stack.enter_context(Program([YAMUX, "listen", path, f"listen:{port}"], port))
    # The host's end listens for clients when the guest's has come.
    guest = stack.enter_context(Program([YAMUX, "connect", served, f"unix:{port}"], path))
    return Peer(path, {"host": host, "guest": guest})


def ssh(stack: ExitStack, folder: Path, served: Path) -> Peer:
    """One ssh with a forwarded socket. sshd is its proxy command, so that no port of this machine
    is needed, and counts as what ssh has started."""
    keys, config, path = Keys(folder, LINK), folder / "sshd_config", folder / "sock"
    config.write_text(
        f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n"
        "StrictModes no\nPasswordAuthentication no\nUsePAM no\nPidFile none\n"
    )
    user, become = _sshd_user()
    sshd = shlex.join([*become, part("usr/sbin/sshd"), "-i", "-f", str(config)])
    options = keys.options(sshd, {"ExitOnForwardFailure": "yes"})
    command = [part("usr/bin/ssh"), *options, "-N", "-L", f"{path}:{served}", f"{user}@{LINK}"]
    return Peer(path, {"host": stack.enter_context(Program(command, path, environment()))})


def _sshd_user() -> tuple[str, list[str]]:
    """Who logs in, and what makes sshd run as that user.

    As root it would want a user and a folder of the system to give its privileges up to. In a user
    namespace it has none, and the files are its own all the same.
    """
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name, []
    return NOBODY, ["unshare", "--user", f"--map-user={pwd.getpwnam(NOBODY).pw_uid}"]


START: Mapping[str, Start] = {
    "direct": direct,
    "guestmux": guestmux,
    "socat": socat,
    "socat_64k": partial(socat, options=("-b", "65536")),
    "yamux": yamux,
    "ssh": ssh,
}
