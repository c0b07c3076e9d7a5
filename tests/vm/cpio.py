# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes cpio archives of the "newc" kind, which is what the kernel unpacks as an initramfs."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import PurePosixPath


class Cpio:
    """An archive in memory, all of it root's. Parent folders are made as they are needed.

    there: paths that the guest has already, from an archive that this one is appended to.
    """

    def __init__(self, there: Iterable[str] = ()) -> None:
        self._parts: list[bytes] = []
        self._paths: set[str] = set(there)

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        if path not in self._paths and path != "/":
            self._add(path, stat.S_IFDIR | mode, b"")

    def add_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, data)

    def add_symlink(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def paths(self) -> set[str]:
        """All that was added, and what was there."""
        return set(self._paths)

    def content(self) -> bytes:
        """Without an end, so that more can be appended."""
        return b"".join(self._parts)

    def finish(self) -> bytes:
        self._entry("TRAILER!!!", 0, b"")
        return self.content()

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def _add(self, path: str, mode: int, data: bytes) -> None:
        self.add_folder(str(PurePosixPath(path).parent))
        self._paths.add(path)
        self._entry(path.lstrip("/"), mode, data)

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        name_z = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, size, four device numbers, name's length, checksum
        fields = (len(self._parts), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name_z), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name_z
        self._parts += [header, b"\0" * (-len(header) % 4), data, b"\0" * (-len(data) % 4)]
