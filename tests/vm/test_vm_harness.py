#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does the harness itself work? One guest; each check in turn, in TAP lines, status 0 or 1.

What later tests rely on is here: exit status and output of commands whatever these contain,
interrupted commands, background commands, the port as a raw pipe both ways, ports that come and go,
a reset, a person's console, and no process left behind.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from vm import PORT_NAME, Vm, VmError

# Every value of a byte, in no pattern that 4 KiB or 32 KiB pieces would repeat.
BLOB = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(20_000))
BLOB_SUM = hashlib.md5(BLOB).hexdigest()


def commands(vm: Vm) -> None:
    assert vm.run("exit 7") == (7, "")
    assert vm.run("echo out; echo err >&2; false") == (1, "out\nerr\n")
    assert vm.run("printf 'no end of line'") == (0, "no end of line")
    assert vm.run("echo 'an open quote").status == 2
    assert vm.run("cat") == (0, ""), "stdin is not empty"
    assert vm.run("printf '@@ready 1\\n\\n@@end 0\\n'").output == "@@ready 1\n\n@@end 0\n"
    assert vm.run("echo 'two\nlines'").output == "two\nlines\n"
    assert vm.run(f": {'x' * 30_000}; echo $#") == (0, "0\n"), "a long command"
    assert len(vm.check("head -c 300000 /dev/zero | tr '\\0' x")) == 300_000


def kernel_messages_stay_out(vm: Vm) -> None:
    shout = "for n in 1 2 3; do echo '<0>shout' >/dev/kmsg; echo said; done"
    assert vm.check(shout) == "said\n" * 3
    assert "shout" in vm.console_log.read_text(errors="replace")


def interrupted_command(vm: Vm) -> None:
    try:
        vm.run("echo begun; sleep 60", timeout=0.5)
    except VmError as error:
        assert "begun" in str(error)
    else:
        raise AssertionError("no timeout")
    assert vm.check("echo on") == "on\n"
    assert vm.run("pidof sleep").status == 1, "the command still runs"


def background(vm: Vm) -> None:
    sleeper = vm.spawn("sleep 60")
    assert sleeper.running()
    assert vm.check(f"cat /proc/{sleeper.pid}/comm") == "sleep\n"
    sleeper.kill("TERM")
    assert sleeper.wait() == 128 + signal.SIGTERM
    ended = vm.spawn("echo said; exit 3")
    assert ended.wait() == 3 and ended.output() == "said\n" and not ended.running()


def dynamic_program(vm: Vm) -> None:
    assert vm.check("dynamic-cat /etc/given") == "given\n"


def addresses_that_do_not_change(vm: Vm) -> None:
    """See KERNEL_ARGUMENTS: the same code at the same place is translated once."""
    maps = "cat /proc/self/maps"
    assert vm.check(maps) == vm.check(maps)


def what_guestmux_needs(vm: Vm) -> None:
    assert vm.check("cat /sys/class/virtio-ports/vport0p1/name") == f"{PORT_NAME}\n"
    vm.check("test -c /dev/vport0p1 && test -d /run && test -w /tmp")
    assert vm.check("su alice -c 'id -un'") == "alice\n"


def guest_to_host(vm: Vm) -> None:
    with vm.connect_port() as host:
        sender = vm.spawn("cat /blob >/dev/vport0p1")
        assert _receive(host, len(BLOB)) == BLOB
        assert sender.wait() == 0


def host_to_guest(vm: Vm) -> None:
    with vm.connect_port() as host:
        receiver = vm.spawn(f"head -c {len(BLOB)} /dev/vport0p1 | md5sum")
        host.sendall(BLOB)
        assert receiver.wait() == 0
        assert receiver.output().split()[0] == BLOB_SUM


def plugged_port(vm: Vm) -> None:
    path = vm.plug_port("second")
    has_it = "grep -qx second /sys/class/virtio-ports/*/name"
    vm.wait_until(has_it)
    with socket.socket(socket.AF_UNIX) as host:
        host.connect(str(path))
        vm.spawn("echo hello >/dev/vport0p2")
        assert _receive(host, 6) == b"hello\n"
    vm.unplug_port("second")
    vm.wait_until(f"! {has_it}")
    vm.unplug_port()
    vm.wait_until("! test -e /dev/vport0p1")
    vm.plug_port(path=vm.port_path)
    vm.wait_until("test -e /dev/vport0p1")


def console(vm: Vm) -> None:
    ours, terminal = os.openpty()
    typist = threading.Thread(target=vm.console_attach, args=(terminal, terminal), daemon=True)
    typist.start()
    _read_terminal(ours, b"# ")  # the prompt
    os.write(ours, b"echo $((6 * 7))th\r")
    _read_terminal(ours, b"42th")
    os.write(ours, b"\x1d")
    typist.join(10)
    assert not typist.is_alive(), "Ctrl-] does not leave"
    os.close(ours)
    os.close(terminal)


def snapshot(vm: Vm) -> None:
    counter = "exec 3<>/dev/vport0p1; n=0; while read -r _ <&3; do n=$((n + 1)); echo $n >&3; done"
    with vm.connect_port() as host:

        def ask() -> bytes:
            host.sendall(b"\n")
            return _receive(host, 2)

        counting = vm.spawn(counter)
        assert ask() == b"1\n"
        vm.snapshot()
        assert [ask(), ask()] == [b"2\n", b"3\n"]
        vm.restore()
        assert ask() == b"2\n", "the guest has not forgotten what came after the snapshot"
        counting.kill()
        counting.wait()


def reset(vm: Vm) -> None:
    vm.check("touch /run/before")
    vm.reset()
    vm.check("test ! -e /run/before")
    guest_to_host(vm)


def connecting_port(_vm: Vm) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "host.sock"
        with Vm(machine="q35", root_ports=2, connect_to=path) as vm:
            listener.bind(str(path))  # later than QEMU's first attempt
            listener.listen()
            listener.settimeout(10)
            host, _ = listener.accept()
            with host:
                vm.spawn("echo hello >/dev/vport0p1")
                assert _receive(host, 6) == b"hello\n"


def failed_boot(_vm: Vm) -> None:
    try:
        with Vm(files={"/init": "#!/bin/sh\necho stuck\nexec sleep 99\n"}, boot_timeout=6,
                keep_logs=False):  # fmt: skip
            raise AssertionError("booted")
    except VmError as error:
        assert "console.log: stuck" in str(error), str(error)
    try:
        with Vm(extra=["-no-such-option"], keep_logs=False):
            raise AssertionError("started")
    except VmError as error:
        assert "invalid option" in str(error), str(error)


def no_process_left(_vm: Vm) -> None:
    """A killed test takes its QEMU along, although nothing of its own could run any more."""
    script = (
        "import time, vm\n"
        "with vm.Vm(keep_logs=False) as v:\n"
        "    print(v.pid, v.folder, flush=True)\n"
        "    time.sleep(99)\n"
    )
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=here, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    pid, folder = child.stdout.readline().split()
    assert Path(f"/proc/{pid}").exists()
    child.kill()
    child.wait()
    child.stdout.close()
    _wait_for(lambda: not _alive(int(pid)), f"QEMU {pid} is still there")
    subprocess.run(["rm", "-r", folder], check=True)


CHECKS = [
    commands, kernel_messages_stay_out, interrupted_command, background, dynamic_program,
    addresses_that_do_not_change, what_guestmux_needs, guest_to_host, host_to_guest, plugged_port,
    console, snapshot, reset, connecting_port, failed_boot, no_process_left,
]  # fmt: skip


def _receive(sock: socket.socket, size: int) -> bytes:
    sock.settimeout(20)
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def _read_terminal(fd: int, wanted: bytes) -> None:
    data = b""
    while wanted not in data:
        assert select.select([fd], [], [], 10)[0], f"no {wanted!r} in {data!r}"
        data += os.read(fd, 4096)


def _alive(pid: int) -> bool:
    """Not gone, and not a zombie that nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def main() -> int:
    print(f"1..{len(CHECKS)}", flush=True)
    failed = 0
    begin = time.monotonic()
    files: dict[str, Path | str | bytes] = {
        "/usr/bin/dynamic-cat": Path("/bin/cat"), "/etc/given": "given\n", "/blob": BLOB,
    }  # fmt: skip
    with Vm(files=files) as vm:
        print(f"# booted in {time.monotonic() - begin:.2f} s", flush=True)
        for number, check in enumerate(CHECKS, 1):
            begin = time.monotonic()
            try:
                check(vm)
                word = "ok"
            except Exception:  # noqa: BLE001 (each check's failure is reported, and the next is run)
                traceback.print_exc()
                failed += 1
                word = "not ok"
            name = check.__name__.replace("_", " ")
            print(f"{word} {number} - {name} # {time.monotonic() - begin:.2f} s", flush=True)
        if failed:
            print(vm.logs(), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
