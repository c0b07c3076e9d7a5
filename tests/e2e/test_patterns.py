# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that hostmux finds by their sockets, which come and go as libvirt's do."""

from __future__ import annotations

import json
import shutil
import socket
import unittest
from pathlib import Path

from daemon import Daemon, dial, wait_until
from stack import StackTest, read_to_end

NAME = "org.guestmux.0"


class Patterns(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.target = self.folder / "target"
        self.sockets: dict[Path, socket.socket] = {}
        self.addCleanup(self.close_all)

    def close_all(self) -> None:
        for sock in self.sockets.values():
            sock.close()

    def host(self, arguments: list[str] | None = None, **config: object) -> Daemon:
        host = self.daemon("hostmux", arguments or [])
        self.configure(host, **config)
        host.start()
        return host

    def configure(self, host: Daemon, **config: object) -> None:
        host.config.write_text(json.dumps({"vm_patterns": [f"{self.target}/*/{NAME}"]} | config))

    def qemu(self, folder: str, name: str = NAME) -> Path:
        """A QEMU's chardev: it listens."""
        path = self.target / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        self.sockets[path] = sock
        return path

    def end(self, path: Path, folder_too: bool = True) -> None:
        self.sockets.pop(path).close()
        path.unlink()
        if folder_too:
            path.parent.rmdir()

    def vms(self, host: Daemon) -> dict[str, str]:
        """Name to port."""
        return {vm["name"]: vm["port"].removeprefix("unix:") for vm in host.ask("vms")["vms"]}

    def wait_vms(self, host: Daemon, **expected: Path | str) -> None:
        wanted = {name: str(path) for name, path in expected.items()}
        wait_until(lambda: self.vms(host) == wanted,
                   f"the VMs are {wanted}, but they are {self.vms(host)}\n{host.log()}")

    def test_come_and_go(self) -> None:
        host = self.host()
        self.assertEqual(self.vms(host), {})
        one = self.qemu("domain-1-web1")
        self.wait_vms(host, web1=one)
        two = self.qemu("domain-2-web-2")
        self.wait_vms(host, **{"web1": one, "web-2": two})
        wait_until(lambda: host.link("web1")["port_state"] == "connected", "it is connected to")
        self.end(one)
        self.wait_vms(host, **{"web-2": two})
        # Started again: another number, the same name.
        three = self.qemu("domain-3-web1")
        self.wait_vms(host, **{"web1": three, "web-2": two})
        shutil.rmtree(self.target)
        self.wait_vms(host)
        four = self.qemu("domain-4-web1")
        self.wait_vms(host, web1=four)

    def test_found_at_start_and_after_sighup(self) -> None:
        one = self.qemu("domain-1-web1")
        host = self.host()
        self.assertEqual(self.vms(host), {"web1": str(one)})
        self.configure(host, vm_patterns=[f"{self.folder}/other/*.sock"])
        host.reload()
        self.assertEqual(self.vms(host), {})
        self.configure(host)
        host.reload()
        self.assertEqual(self.vms(host), {"web1": str(one)})
        host.config.write_text("{}")
        host.reload()
        self.assertEqual(self.vms(host), {})

    def test_channels_work(self) -> None:
        """guestmux plays QEMU too: its port listens, and is gone when it ends."""
        host = self.host()
        host.service("name", exec=["/bin/echo", "the host"])
        host.reload()
        (self.target / "domain-1-web1").mkdir(parents=True)
        path = self.target / "domain-1-web1" / NAME
        guest = self.daemon("guestmux", ["--port", f"listen:{path}"])
        guest.service("name", exec=["/bin/echo", "the guest"])
        guest.start()
        wait_until(lambda: self.vms(host) and host.is_up("web1"), "a session")
        for daemon, name, answer in ((host, "web1/name", b"guest"), (guest, "name", b"host")):
            with dial(daemon.socket) as sock:
                sock.sendall(name.encode() + b"\n")
                self.assertEqual(read_to_end(sock), b"OK\nthe %s\n" % answer)
        session = host.link("web1")["session"]["id"]
        other = self.qemu("domain-2-web2")
        self.wait_vms(host, web1=path, web2=other)
        self.end(other)
        self.wait_vms(host, web1=path)
        self.assertEqual(host.link("web1")["session"]["id"], session, "undisturbed by others")
        guest.stop()
        self.wait_vms(host)

    def test_rename(self) -> None:
        host = self.host()
        one = self.qemu("domain-1-web1")
        self.wait_vms(host, web1=one)
        one.parent.rename(self.target / "domain-1-db1")
        self.wait_vms(host, db1=self.target / "domain-1-db1" / NAME)
        moved = self.target / "domain-1-db1" / NAME
        moved.rename(moved.with_name("hidden"))
        self.wait_vms(host)
        moved.with_name("hidden").rename(moved)
        self.wait_vms(host, db1=moved)

    def test_names(self) -> None:
        """Odd characters become _; what is not a socket is none."""
        host = self.host(vm_patterns=[f"{self.target}/*/{NAME}", f"{self.target}/vm-*.sock",
                                      f"{self.folder}/libvirt/qemu/channel/*/{NAME}"])
        paths = {
            "a_b_c": self.qemu("domain-7-a b\nc"),
            "_x": self.qemu("domain-7--x"),
            "domain-x": self.qemu("domain-x"),
            "8-y": self.qemu("8-y"),
            "___": self.qemu("domain-1-\xf6?"),
            "two": self.qemu(".", "vm-two.sock"),
            "z": self.qemu("../libvirt/qemu/channel/9-z"),
        }
        self.qemu(".", "vm-.sock")
        self.qemu(".hidden")
        (self.target / "domain-2-file").mkdir()
        (self.target / "domain-2-file" / NAME).write_text("no socket")
        self.qemu("domain-3-long", "other")
        expected = {name: str(Path(str(path)).resolve()) for name, path in paths.items()}
        wait_until(lambda: self.vms(host) == expected, f"{expected}, but {self.vms(host)}")

    def test_too_long(self) -> None:
        host = self.host(vm_patterns=[f"{self.target}/*.s"])
        short = self.qemu(".", "x.s")
        path = self.target / ("y" * 100 + ".s")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(self.target / "y.tmp"))
        self.sockets[path] = sock
        (self.target / "y.tmp").rename(path)
        self.wait_vms(host, x=short)
        host.wait_for_log(f"{path}: the path is too long")

    def test_configured_ones_win(self) -> None:
        host = self.host(["--vm", f"web1=unix:{self.folder}/a"],
                         vms={"web2": {"port": f"unix:{self.folder}/b"}})
        self.qemu("domain-1-web1")
        self.qemu("domain-2-web2")
        three = self.qemu("domain-3-web3")
        self.wait_vms(host, web1=self.folder / "a", web2=self.folder / "b", web3=three)
        self.configure(host, vms={"web3": {"port": f"unix:{self.folder}/c"}})
        host.reload()
        self.wait_vms(host, web1=self.folder / "a", web2=self.target / "domain-2-web2" / NAME,
                      web3=self.folder / "c")

    def test_found_twice(self) -> None:
        """The one that is in use stays; the other one follows when that is gone."""
        host = self.host()
        five = self.qemu("domain-5-web1")
        self.wait_vms(host, web1=five)
        four = self.qemu("domain-4-web1")
        said = f"VM 'web1' is found twice; unix:{four} is not used"
        host.wait_for_log(said)
        self.assertEqual(self.vms(host), {"web1": str(five)})
        other = self.qemu("domain-6-other")
        self.wait_vms(host, web1=five, other=other)
        self.assertEqual(host.log().count(said), 1, "once, not at each look")
        self.end(five)
        self.wait_vms(host, web1=four, other=other)

    def test_bad_configuration_changes_nothing(self) -> None:
        host = self.host()
        one = self.qemu("domain-1-web1")
        self.wait_vms(host, web1=one)
        for patterns in ("text", [], [1], ["relative/*"], ["/no/star"], ["/two/*/*"], ["/a*/"],
                         ["/good/*", "/a*b*"], [f"/{n}/*" for n in range(65)]):
            self.configure(host, vm_patterns=patterns)
            self.assertIn('"vm_patterns"', host.reload(good=False))
            self.assertEqual(self.vms(host), {"web1": str(one)})
        self.configure(host, vms={"x": {"port": f"listen:{self.folder}/missing/x"}},
                       vm_patterns=[f"{self.folder}/*"])
        host.reload(good=False)
        two = self.qemu("domain-2-web2")
        self.wait_vms(host, web1=one, web2=two)

    def test_limit(self) -> None:
        self.target.mkdir()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.target / "0.s"))
            for n in range(1, 1100):
                (self.target / f"{n}.s").hardlink_to(self.target / "0.s")
            host = self.host(vm_patterns=[f"{self.target}/*.s"])
            self.assertEqual(len(self.vms(host)), 1024)
            host.wait_for_log("more than 1024 VMs were found")

    def test_storm(self) -> None:
        """What is there in the end counts; who looks at the daemon meanwhile is answered."""
        host = self.host()
        steady = self.qemu("domain-1-steady")
        self.wait_vms(host, steady=steady)
        before = host.cpu()
        for n in range(1500):
            path = self.qemu(f"domain-{n}-x{n % 7}")
            if n % 100 == 0:
                self.assertIn("steady", self.vms(host))
            self.end(path)
        last = self.qemu("domain-9-last")
        self.wait_vms(host, steady=steady, last=last)
        self.assertLess(host.cpu() - before, 2.0)
        self.assertLess(host.cpu_over(0.5), 0.1)

    def test_no_watches(self) -> None:
        """Where the kernel has none left, a line says so, and SIGHUP does it."""
        for limit in ("instances", "watches"):
            with self.subTest(limit):
                host = self.daemon("hostmux", name=limit)
                self.configure(host)
                script = f'echo 0 >/proc/sys/user/max_inotify_{limit} && exec "$@"'
                host.other_command = ["unshare", "--user", "--map-root-user", "/bin/sh", "-c",
                                      script, "sh", *host.command()]
                try:
                    host.start()
                except AssertionError as error:
                    host.process = None
                    if "unshare" in str(error) or "/proc/sys" in str(error):
                        self.skipTest(str(error))
                    raise
                host.wait_for_log(
                    f"(fs.inotify.max_user_{limit}); what changes there is seen after SIGHUP only")
                one = self.qemu(f"domain-1-{limit}")
                host.reload()
                self.assertEqual(self.vms(host), {limit: str(one)})
                self.end(one)


if __name__ == "__main__":
    unittest.main()
