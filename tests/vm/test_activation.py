#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest whose init is systemd, with udev: its port starts guestmux, and stops it.

The units and the rule are those that `cmake --install` installs, and nothing else starts guestmux.
What docs/activation.md says to write in files is taken from there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path
from typing import ClassVar

import image
import systemd_image
from parts import environment, part
from ssh import Keys
from stack import BIN, BUILD, ECHO, VM_NAME, Handler, Host, read_all, shell, wait_for
from vm import PORT_NAME, ROOT, Vm

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
PROBE = """
try() { if sh -c "$2" 2>/dev/null >&2; then echo "$1 yes"; else echo "$1 no"; fi; }
for folder in /etc /root /run /run/guestmux /tmp; do
    try "write-$folder" ": >$folder/probe && rm $folder/probe"
done
try read-etc 'cat /etc/passwd'
try systemd 'systemctl show'
try mount 'mount -t tmpfs tmpfs /mnt && umount /mnt'
try namespace 'unshare --mount true'
try sysctl 'echo 1 >/proc/sys/kernel/printk'
try pci 'exec 3<>/sys/bus/pci/devices/0000:00:00.0/config'
try init 'ls /proc/1/root/'
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
    "ssh-exec": {"exec": ["/usr/sbin/sshd", "-i"]},
}


#: A socket that stands for a service, of another user.
GUEST_CONFIG = {"expose": [{"socket": "/run/guestmux/echo.sock", "service": "echo",
                            "mode": "0600", "owner": "alice"}]}  # fmt: skip
#: For hostmux, which has a machine with systemd here too.
CHANNELS = "/var/lib/libvirt/qemu/channel/target"
HOST_CONFIG = {"vm_patterns": [f"{CHANNELS}/*/{PORT_NAME}"]}


def documented() -> dict[str, str]:
    """The files of docs/activation.md: path to content."""
    text = (ROOT / "docs/activation.md").read_text()
    found = re.findall(r"`(/etc/[^`]+)`[^\n]*:\n\n((?: {4,}.*\n|\n)+)", text)
    return {path: textwrap.dedent(content).strip() + "\n" for path, content in found}


def installed(folder: Path) -> dict[str, image.Content]:
    """What `cmake --install` makes of the daemons: guest path to file."""
    subprocess.run(
        ["cmake", "--install", BUILD], check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"DESTDIR": str(folder)},
    )  # fmt: skip
    names = ("guestmux", "guestmux.service", "60-guestmux.rules", "hostmux", "hostmux.service")
    found = {path.name: path for path in folder.rglob("*") if path.name in names and path.is_file()}
    return {f"/{found[name].relative_to(folder)}": found[name] for name in names}


def files(folder: Path, keys: Keys) -> dict[str, image.Content]:
    units = "/etc/systemd/system"
    ssh = keys.guest_files("root")
    del ssh["/etc/passwd"]
    examples = {path: text for path, text in documented().items() if "ssh" in path}
    assert len(examples) == 3, examples
    return {
        **installed(folder),
        **ssh,
        **examples,
        **{f"{units}/{name}": content for name, content in UNITS.items()},
        f"{units}/sockets.target.d/test.conf": "[Unit]\n"
        "Wants=words.socket tcp.socket guestmux-ssh.socket\n",
        "/etc/guestmux/guestmux.json": json.dumps(GUEST_CONFIG),
        "/etc/hostmux/hostmux.json": json.dumps(HOST_CONFIG),
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
    keys: ClassVar[Keys]

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="guestmux-install-"))
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.keys = Keys(folder, VM_NAME)
        begin = time.monotonic()
        cls.vm = cls.enterClassContext(Vm(
            programs=[BIN / "muxctl", BIN / "pipe-client"], files=files(folder, cls.keys),
            make_image=systemd_image.build, port=cls.port,
        ))  # fmt: skip
        cls.host = cls.enterClassContext(Host())
        cls.host.service("echo", ECHO)
        cls.host.service("who", shell('echo "$GUESTMUX_UID $GUESTMUX_PROGRAM"'))
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

    def drop_in(self, name: str, text: str | None = None, service: str = "guestmux") -> None:
        """Put a drop-in in force, that of the documentation unless told, until the test's end."""
        folder = f"/etc/systemd/system/{service}.service.d"
        text = text or documented()[f"{folder}/{name}"]
        again = f"systemctl daemon-reload; systemctl restart {service}"
        self.addCleanup(self.vm.check, f"rm -r {folder}; {again}")
        self.vm.check(f"mkdir -p {folder}; echo {shlex.quote(text)} >{folder}/{name}; {again}")

    def ssh(self, service: str, command: str) -> str:
        words = [str(BIN / "muxctl"), "--socket", str(self.host.socket), "connect"]
        options = self.keys.options(f"{shlex.join(words)} {VM_NAME}/{service}")
        done = subprocess.run(
            [part("usr/bin/ssh"), *options, f"root@{VM_NAME}", command],
            env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def probe(self) -> dict[str, str]:
        lines = self.ask("probe").decode().splitlines()
        return {word: answer for word, answer in (line.split() for line in lines)}

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

    def test_apps_and_sockets(self) -> None:
        """Who calls is known in the sandbox, and sockets can be given to others."""
        alice = self.vm.check("setpriv --reuid alice --clear-groups pipe-client who ''")
        self.assertEqual(alice, "1000 pipe-client\n")
        shown = self.vm.check("stat -c '%U %a' /run/guestmux/echo.sock /run/guestmux/guestmux.sock")
        self.assertEqual(shown, "alice 600\nroot 666\n")

    def test_hostmux(self) -> None:
        """Its unit too: it finds a VM's socket of another user's, and channels work."""
        folder = f"{CHANNELS}/domain-1-web1"
        self.vm.check(f"mkdir -p {folder}; chmod 700 {folder}; chown alice {folder}; "
                      "echo {} >/etc/qemu.json; systemctl start hostmux")  # fmt: skip
        self.addCleanup(self.vm.check, "systemctl stop hostmux qemu")
        self.assertEqual(self.state("hostmux"), "active")
        self.vm.check(
            "systemd-run --quiet --unit=qemu --uid=alice guestmux --config /etc/qemu.json "
            f"--port listen:{folder}/{PORT_NAME} --socket /tmp/qemu.sock"
        )
        app = "muxctl --socket /run/hostmux.sock connect web1/tcp </dev/null"
        self.vm.wait_until(app, SOON_S)
        user = documented()["/etc/systemd/system/hostmux.service.d/user.conf"]
        self.drop_in("user.conf", user.replace("libvirt-qemu", "alice"), "hostmux")
        self.vm.wait_until(app, SOON_S)
        owner = self.vm.check("stat -c %U /proc/$(systemctl show --value -p MainPID hostmux)")
        self.assertEqual(owner, "alice\n")

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
        self.plug_other()
        can = self.probe()
        may = {"write-/run/guestmux", "write-/tmp", "read-etc", "null", "load"}
        self.assertEqual({word for word, answer in can.items() if answer == "yes"}, may)
        in_force = {"NoNewPrivs:": "1", "Seccomp:": "2",
                    "CapBnd:": "0000000000080003", "CapEff:": "0000000000000003"}  # fmt: skip
        self.assertEqual(in_force, {word: can[word] for word in in_force})
        in_force["CapEff:"] = "0000000000080003"  # the daemon sees who maps shared memory
        daemon = self.vm.check(f"cat /proc/{self.show('MainPID')}/status")
        for word, value in in_force.items():
            self.assertIn(f"{word}\t{value}\n", daemon)
        for name, value in (
            ("DevicePolicy", "closed"), ("ProtectSystem", "strict"),
            ("IPAddressDeny", "0.0.0.0/0 ::/0"), ("LimitNOFILE", "524288"),
        ):  # fmt: skip
            self.assertEqual(sorted(self.show(name).split()), value.split(), name)
        for unit in ("guestmux", "hostmux"):
            self.vm.check("systemd-analyze security --offline=true --threshold=29 "
                          f"$(systemctl show --value -p FragmentPath {unit})")  # fmt: skip

    def plug_other(self) -> None:
        """Another virtio-serial port."""
        self.vm.plug_port("org.other.0")
        self.addCleanup(self.vm.unplug_port, "org.other.0")
        self.vm.wait_until("test -e /dev/virtio-ports/org.other.0")
        self.vm.check("exec 3<>/dev/virtio-ports/org.other.0")

    def test_ssh_by_socket_unit(self) -> None:
        """Outside of the daemon's sandbox."""
        said = self.ssh("ssh", "touch /etc/by-ssh && grep NoNewPrivs /proc/self/status")
        self.assertEqual(said, "NoNewPrivs:\t0\n")

    def test_sandbox_opened(self) -> None:
        """By the documentation's drop-in, with which sshd can be an exec handler."""
        self.drop_in("handlers.conf")
        self.host.wait_up(SOON_S)
        self.plug_other()
        can = self.probe()
        self.assertNotIn("no", can.values(), can)
        self.vm.check("mkdir -p /run/sshd")
        self.assertEqual(self.ssh("ssh-exec", "echo hello"), "hello\n")

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
        begin = time.monotonic()
        self.drop_in("network.conf")
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
        for _ in range(3):  # each is a stop and a start, more than a second of an emulated guest
            self.vm.unplug_port()
            self.plug()
            time.sleep(0.2)
        self.wait_active(time.monotonic())


class HotPlugged(Activation):
    port = False

    def test_plugged_later(self) -> None:
        self.vm.wait_until("systemctl is-active multi-user.target", SOON_S)
        self.assertEqual(self.state(), "inactive")
        self.assertEqual(self.vm.run("pidof guestmux || ls /run/guestmux").status, 2)
        for _ in range(2):
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
