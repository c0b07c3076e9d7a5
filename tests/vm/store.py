# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's store of descriptors, as far as hostmux uses it: what is kept over a restart."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

#: Gives descriptors the numbers that systemd would, and becomes the program.
_EXEC = """
import fcntl, os, sys
names, numbers, command = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
moved = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 1000) for n in numbers]
for n in numbers:
    os.close(int(n))
for at, fd in enumerate(moved):
    os.dup2(fd, 3 + at)
    os.close(fd)
if numbers:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)),
                      LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


class Store:
    """Open between `with` and its end. descriptors: by name."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify.sock"
        self._kept: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._take)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", str(self.path))
        self._thread.join()
        self._socket.close()
        for fd in self._kept.values():
            os.close(fd)

    def names(self) -> set[str]:
        return set(self._kept)

    def descriptors(self) -> tuple[int, ...]:
        return tuple(self._kept.values())

    def command(self, command: Sequence[Path | str]) -> list[str]:
        """What starts it with all that is kept."""
        numbers = " ".join(map(str, self._kept.values()))
        return ["/usr/bin/env", f"NOTIFY_SOCKET={self.path}", sys.executable, "-c", _EXEC,
                ":".join(self._kept), numbers, *map(str, command)]  # fmt: skip

    def _take(self) -> None:
        while True:
            text, fds, _, _ = socket.recv_fds(self._socket, 65536, 16)
            words = dict(x.split("=", 1) for x in text.decode().splitlines() if "=" in x)
            name = words.get("FDNAME", "stored")
            if "FDSTOREREMOVE" in words and name in self._kept:
                os.close(self._kept.pop(name))
            for fd in fds:
                if "FDSTORE" in words and name not in self._kept:
                    self._kept[name] = fd
                else:
                    os.close(fd)
            if text == b"END":
                return
