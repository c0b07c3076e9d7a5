#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest whose init is systemd, with udev: its port starts guestmux, and stops it.

The unit and the rule are those that `cmake --install` installs, and nothing else starts anything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import image
import systemd_image
from stack import BIN, BUILD, ECHO, Handler, Host, read_all, shell, wait_for
from vm import PORT_NAME, Vm

#: From the port's appearance, on a busy machine that emulates the guest.
SOON_S = 15.0

#: Handlers that systemd starts: one program a connection, by a unix socket and by TCP.
SOCKET = "[Socket]\nListenStream={}\nAccept=yes\n"
UNITS = {
    "words.socket": SOCKET.format("/run/words.sock") + "SocketMode=0600\n",
    "words@.service": "[Service]\nExecStart=/bin/sh -c 'read name; echo \"$(id -un) has $name\"'\n"
    "StandardInput=socket\nUser=alice\n",
    "tcp.socket": SOCKET.format("127.0.0.1:7007"),
    "tcp@.service": "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
}
#: What is possible in the daemon's sandbox, as its handlers see it.
PROBE = f"""
try() {{ if sh -c "$2" 2>/dev/null >&2; then echo "$1 yes"; else echo "$1 no"; fi; }}
try write-etc ': >/etc/probe'
try write-home ': >/root/probe'
try write-run ': >/run/probe'
try write-own ': >/run/guestmux/probe && rm /run/guestmux/probe'
try write-tmp ': >/tmp/probe && rm /tmp/probe'
try read-etc 'cat /etc/passwd'
try systemd 'systemctl show'
try mount 'mount -t tmpfs tmpfs /tmp'
try namespace 'unshare --mount true'
try sysctl 'echo 1 >/proc/sys/kernel/printk'
try other-port 'exec 3<>/dev/virtio-ports/org.other.0'
try serial 'exec 3<>/dev/ttyS0'
try null 'echo >/dev/null'
try load 'cat /proc/loadavg'
grep -E '^(NoNewPrivs|Seccomp|CapBnd|CapEff):' /proc/self/status
"""
GUEST_SERVICES: dict[str, Handler] = {
    "gecho": ECHO,
    "words": {"connect": "unix:/run/words.sock"},
    "tcp": {"connect": "tcp:127.0.0.1:7007"},
    "probe": shell(PROBE),
}


def installed(folder: Path) -> dict[str, image.Content]:
    """What `cmake --install` makes of the guest's daemon: guest path to file."""
    subprocess.run(
        ["cmake", "--install", BUILD], check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"DESTDIR": str(folder)},
    )  # fmt: skip
    names = ("guestmux", "guestmux.service", "60-guestmux.rules")
    found = {path.name: path for path in folder.rglob("*") if path.name in names and path.is_file()}
    return {f"/{found[name].relative_to(folder)}": found[name] for name in names}


def files(folder: Path) -> dict[str, image.Content]:
    units = "/etc/systemd/system"
    return {
        **installed(folder),
        **{f"{units}/{name}": content for name, content in UNITS.items()},
        f"{units}/sockets.target.d/test.conf": "[Unit]\nWants=words.socket tcp.socket\n",
        **{
            f"/etc/guestmux/services/{name}.json": json.dumps({"service": name, **handler})
            for name, handler in GUEST_SERVICES.items()
        },
    }


class Activation(unittest.TestCase):
    """One guest a class; a test leaves it with the port plugged and guestmux running."""

    port: ClassVar[bool] = True
    vm: ClassVar[Vm]
    host: ClassVar[Host]

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="guestmux-install-"))
        cls.addClassCleanup(shutil.rmtree, folder, True)
        begin = time.monotonic()
        cls.vm = cls.enterClassContext(Vm(
            programs=[BIN / "muxctl", BIN / "pipe-client"], files=files(folder),
            make_image=systemd_image.build, port=cls.port,
        ))  # fmt: skip
        cls.host = cls.enterClassContext(Host())
        cls.host.service("echo", ECHO)
        cls.host.start(cls.vm.port_path)
        say(f"the guest's shell after {time.monotonic() - begin:.1f} s")

    def setUp(self) -> None:
        self.addCleanup(self._explain)
        self._troubles_before = self._troubles()

    def _troubles(self) -> int:
        result: unittest.TestResult = getattr(self, "_outcome").result  # noqa: B009
        return len(result.errors) + len(result.failures)

    def _explain(self) -> None:
        if self._troubles() > self._troubles_before:
            status = "systemctl --no-pager --full status guestmux; journalctl --no-pager -n 60"
            print(f"--- hostmux\n{self.host.log()}--- the guest\n{self.vm.run(status).output}",
                  file=sys.stderr)  # fmt: skip

    # ---- steps ----

    def plug(self) -> None:
        self.vm.plug_port(path=self.vm.port_path)

    def state(self, unit: str = "guestmux") -> str:
        return self.vm.run(f"systemctl is-active {unit}").output.strip()

    def show(self, name: str) -> str:
        return self.vm.check(f"systemctl show --value -p {name} guestmux").strip()

    def wait_active(self, since: float) -> None:
        """The service is active and channels work, each way."""
        self.vm.wait_until("systemctl is-active guestmux", SOON_S)
        self.host.wait_up(SOON_S)
        wait_for(lambda: self.vm.run("pipe-client echo hello").output == "hello", SOON_S)
        self.assertEqual(self.ask("gecho", b"hello"), b"hello")
        say(f"channels after {time.monotonic() - since:.1f} s")

    def wait_stopped(self) -> None:
        self.vm.wait_until('test "$(systemctl is-active guestmux)" != active', SOON_S)
        self.vm.wait_until('test "$(systemctl is-active guestmux)" = inactive', SOON_S)
        self.assertEqual(self.show("Result"), "success")
        self.assertEqual(self.vm.run("ls /run/guestmux.sock /run/guestmux").status, 2)

    def ask(self, service: str, text: bytes = b"") -> bytes:
        """A host app: what it says, and all that it is answered."""
        with self.host.open(service) as channel:
            channel.sendall(text)
            channel.shutdown(1)
            return read_all(channel)


class ColdPlugged(Activation):
    def test_1_active_by_itself(self) -> None:
        self.wait_active(time.monotonic())
        self.assertEqual(self.show("Type"), "notify")
        self.assertEqual(self.show("NRestarts"), "0")
        self.assertEqual(self.vm.check("systemctl --failed --plain --no-legend").strip(), "")

    def test_handler_of_a_socket_unit(self) -> None:
        self.assertEqual(self.ask("words", b"Anna\n"), b"alice has Anna\n")
        self.assertEqual(self.ask("tcp", b"loopback"), b"loopback")

    def test_reload(self) -> None:
        pid = self.show("MainPID")
        self.vm.check("""echo '{"service": "late", "exec": ["/bin/echo", "late"]}' """
                      ">/etc/guestmux/services/late.json")  # fmt: skip
        wait_for(lambda: self._is(b"late\n", "late"), SOON_S)
        self.vm.check("rm /etc/guestmux/services/late.json; systemctl reload guestmux")
        self.assertEqual((self.state(), self.show("MainPID")), ("active", pid))

    def _is(self, answer: bytes, service: str) -> bool:
        try:
            return self.ask(service) == answer
        except OSError:
            return False

    def test_sandbox(self) -> None:
        """What the unit closes off is closed off, for the daemon and for its handlers."""
        self.vm.plug_port("org.other.0")
        self.addCleanup(self.vm.unplug_port, "org.other.0")
        self.vm.wait_until("test -e /dev/virtio-ports/org.other.0")
        self.vm.check("exec 3<>/dev/virtio-ports/org.other.0")
        lines = self.ask("probe").decode().splitlines()
        can = {word: answer for word, answer in (line.split() for line in lines)}
        may = {"write-own", "write-tmp", "read-etc", "null", "load"}
        self.assertEqual({word for word, answer in can.items() if answer == "yes"}, may, lines)
        in_force = {"NoNewPrivs:": "1", "Seccomp:": "2",
                    "CapBnd:": "0000000000000003", "CapEff:": "0000000000000003"}  # fmt: skip
        self.assertEqual(in_force, {word: can[word] for word in in_force})
        daemon = self.vm.check(f"cat /proc/{self.show('MainPID')}/status")
        for word, value in in_force.items():
            self.assertIn(f"{word}\t{value}\n", daemon)
        for name, value in (
            ("DevicePolicy", "closed"), ("ProtectSystem", "strict"),
            ("IPAddressDeny", "0.0.0.0/0 ::/0"), ("LimitNOFILE", "524288"),
        ):  # fmt: skip
            self.assertEqual(sorted(self.show(name).split()), value.split(), name)

    def test_stop_and_start(self) -> None:
        self.vm.check("systemctl stop guestmux")
        self.wait_stopped()
        begin = time.monotonic()
        self.vm.check("systemctl start guestmux")
        self.wait_active(begin)

    def test_killed(self) -> None:
        pid = self.show("MainPID")
        begin = time.monotonic()
        self.vm.check(f"kill -KILL {pid}")
        self.vm.wait_until(f'test "$(systemctl show --value -p MainPID guestmux)" != {pid}', SOON_S)
        self.wait_active(begin)

    def test_private_network(self) -> None:
        """The drop-in of docs/activation.md, for a guest whose services need no TCP."""
        folder = "/run/systemd/system/guestmux.service.d"
        self.vm.check(f"mkdir -p {folder}; printf '[Service]\\nPrivateNetwork=yes\\n' "
                      f">{folder}/network.conf; systemctl daemon-reload")  # fmt: skip
        self.addCleanup(self.vm.check, f"rm -r {folder}; systemctl daemon-reload; "
                        "systemctl restart guestmux")  # fmt: skip
        begin = time.monotonic()
        self.vm.check("systemctl restart guestmux")
        self.wait_active(begin)
        with self.assertRaisesRegex(ConnectionError, "refused"):
            self.ask("tcp")
        begin = time.monotonic()
        self.vm.unplug_port()
        self.wait_stopped()
        self.plug()
        self.wait_active(begin)

    def test_unplugged_and_plugged_at_once(self) -> None:
        """The second event comes while the service still stops."""
        for _ in range(5):
            self.vm.unplug_port()
            self.plug()
            time.sleep(0.2)
        self.wait_active(time.monotonic())


class HotPlugged(Activation):
    port = False

    def test_plugged_later(self) -> None:
        self.vm.wait_until("systemctl is-active multi-user.target", SOON_S)
        self.assertEqual(self.state(), "inactive")
        self.assertEqual(self.vm.run("pgrep guestmux || ls /run/guestmux").status, 2)
        for _ in range(3):
            begin = time.monotonic()
            self.plug()
            self.wait_active(begin)
            self.vm.unplug_port()
            self.wait_stopped()
        self.assertEqual(self.vm.check("systemctl --failed --plain --no-legend").strip(), "")


def say(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
