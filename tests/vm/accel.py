# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which accelerator test guests run under: KVM where a guest was seen to boot with it, else TCG.

/dev/kvm may be there and not work, so only a boot counts. The answer is kept in a file beside the
kernel for as long as the host is not rebooted; GUESTMUX_VM_ACCEL=kvm or tcg decides without asking.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def choose(folder: Path, boots_with_kvm: Callable[[], bool]) -> str:
    """Return "kvm" or "tcg". folder: where the answer is kept."""
    if asked := os.environ.get("GUESTMUX_VM_ACCEL"):
        return asked
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    kept = folder / f"accel.{os.geteuid()}"
    if kept.exists():
        seen_in, _, accel = kept.read_text().strip().partition(" ")
        if seen_in == boot_id:
            return accel
    accel = "kvm" if boots_with_kvm() else "tcg"
    new = kept.with_name(f"{kept.name}.{os.getpid()}")
    new.write_text(f"{boot_id} {accel}\n")
    new.rename(kept)
    return accel
