# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The initramfs of a test guest: busybox, kernel modules, and the programs under test.

A program brings the shared libraries that ldd finds for it, each at the path where it was found, so
that a RUNPATH into the build tree holds in the guest too. Modules are listed for /init in the order
in which they have to be loaded. The archive is an uncompressed cpio of the "newc" kind.
"""

from __future__ import annotations

import lzma
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

#: What a guest path holds: a host file (with its libraries), or the content itself.
Content = Path | str | bytes

MODULES = ("virtio_pci", "virtio_console")
FOLDERS = ("/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/var/lib", "/usr/sbin", "/sbin")
ETC: dict[str, Content] = {
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n"
    "alice:x:1000:1000::/tmp:/bin/sh\n"
    "bob:x:1001:1001::/tmp:/bin/sh\n",
    "/etc/group": "root:x:0:\nalice:x:1000:\nbob:x:1001:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}


class ImageError(Exception):
    """An input of the image is missing or unusable."""


class Cpio:
    """A newc archive in memory. Parent folders are made as they are needed, each path once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._paths: set[str] = set()

    def add_folder(self, path: str) -> None:
        if path not in self._paths and path != "/":
            self._add(path, stat.S_IFDIR | 0o755, b"")

    def add_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, data)

    def add_symlink(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def finish(self) -> bytes:
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

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


def build(guest: Path, files: Mapping[str, Content]) -> bytes:
    """Make the archive. guest: the folder of tests/vm/fetch. files: guest path to content."""
    cpio = Cpio()
    for folder in FOLDERS:
        cpio.add_folder(folder)
    files = {"/init": Path(__file__).with_name("init"), **ETC, **files}
    for path, content in files.items():
        cpio.add_file(path, *_data_and_mode(content))
    for library in _libraries(c for c in files.values() if isinstance(c, Path) and _is_elf(c)):
        if str(library) not in cpio:
            cpio.add_file(str(library), library.read_bytes(), 0o755)
    _add_busybox(cpio, guest / "busybox")
    _add_modules(cpio, guest / "modules")
    return cpio.finish()


def _data_and_mode(content: Content) -> tuple[bytes, int]:
    if isinstance(content, Path):
        if not content.is_file():
            raise ImageError(f"{content} is not there: has it been built?")
        return content.read_bytes(), content.stat().st_mode & 0o777
    data = content.encode() if isinstance(content, str) else content
    return data, 0o755 if data.startswith(b"#!") else 0o644


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(programs: Iterable[Path]) -> list[Path]:
    """The libraries and the interpreter of all programs, each once."""
    paths = [str(path.resolve()) for path in programs]
    if not paths:
        return []
    # A static program makes ldd's status 1, so the status says nothing.
    ldd = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=False)
    if missing := re.search(r"(\S+) => not found", ldd.stdout):
        raise ImageError(f"the library {missing[1]} is missing")
    return [Path(found) for found in dict.fromkeys(re.findall(r"(/\S+) \(0x", ldd.stdout))]


def _add_busybox(cpio: Cpio, busybox: Path) -> None:
    cpio.add_file("/bin/busybox", busybox.read_bytes(), 0o755)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            cpio.add_symlink(f"/bin/{applet}", "busybox")


def _add_modules(cpio: Cpio, modules: Path) -> None:
    names = []
    for name, data in _in_load_order(modules):
        cpio.add_file(f"/lib/modules/{name}.ko", data)
        names.append(f"/lib/modules/{name}.ko\n")
    cpio.add_file("/etc/modules-in-order", "".join(names).encode())


def _in_load_order(modules: Path) -> Iterator[tuple[str, bytes]]:
    """MODULES and what they need, what is needed first; built-in ones are left out."""
    paths = map(Path, (modules / "modules.order").read_text().split())
    by_name = {path.stem.replace("-", "_"): modules / path for path in paths}
    seen: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, bytes]]:
        if name in by_name and name not in seen:
            seen.add(name)
            data = _module_data(by_name[name])
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            for needed in depends[1].decode().split(",") if depends else ():
                yield from visit(needed.replace("-", "_"))
            yield name, data

    for name in MODULES:
        yield from visit(name)


def _module_data(path: Path) -> bytes:
    """The module as /init's insmod wants it: uncompressed (Debian 13 compresses them)."""
    if path.exists():
        return path.read_bytes()
    return lzma.decompress(path.with_name(f"{path.name}.xz").read_bytes())
