# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The initramfs of a test guest: busybox, kernel modules, and the programs under test.

A program brings the shared libraries that ldd finds for it, each at the path where it was found, so
that a RUNPATH into the build tree holds in the guest too; those that tests/parts/fetch unpacked are
where their packages would have put them. Modules are listed for /init in the order
in which they have to be loaded. The archive is an uncompressed cpio of the "newc" kind.
"""

from __future__ import annotations

import lzma
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import parts
from cpio import Cpio

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


def build(guest: Path, files: Mapping[str, Content]) -> bytes:
    """Make the archive. guest: the folder of tests/vm/fetch. files: guest path to content."""
    cpio = Cpio()
    for folder in FOLDERS:
        cpio.add_folder(folder)
    add_files(cpio, {"/init": Path(__file__).with_name("init"), **ETC, **files})
    _add_busybox(cpio, guest / "busybox")
    _add_modules(cpio, guest / "modules")
    return cpio.finish()


def add_files(
    cpio: Cpio, files: Mapping[str, Content], place: Callable[[str], str] = lambda path: path
) -> None:
    """Add files, and the libraries of those that are programs, unless the guest has these.

    place: where in the guest what is meant for a path is put.
    """
    for path, content in files.items():
        cpio.add_file(place(path), *_data_and_mode(content))
    for library in _libraries(c for c in files.values() if isinstance(c, Path) and _is_elf(c)):
        path = place(_installed(library))
        if path not in cpio:
            cpio.add_file(path, library.read_bytes(), 0o755)


def _installed(path: Path) -> str:
    """Where a file would be if the package that it was unpacked from were installed."""
    return f"/{path.relative_to(parts.ROOT)}" if path.is_relative_to(parts.ROOT) else str(path)


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
    paths = [path.resolve() for path in programs]
    if not paths:
        return []
    unpacked = any(path.is_relative_to(parts.ROOT) for path in paths)
    # A static program makes ldd's status 1, so the status says nothing.
    ldd = subprocess.run(
        ["ldd", *paths], capture_output=True, text=True, check=False,
        env=parts.environment() if unpacked else None,
    )  # fmt: skip
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
    for name, (_, data) in modules_in_load_order(modules).items():
        cpio.add_file(f"/lib/modules/{name}.ko", data)
        names.append(f"/lib/modules/{name}.ko\n")
    cpio.add_file("/etc/modules-in-order", "".join(names).encode())


def modules_in_load_order(modules: Path) -> dict[str, tuple[Path, bytes]]:
    """MODULES and what they need, what is needed first; built-in ones are left out.

    Name to path, as modules.order has it, and content.
    """
    paths = map(Path, (modules / "modules.order").read_text().split())
    by_name = {path.stem.replace("-", "_"): path for path in paths}
    found: dict[str, tuple[Path, bytes]] = {}

    def visit(name: str) -> None:
        if name in by_name and name not in found:
            data = _module_data(modules / by_name[name])
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            for needed in depends[1].decode().split(",") if depends else ():
                visit(needed.replace("-", "_"))
            found[name] = by_name[name], data

    for name in MODULES:
        visit(name)
    return found


def _module_data(path: Path) -> bytes:
    """The module as /init's insmod wants it: uncompressed (Debian 13 compresses them)."""
    if path.exists():
        return path.read_bytes()
    return lzma.decompress(path.with_name(f"{path.name}.xz").read_bytes())
