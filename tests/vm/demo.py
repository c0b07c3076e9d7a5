#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job, in a real guest: programs in it talk to handlers on the host, through one port.

`./dev demo` builds and brings what this needs. Everything lives in temporary folders and ends with
this program.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from types import FrameType
from typing import Any

from clipboard import Clipboard
from image import ImageError
from qmp import QmpError
from stack import BIN, ECHO, GUEST_SOCKET, NOISE, VM_NAME, Guest, Host, guest_vm, shell
from telling import DemoError, check, detail, say
from vm import FOLDER, PORT_NAME, Background, Vm, VmError

MIB = 1 << 20
BULK = 64 * MIB
IDLE_ROUNDS = 500
OTHER_NAME = "guest2"
PAUSE_US = 2000  # between two pings: somebody types
GUEST_SERVICES = {"hello": shell("echo hello from the guest, kernel $(uname -r)")}
#: What the service that comes and goes says, on the host, to whoever opens it.
CLIP = "echo \"copied on the host, for $GUESTMUX_PROGRAM, user $GUESTMUX_UID of $GUESTMUX_LINK\""


class Demo:
    """The steps, in order; each one that has a result puts a row into the closing table."""

    def __init__(self, host: Host, vm: Vm, other: Vm) -> None:
        self._host = host
        self._vm = vm
        self._other = other
        self._guest = Guest(vm)
        self._rows: list[tuple[str, str, str]] = []
        self._up_sum = host.folder / "upload.sum"
        self._down = host.folder / "download"
        self._seed = secrets.randbelow(1 << 32)

    def logs(self) -> str:
        """The tails of all that was said, for somebody who looks for what went wrong."""
        try:
            guestmux = self._guest.log()
        except Exception as error:  # noqa: BLE001 (the guest may be what went wrong)
            guestmux = f"cannot be had: {error}\n"
        tails = (self._host.log(), guestmux)
        text = "".join(f"{line}\n" for log in tails for line in log.splitlines()[-15:])
        return text + self._vm.logs()

    def run(self) -> None:
        self._start_daemons()
        self._one_by_one()
        self._come_and_go()
        self._rows += Clipboard(self._host, self._vm, self._other).run()
        self._all_at_once()

    # ---- beginning ----

    def offer_services(self) -> None:
        host = self._host
        host.service("echo", {**ECHO, "description": "what is sent comes back"})
        host.service("upload", {**shell(f"sha256sum >{self._up_sum}"),
                                "description": "takes a checksum of what is sent"})  # fmt: skip
        host.service("download", {"exec": ["/bin/cat", str(self._down)],
                                  "description": "64 MiB that look random"})  # fmt: skip
        host.service("never", {**shell("exec sleep 3600"), "description": "never reads"})

    def _start_daemons(self) -> None:
        say("starting hostmux on the host and guestmux in the guest")
        self.offer_services()
        self._host.configure(vms={
            name: {"port": f"unix:{vm.port_path}", "qmp": f"unix:{vm.qmp_path}"}
            for name, vm in ((VM_NAME, self._vm), (OTHER_NAME, self._other))
        })  # fmt: skip
        self._host.start(None)
        begin = time.monotonic()
        daemon = self._guest.start()
        try:
            self._host.wait_up()
        except TimeoutError as error:
            raise DemoError("the daemons do not find each other") from error
        detail(f"session up after {time.monotonic() - begin:.2f} s; guestmux says:")
        detail(self._vm.check(f"cat {daemon.log}"))

    # ---- one thing at a time ----

    def _one_by_one(self) -> None:
        say("alone on the port: a 64-byte message to the echo and back, again and again")
        command = f"pingpong -n {IDLE_ROUNDS} -i {PAUSE_US} {GUEST_SOCKET} echo"
        detail(f"guest# {command}")
        self._latency("64 bytes and back, idle", self._vm.check(command))

    def _latency(self, what: str, output: str) -> None:
        figures = re.search(r"rounds (\d+) .* p50 (\d+) p99 (\d+) max (\d+) us", output)
        if not figures:
            raise DemoError(f"pingpong failed: {output}")
        detail(output)
        rounds, p50, p99, _ = map(int, figures.groups())
        figure = f"p50 {p50 / 1000:.2f} ms, p99 {p99 / 1000:.2f} ms, {rounds} times"
        self._rows.append((what, "ok", figure))

    # ---- a service that comes and goes ----

    def _come_and_go(self) -> None:
        say("a program in the guest waits for a service that nobody offers yet")
        events = self._spawn("muxctl events --only services")
        app = self._spawn("muxctl wait clip --timeout 30 && muxctl connect clip </dev/null")
        time.sleep(1)
        check(app.running(), f"it did not wait: {app.output()}")
        detail("it waits")

        say("a program on the host registers it, while everything runs, and then ends")
        command = ("muxctl", "listen", "clip", "--description", "the clipboard")
        detail(f"host$ {shlex.join(command)} -- sh -c '{CLIP}' &")
        begin = time.monotonic()
        host = self._host.app(BIN / "muxctl", "--socket", self._host.socket, *command[1:],
                              "--quiet", "--", "/bin/sh", "-c", CLIP)  # fmt: skip
        with ended(host):
            check(app.wait() == 0, f"it could not open it: {app.output()}")
            took = time.monotonic() - begin
            detail(f"the guest's program goes on, and is told:\n    {app.output().strip()}")
            check(f"user 0 of {VM_NAME}" in app.output(), "the handler was not told who calls")
        self._vm.wait_until(f"grep -q service-removed {events.log}")
        detail(f"what the guest saw:\n{indent(events.output(), '    ')}")
        events.kill()
        self._rows.append(
            ("a service comes, is used, and goes", "ok", f"{took * 1000:.0f} ms from start to use")
        )

    # ---- all at the same time ----

    def _all_at_once(self) -> None:
        say("making 64 MiB that look random at both ends, with their checksums")
        self._vm.check(f"noise {self._seed} {BULK} >/tmp/upload")
        ours = self._vm.check("sha256sum </tmp/upload").split()[0]
        theirs = _make_download(self._down, self._seed + 1)

        say("now all of it at the same time, through the one port and the memory beside it:")
        begin = time.monotonic()
        never = self._spawn("cat /dev/zero | muxctl connect never")
        upload = self._spawn("muxctl connect upload </tmp/upload")
        download = self._spawn("muxctl connect download </dev/null | sha256sum")
        typist = self._spawn(f"pingpong -n 1000000 -i {PAUSE_US} {GUEST_SOCKET} echo")
        self._echo()
        self._no_service()
        self._watch(upload, download, begin)
        typist.kill()
        typist.wait()
        self._latency("64 bytes and back, while the bulk runs", typist.output())
        self._check_sum("guest to host", ours, self._up_sum.read_text().split()[0], self._took[0])
        self._check_sum("host to guest", theirs, download.output().split()[0], self._took[1])
        self._never(never)

    def _spawn(self, command: str) -> Background:
        detail(f"guest# {command} &")
        return self._vm.spawn(command)

    def _echo(self) -> None:
        text = f"hello {secrets.token_hex(4)}"
        command = f"pipe-client pipe:echo '{text}'"
        detail(f"guest# {command}")
        begin = time.monotonic()
        output = self._vm.check(command)
        took = time.monotonic() - begin
        detail(output)
        check(output == text, f"the echo of {text!r} is {output!r}")
        self._rows.append(
            ("AndroidPipe-style client, echo", "ok", f"{took * 1000:.0f} ms with its start")
        )

    def _no_service(self) -> None:
        command = "muxctl connect no-such-thing"
        detail(f"guest# {command}")
        status, output = self._vm.run(command)
        detail(f"{output.strip()}   (exit status {status})")
        check(status == 11 and "no-service" in output, f"it was not refused: {output!r}")
        self._rows.append(("a service that does not exist", "refused", "ERR no-service"))

    def _watch(self, upload: Background, download: Background, begin: float) -> None:
        """Show how the bulk goes, and the status once in the middle."""
        left = {"upload": upload, "download": download}
        took: dict[str, float] = {}
        shown, next_line = False, begin + 1
        while left:
            for name, app in list(left.items()):
                if not app.running():
                    took[name] = time.monotonic() - begin
                    check(left.pop(name).wait() == 0, f"the {name} failed: {app.output()}")
            moved = self._moved()
            if not shown and sum(moved) > BULK // 2:
                say("hostmux, as `muxctl status` shows it just now")
                detail(self._host.muxctl("status").stdout)
                shown = True
            if time.monotonic() > next_line and left:
                detail(f"{time.monotonic() - begin:3.0f} s  guest to host {moved[0] / MIB:3.0f} MiB"
                       f"  host to guest {moved[1] / MIB:3.0f} MiB")  # fmt: skip
                next_line += 1
            time.sleep(0.1)
        self._took = took["upload"], took["download"]

    def _moved(self) -> tuple[int, int]:
        """Bytes of the upload and the download until now; what has ended counts as all."""
        channels = {channel["service"]: channel for channel in self._host.link()["channels"]}
        return (
            channels["upload"]["received"] if "upload" in channels else BULK,
            channels["download"]["sent"] if "download" in channels else BULK,
        )

    def _check_sum(self, way: str, sent: str, received: str, took: float) -> None:
        say(f"sha256 of the 64 MiB {way}")
        detail(f"sent      {sent}\nreceived  {received}")
        check(sent == received, f"what went {way} did not arrive as it was sent")
        figure = f"{BULK / MIB / took:.0f} MiB/s"
        self._rows.append((f"64 MiB {way}, sha256 compared", "same", figure))

    def _never(self, app: Background) -> None:
        say("the handler that never read, all that time")
        check(app.running(), f"its app has ended: {app.output()}")
        held = next(c for c in self._host.link()["channels"] if c["service"] == "never")
        sender = next(c for c in self._guest.link()["channels"] if c["service"] == "never")
        figure = f"{held['unread']} bytes wait, credit {sender['credit']}"
        detail(f"{figure}: its app is held, nobody else is")
        check(held["unread"] > 0 and sender["credit"] == 0, "it is not held by its credit")
        self._rows.append(("a handler that never reads", "held", figure))
        app.kill()

    # ---- end ----

    def table(self) -> None:
        say("what was shown")
        what, result = (max(len(row[n]) for row in self._rows) for n in (0, 1))
        for row in [("what", "result", "figure"), *self._rows]:
            detail(f"{row[0]:{what}}  {row[1]:{max(result, 6)}}  {row[2]}")

    def keep(self) -> None:
        """A shell on the guest's console, until the person leaves it."""
        say("the guest stays: this is its console, Ctrl-] leaves and ends everything")
        detail(f"""\
here, in the guest, for instance:
    muxctl status
    muxctl services
    echo hello | muxctl connect echo
    muxctl wait clip && muxctl connect clip </dev/null
    pipe-client pipe:echo hello
    muxctl connect download </dev/null | sha256sum
    muxctl connect no-such-thing
    muxctl buffer create clip --size 1M &
    muxctl buffer watch clip
    pingpong {GUEST_SOCKET} echo
in another terminal, on the host:
    {BIN}/muxctl --socket {self._host.socket} status
    {BIN}/muxctl --socket {self._host.socket} listen clip -- date
    {BIN}/muxctl --socket {self._host.socket} top
    {BIN}/muxctl --socket {self._host.socket} events
    {BIN}/muxctl --socket {self._host.socket} services
    {BIN}/muxctl --socket {self._host.socket} buffer list
    echo hello | {BIN}/muxctl --socket {self._host.socket} buffer fill {VM_NAME}/clip
    {BIN}/muxctl --socket {self._host.socket} connect {VM_NAME}/hello </dev/null
services of the host:
    echo, upload, download, never
services are files; hostmux notices when they change:
    {self._host.folder}/services
services of the guest:
    {", ".join(GUEST_SERVICES)}
""")
        self._vm.console_attach()


@contextmanager
def ended(program: subprocess.Popen[str]) -> Iterator[None]:
    """A program of the host's, which ends with the block."""
    try:
        yield
    finally:
        program.terminate()
        program.communicate()


def _make_download(path: Path, seed: int) -> str:
    """Write the file of the download service; its checksum."""
    with path.open("wb") as file:
        subprocess.run([NOISE, str(seed), str(BULK)], stdout=file, check=True)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def booted() -> Iterator[Demo]:
    say(f"booting Debian's {_kernel()} in QEMU, twice, each with one port named {PORT_NAME}")
    begin = time.monotonic()
    with Host() as host, guest_vm(GUEST_SERVICES, keep_logs=False) as vm:
        with guest_vm(keep_logs=False) as other:
            detail(f"the guests are up after {time.monotonic() - begin:.1f} s")
            yield Demo(host, vm, other)


def _kernel() -> str:
    return (FOLDER / "guest/vmlinuz").resolve().name.replace("vmlinuz-", "kernel ")


def demonstrate(keep: bool) -> None:
    begin = time.monotonic()
    with booted() as demo:
        try:
            demo.run()
            demo.table()
            if keep:
                demo.keep()
        except Exception as error:
            raise DemoError(f"{error}\n{demo.logs()}") from error
    say(f"all good after {time.monotonic() - begin:.1f} s; no process and no file is left")


def _on_term(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true",
        help="leave the guest running afterwards, with a shell on its console",
    )  # fmt: skip
    arguments: Any = parser.parse_args()
    signal.signal(signal.SIGTERM, _on_term)
    signal.signal(signal.SIGHUP, _on_term)
    try:
        demonstrate(arguments.keep)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    except (DemoError, VmError, QmpError, ImageError, OSError) as error:
        print(f"demo: failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
