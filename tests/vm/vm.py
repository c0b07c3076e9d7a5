#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real guest for tests, steered from the outside.

    with Vm(programs=["build/bin/guestmux"]) as vm:
        daemon = vm.spawn("guestmux")
        status, output = vm.run("muxctl status", timeout=5)

If the `with` block fails, the guest's folder with console.log and qemu.log stays, and its path is
printed. Called as a program, this says which accelerator guests run under (and so finds it out for
later).
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import accel
import image
import terminal
from commands import CommandTimeout, LineClosed, Result
from machine import PORT_NAME, QEMU, Machine, VmError

__all__ = ["PORT_NAME", "Background", "Result", "Vm", "VmError", "find_accelerator"]

ROOT = Path(__file__).resolve().parents[2]
#: Holds what tests/vm/fetch brought.
FOLDER = Path(os.environ.get("GUESTMUX_VM_FOLDER", ROOT / "build" / "vm"))


class Background:
    """A command that runs in the guest while others are run. pid is the command's own."""

    def __init__(self, vm: Vm, base: str) -> None:
        self._vm = vm
        self._base = base
        self.log = f"{base}.log"
        self.pid = int(vm.check(f"until [ -s {base}.pid ]; do sleep 0.005; done; cat {base}.pid"))

    def output(self) -> str:
        """What it printed until now."""
        return self._vm.check(f"cat {self.log}")

    def running(self) -> bool:
        return self._vm.run(f"test ! -e {self._base}.status").status == 0

    def kill(self, sig: str = "TERM") -> None:
        """Signal it and all that it started."""
        self._vm.check(f"kill -{sig} -{self.pid}")

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for its end; its exit status, 128 and the signal's number if one killed it."""
        self._vm.wait_until(f"test -s {self._base}.status", timeout)
        return int(self._vm.check(f"cat {self._base}.status"))


class Vm(Machine):
    """One guest, from its boot to the end of a `with` block.

    programs: host files, found in the guest's /usr/bin with the libraries that they need.
    files: guest path to a host file (a Path) or to content (str or bytes).
    make_image: image.build, or systemd_image.build for a guest whose init is systemd.
    accelerator: "kvm" or "tcg", otherwise KVM where it is seen to work.
    hardware: what Machine takes.
    """

    def __init__(
        self,
        programs: Iterable[Path | str] = (),
        files: Mapping[str, image.Content] | None = None,
        *,
        make_image: Callable[[Path, Mapping[str, image.Content]], bytes] = image.build,
        accelerator: str | None = None,
        boot_timeout: float = 60.0,
        keep_logs: bool = True,
        **hardware: Any,
    ) -> None:
        super().__init__(**hardware)
        self._files = {f"/usr/bin/{Path(p).name}": Path(p) for p in programs} | dict(files or {})
        self._make_image = make_image
        self._accelerator = accelerator
        self._boot_timeout = boot_timeout
        self._keep_logs = keep_logs
        self._spawned = 0

    def __enter__(self) -> Vm:
        _check_host()
        guest = FOLDER / "guest"
        initramfs = self._make_image(guest, self._files)
        accelerator = self._accelerator or find_accelerator()
        self._make_folder()
        try:
            self._start(guest / "vmlinuz", initramfs, accelerator)
            self._wait_boot()
        except BaseException as error:
            self._end(keep_folder=self._keeps_logs(error))
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(keep_folder=self._keeps_logs(error))

    def _keeps_logs(self, error: BaseException | None) -> bool:
        """Not when the program is told to end: nobody wants to know why, then."""
        return self._keep_logs and error is not None and not isinstance(error, SystemExit)

    def reset(self) -> None:
        """Reset the machine, as its button would, and wait until the shell is there again."""
        self.qmp("system_reset")
        self._wait_boot()

    def _wait_boot(self) -> None:
        assert self._commands
        try:
            self._commands.wait_boot(self._boot_timeout)
        except (TimeoutError, LineClosed) as error:
            what = "QEMU ended" if isinstance(error, LineClosed) else "the guest did not boot"
            raise VmError(f"{what} within {self._boot_timeout:g} s\n{self.logs()}") from error

    def run(self, command: str, timeout: float = 30.0) -> Result:
        """Run a shell command in the guest: (exit status, stdout and stderr together)."""
        assert self._commands
        try:
            return self._commands.run(command, timeout)
        except CommandTimeout as error:
            raise VmError(str(error)) from error
        except (LineClosed, OSError) as error:
            raise VmError(f"QEMU ended during {command!r}\n{self.logs()}") from error

    def check(self, command: str, timeout: float = 30.0) -> str:
        """Run a command that has to succeed; its output."""
        status, output = self.run(command, timeout)
        if status != 0:
            raise VmError(f"{command!r} in the guest: status {status}\n{output}")
        return output

    def wait_until(self, command: str, timeout: float = 10.0) -> None:
        """Run a command again and again, until it succeeds."""
        deadline = time.monotonic() + timeout
        while (result := self.run(command)).status != 0:
            if time.monotonic() > deadline:
                text = f"{command!r} did not succeed within {timeout:g} s\n{result.output}"
                raise VmError(text)
            time.sleep(0.02)

    def spawn(self, command: str) -> Background:
        """Start a command in the guest's background, in a session of its own."""
        self._spawned += 1
        base = f"/tmp/background-{self._spawned}"
        inner = shlex.quote(f"echo $$ >{base}.pid; {command}")
        self.check(
            f"rm -f {base}.*; "
            f"( setsid sh -c {inner} >{base}.log 2>&1; echo $? >{base}.status ) >/dev/null 2>&1 &"
        )
        return Background(self, base)

    def console_attach(self, keyboard: int = 0, screen: int = 1) -> None:
        """Join a person's terminal to the guest's console until Ctrl-] is typed or QEMU ends."""
        if os.isatty(screen):
            size = os.get_terminal_size(screen)
            self.run(f"stty -F /dev/ttyS0 cols {size.columns} rows {size.lines}")
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self.console_path))
            terminal.join(console, keyboard, screen)


def find_accelerator() -> str:
    """"kvm" if a guest boots with it on this host, otherwise "tcg"."""

    def boots_with_kvm() -> bool:
        # A boot with KVM takes about a second; a KVM that does not work hangs silently.
        try:
            with Vm(accelerator="kvm", boot_timeout=6.0, keep_logs=False):
                return True
        except VmError:
            return False

    _check_host()
    return accel.choose(FOLDER, boots_with_kvm)


def _check_host() -> None:
    if not shutil.which(QEMU):
        raise VmError(f"{QEMU} is not installed")
    if not (FOLDER / "guest").exists():
        raise VmError("nothing to make a guest of: run tests/vm/fetch")


if __name__ == "__main__":
    print(f"== guests run under {find_accelerator()}")
