#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The initramfs of a test guest whose init is systemd, with udev: Debian's own, from mmdebstrap.

Its root is made once, by tests/vm/fetch, and kept as the beginning of an archive; what a test adds
is appended for each boot. Packages are unpacked and not configured, so nobody has to be root.

Called as a program: systemd_image.py FOLDER, where FOLDER/guest is what tests/vm/fetch brought.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import image
from cpio import Cpio

PACKAGES = (
    "base-files", "bash", "coreutils", "dash", "findutils", "grep", "kmod", "mount", "sed",
    "systemd", "udev", "util-linux",
)  # fmt: skip
#: What nothing here needs, half of it all.
LEFT_OUT = (
    "/boot", "/dev", "/etc/perl", "/usr/bin/perl", "/usr/lib/udev/hwdb.d", "/usr/lib/locale",
    "/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib/x86_64-linux-gnu/libperl",
    "/usr/lib/x86_64-linux-gnu/perl", "/usr/share", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
)  # fmt: skip
#: Of no use in a guest that lives for a minute, and each costs time.
MASKED = (
    "getty.target", "kmod-static-nodes.service", "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "dev-hugepages.mount", "dev-mqueue.mount",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path",
    "systemd-binfmt.service", "systemd-firstboot.service", "systemd-journal-flush.service",
    "systemd-logind.service", "systemd-machine-id-commit.service", "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service", "systemd-random-seed.service", "systemd-repart.service",
    "systemd-sysusers.service", "systemd-tmpfiles-clean.timer", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service",
)  # fmt: skip
#: Made by packages when they are configured; the groups are udev's.
USERS = (
    "alice:x:1000:1000::/tmp:/bin/sh\nbob:x:1001:1001::/tmp:/bin/sh\n"
    "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
)
GROUPS = "".join(f"{name}:x:{gid}:\n" for gid, name in enumerate(
    ("input", "kvm", "render", "sgx", "systemd-journal"), 900)) + "alice:x:1000:\nbob:x:1001:\n"
ETC = {
    "/etc/hostname": "guest\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/systemd/journald.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n",
    "/etc/systemd/system.conf": "[Manager]\nShowStatus=no\nDefaultTimeoutStartSec=20s\n",
}
LINKS = {
    "/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64",
    "/var/run": "/run", "/etc/mtab": "/proc/self/mounts",
    "/etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
}  # fmt: skip
#: The kernel's first file system cannot be moved away, as systemd does for a service that sees it
#: read-only; another view of it can. Nor has it the mode of a root.
INIT = """#!/bin/sh
chmod 755 /
mount --bind / /mnt
cd /mnt
mount --move . /
exec chroot . /usr/lib/systemd/systemd
"""
#: The shell that takes the harness's commands, like tests/vm/init's.
HARNESS = r"""[Unit]
Description=Shell that takes the test's commands
DefaultDependencies=no
After=systemd-udevd.service systemd-journald.socket

[Service]
ExecStart=/bin/sh -c 'stty raw -echo isig quit undef susp undef; \
    echo "@@ready $(cat /proc/sys/kernel/random/boot_id)"; exec sh /dev/ttyS1'
WorkingDirectory=/root
Environment=HOME=/root TERM=linux SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0 SYSTEMD_PAGER=
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Restart=always
RestartSec=0
StartLimitBurst=0
KillMode=process
"""


def build(guest: Path, files: Mapping[str, image.Content]) -> bytes:
    """Make the archive, as image.build() does."""
    root = guest.with_name("systemd")
    if not (root / "made-of").exists():
        raise image.ImageError("no root with systemd: run tests/vm/fetch")
    cpio = Cpio((root / "paths").read_text().splitlines())
    cpio.add_file("/etc/systemd/system/harness.service", HARNESS.encode())
    cpio.add_symlink("/etc/systemd/system/sysinit.target.wants/harness.service",
                     "../harness.service")  # fmt: skip
    image.add_files(cpio, files, _place)
    return (root / "root.cpio").read_bytes() + cpio.finish()


def _place(path: str) -> str:
    """Where a path is: /bin, /sbin, /lib and /lib64 are links into /usr."""
    return f"/usr{path}" if path.startswith(("/bin/", "/sbin/", "/lib/", "/lib64/")) else path


# ---- the root ----


def make_root(folder: Path) -> None:
    """Make folder/systemd, unless it is there and made of the same."""
    release = (folder / "guest/modules").resolve().name
    made_of = hashlib.sha256(Path(__file__).read_bytes() + release.encode()).hexdigest()
    key = folder / "systemd/made-of"
    with (folder / "systemd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if key.exists() and key.read_text() == made_of:
            return
        print("making a root with systemd and udev for the test guests", flush=True)
        key.unlink(missing_ok=True)
        key.parent.mkdir(exist_ok=True)
        cpio = Cpio()
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _debootstrap(cpio, Path(temporary))
            _add_modules(cpio, folder / "guest/modules", release, Path(temporary))
        _configure(cpio)
        (folder / "systemd/root.cpio").write_bytes(cpio.content())
        (folder / "systemd/paths").write_text("".join(f"{path}\n" for path in sorted(cpio.paths())))
        key.write_text(made_of)


def _debootstrap(cpio: Cpio, temporary: Path) -> None:
    tar = temporary / "root.tar"
    options = _apt("apt-config", "dump", "--format", '%F "%v";%n', "Acquire")
    (temporary / "apt.conf").write_text(options)
    (temporary / "sources.list").write_text("".join(_sources()))
    subprocess.run(
        [
            "mmdebstrap", "--quiet", "--mode=chrootless", "--variant=extract",
            f"--include={','.join(PACKAGES)}", f"--aptopt={temporary}/apt.conf",
            "", tar, temporary / "sources.list",
        ],
        check=True,
    )  # fmt: skip
    with tarfile.open(tar) as archive:
        for member in archive:
            _add_member(cpio, archive, member)


def _apt(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _sources() -> Iterator[str]:
    """Debian's sources that this host has, so that libraries of the host's are the guest's too."""
    form = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = _apt("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    for line in targets.splitlines():
        origin, _, rest = line.partition(" ")
        if origin == "Debian":
            yield f"deb {rest}\n"


def _add_member(cpio: Cpio, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = _place(member.name.removeprefix("."))
    if path.startswith(LEFT_OUT):
        return
    if path in cpio or path in LINKS or path in ("", "/"):
        return
    mode = stat.S_IMODE(member.mode)
    if member.isdir():
        cpio.add_folder(path, mode)
    elif member.issym():
        cpio.add_symlink(path, member.linkname)
    elif content := archive.extractfile(member):
        cpio.add_file(path, content.read(), mode)


def _add_modules(cpio: Cpio, modules: Path, release: str, temporary: Path) -> None:
    """The modules, and the lists by which udev finds them."""
    target = temporary / "lib/modules" / release
    for path, data in image.modules_in_load_order(modules).values():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).with_suffix(".ko").write_bytes(data)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (target / name).write_bytes((modules / name).read_bytes())
    sbin = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    subprocess.run(["depmod", "-b", temporary, release], check=True, env={"PATH": sbin})
    for file in sorted(target.rglob("*")):
        if file.is_file():
            cpio.add_file(f"/usr/{file.relative_to(temporary)}", file.read_bytes())


def _configure(cpio: Cpio) -> None:
    masters = Path("/usr/share/base-passwd")
    for name, more in (("passwd", USERS), ("group", GROUPS)):
        cpio.add_file(f"/etc/{name}", (masters / f"{name}.master").read_bytes() + more.encode())
    for path, content in ETC.items():
        cpio.add_file(path, content.encode())
    for link, target in LINKS.items():
        cpio.add_symlink(link, target)
    for unit in MASKED:
        cpio.add_symlink(f"/etc/systemd/system/{unit}", "/dev/null")
    cpio.add_file("/init", INIT.encode(), 0o755)
    for folder in ("/dev", "/proc", "/sys", "/run", "/root", "/mnt"):
        cpio.add_folder(folder)
    for folder in ("/tmp", "/var/tmp"):
        cpio.add_folder(folder, 0o1777)


if __name__ == "__main__":
    make_root(Path(sys.argv[1]))
