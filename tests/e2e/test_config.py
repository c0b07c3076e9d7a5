# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configuration, options, signals, and the sockets' places in the file system."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import unittest
from collections.abc import Callable
from functools import partial

from daemon import BIN, PATIENCE, Daemon, wait_until
from stack import VM, StackTest, read_exactly


class Configuration(StackTest):
    def alone(self, kind: str, *arguments: str) -> Daemon:
        return self.daemon(kind, arguments)

    def test_errors(self) -> None:
        """Status 1, and a message with the file and the key."""
        common: list[tuple[object, str]] = [
            ("", "line 1"), ("{", "line 1"), ("[]", "not an object"), ("{} x", "line 1"),
            ("\n\n{]", "line 3"), ({"colour": 1}, '"colour"'), ({"socket": 5}, '"socket"'),
            ({"services": []}, '"services"'), ({"limits": 5}, '"limits"'),
            ({"limits": {"channels": 0}}, '"channels"'),
            ({"limits": {"channels": "many"}}, '"channels"'),
            ({"limits": {"channels": -1}}, '"channels"'),
            ({"limits": {"channels": 1 << 70}}, '"channels"'),
            ({"limits": {"budget_bytes": 5}}, '"budget_bytes"'),
            ({"limits": {"buffers": 257}}, '"buffers"'),
            ({"limits": {"buffer_bytes": 1}}, '"buffer_bytes"'),
            ({"limits": {"more": 5}}, '"more"'), ("[" * 100_000, "line 1"),
            ("{}" + " " * (1 << 20), "bytes")]
        own: dict[str, list[tuple[object, str]]] = {
            "guestmux": [({"port": 1}, '"port"'), ({"port-name": []}, '"port-name"'),
                         ({"devices": 3}, '"devices"'), ({"vms": {}}, '"vms"'),
                         ({"port": "unix:/" + "x" * 200}, "xxx"), ({"port": "unix:"}, "path")],
            "hostmux": [({"vms": []}, '"vms"'), ({"vms": {"a": 1}}, '"a"'),
                        ({"vms": {"a": {}}}, "'a'"), ({"vms": {"a": {"port": 1}}}, '"port"'),
                        ({"vms": {"a": {"port": "/x"}}}, "'a'"),
                        ({"vms": {"a": {"prot": "unix:/x"}}}, '"prot"'),
                        ({"vms": {"a": {"port": "unix:/x", "qmp": 5}}}, '"qmp"'),
                        ({"vms": {"a": {"port": "unix:/x", "qmp": "/x"}}}, '"qmp"'),
                        ({"vms": {"a": {"port": "unix:/x", "qmp": "unix:/" + "x" * 200}}}, '"qmp"'),
                        ({"vms": {"a": {"port": "unix:/x", "shm-out": "x"}}}, '"shm-out"'),
                        ({"vms": {"a": {"port": "unix:/x", "offload": 1}}}, '"offload"'),
                        ({"run": "here"}, '"run"'), ({"run": 5}, '"run"'),
                        ({"shares": {}}, '"shares"'), ({"shares": [5]}, "number 1"),
                        ({"shares": [{"buffer": "a", "from": "b"}]}, '"to"'),
                        ({"shares": [{"buffer": "a/b", "from": "b", "to": ["c"]}]}, '"buffer"'),
                        ({"shares": [{"buffer": "a", "from": "b*", "to": ["c"]}]}, '"from"'),
                        ({"shares": [{"buffer": "a", "from": "b", "to": []}]}, '"to"'),
                        ({"shares": [{"buffer": "a", "from": "b", "to": ["c"], "x": 1}]}, '"x"'),
                        ({"vms": {"a b": {"port": "unix:/x"}}}, "'a b'"),
                        ({"vms": {"": {"port": "unix:/x"}}}, "''"),
                        ({"vms": {"a/b": {"port": "unix:/x"}}}, "'a/b'"),
                        ({"vms": {"a": {"port": "listen:/nonexistent/x"}}}, "/nonexistent/x"),
                        ({"vms": {"a": {"port": "unix:/x"}, "b": {"port": "unix:/x"}}}, "'a'"),
                        ({"port": "x"}, '"port"')]}
        for kind, cases in own.items():
            daemon = self.alone(kind)
            for config, key in common + cases:
                with self.subTest(kind=kind, config=str(config)[:60]):
                    text = config if isinstance(config, str) else json.dumps(config)
                    daemon.config.write_text(text)
                    said = daemon.start_refused()
                    self.assertIn(str(daemon.config), said)
                    self.assertIn(key, said)
                    self.assertEqual(said.count("\n"), 1, said)
                    self.assertFalse(os.path.lexists(daemon.socket))

    def test_lines(self) -> None:
        """The line of the key, however it is nested; configuration and services alike."""
        host = self.alone("hostmux")
        for text, said in (
                ('{\n"vms": {"a": {},\n"b": {"port": 1}}}', 'line 2: "vms": "a": VM'),
                ('{"vms": {"a":\n{"port": "unix:/x"}, "b":\n{\n"port": 1}}}',
                 'line 4: "vms": "b": "port" must be'),
                ('{"vms":\n\n\n3}', 'line 1: "vms" must be'),
                ('{"services": "\\"limits\\"",\n"limits": {"channels":\n0}}',
                 'line 2: "limits": "channels" must be'),
                ('\n\n{"socket": "{[",\n\n"colour": 1}', 'line 5: "colour" is not a key')):
            host.config.write_text(text)
            self.assertIn(f"{host.config}: {said}", host.start_refused())
        host.config.write_text("{}")
        files = {"a": ('{"service": "a",\n"connect": "x"}', 'line 2: "connect" '),
                 "b": ('{"service": "b",\n"exec":\n["x"]}', 'line 2: "exec" must begin'),
                 "c": ('\n{"service": "c"}', 'line 2: one of "connect" and "exec" is needed'),
                 "d": ('{\n"service":\n"x",\n"connect": "unix:/x"}', "line 2: \"service\" is 'x'"),
                 "e": ('{"service": "e", "connect": "unix:/x",\n"properties": {\n"p": 1}}',
                       'line 3: "properties": "p" must be'),
                 "f": ('{"service": "f",\n"exec": ["/x"], "vms":\n[]', "line 3: ")}
        for name, (text, _) in files.items():
            (host.services / f"{name}.json").write_text(text)
        host.start()
        for name, (_, said) in files.items():
            self.assertIn(f"{host.services}/{name}.json: {said}", host.log())

    def test_config_that_is_no_file(self) -> None:
        for kind in ("guestmux", "hostmux"):
            daemon = self.alone(kind)
            daemon.config.unlink()
            self.assertIn(str(daemon.config), daemon.start_refused())
            os.mkfifo(daemon.config)
            self.assertIn(str(daemon.config), daemon.start_refused())
            daemon.config.unlink()
            daemon.config.mkdir()
            self.assertIn(str(daemon.config), daemon.start_refused())

    def test_services_folder_that_is_none(self) -> None:
        daemon = self.alone("hostmux")
        daemon.services.rmdir()
        self.assertIn(str(daemon.services), daemon.start_refused())

    def test_usage(self) -> None:
        for kind in ("guestmux", "hostmux"):
            for arguments in (["--nonsense"], ["argument"], ["--socket"]):
                run = subprocess.run([BIN / kind, *arguments], capture_output=True,
                                     timeout=PATIENCE, check=False)
                self.assertEqual((run.returncode, run.stdout), (2, b""))
                self.assertEqual(run.stderr.count(b"\n"), 1)
            for option, text in (("--help", b"--services"), ("--version", kind.encode())):
                run = subprocess.run([BIN / kind, option], capture_output=True,
                                     timeout=PATIENCE, check=False)
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                self.assertIn(text, run.stdout)

    def test_wrong_vm_options(self) -> None:
        options = [("x", "--vm x", 2), ("x=", "'x'", 2), ("=unix:/x", "''", 2),
                   ("x=tcp:1.2.3.4:5", "tcp:1.2.3.4:5", 2), ("x=/dev/null", "/dev/null", 2),
                   ("a b=unix:/x", "'a b'", 2), ("x=unix:" + "/x" * 100, "/x/x", 1),
                   ("x=unix:/x,y", "'y'", 2), ("x=unix:/x,qmp=/y", '"qmp"', 2),
                   ("x=unix:/x,shm-in=y", '"shm-in"', 2), ("x=unix:/x,", "''", 2),
                   ("x=unix:/x,offload=no", "'offload=no'", 2),
                   ("x=listen:/nonexistent/x", "/nonexistent/x", 1)]
        for option, text, status in options:
            daemon = Daemon("hostmux", self.folder, ["--vm", option],
                            name=f"h{len(self.daemons)}")
            self.daemons.append(daemon)
            said = daemon.start_refused(status)
            self.assertIn(text, said)
            if status == 2:
                self.assertNotIn(".json", said)

    def test_command_line_beats_file(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        nowhere = str(self.folder / "nowhere")
        stack.guest.config.write_text(json.dumps({"socket": nowhere, "services": nowhere,
                                                  "port": nowhere, "port-name": "nothing"}))
        stack.host.config.write_text(json.dumps({
            "socket": nowhere, "services": nowhere,
            "vms": {VM: {"port": f"unix:{nowhere}"}, "y": {"port": f"unix:{nowhere}"}}}))
        stack.host.start()
        stack.guest.start()
        wait_until(lambda: stack.guest.is_up() and stack.host.is_up(VM), "up")
        self.assertEqual({vm["name"] for vm in stack.host.ask("vms")["vms"]}, {VM, "y"})
        self.assertFalse(os.path.lexists(nowhere))
        stack.join(listener, "svc")

    def test_file_alone(self) -> None:
        """Each option has its key."""
        socket_path, port = str(self.folder / "s.sock"), str(self.folder / "port")
        host = self.alone("hostmux")
        host.service("cat", exec=["/bin/cat"])
        host.config.write_text(json.dumps({"socket": socket_path, "services": str(host.services),
                                           "vms": {"a": {"port": f"listen:{port}"}}}))
        host.other_command = [str(BIN / "hostmux"), "--config", str(host.config)]
        host.socket = self.folder / "s.sock"
        host.start()
        self.assertEqual(host.link()["port"], f"listen:{port}")
        self.assertEqual(host.ask("services")["services"][0]["service"], "cat")


class Reload(StackTest):
    def test_vms(self) -> None:
        """SIGHUP adds and removes VMs; the others do not notice."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.start()
        app, peer = stack.join(listener, "svc")

        def configure(**vms: str) -> None:
            stack.host.config.write_text(json.dumps(
                {"vms": {name: {"port": port} for name, port in vms.items()}}))

        def names() -> set[str]:
            return {vm["name"] for vm in stack.host.ask("vms")["vms"]}

        configure(a=f"listen:{self.folder}/a", b=f"unix:{self.folder}/b")
        stack.host.reload()
        self.assertEqual(names(), {VM, "a", "b"})
        self.assertTrue((self.folder / "a").exists())
        configure(a=f"listen:{self.folder}/a2")
        stack.host.reload()
        self.assertEqual(names(), {VM, "a"})
        self.assertFalse((self.folder / "a").exists())
        self.assertEqual(stat.S_IMODE((self.folder / "a2").stat().st_mode), 0o600)
        stack.host.config.write_text("{")
        stack.host.reload(good=False)
        self.assertEqual(names(), {VM, "a"})
        configure(a=f"listen:{self.folder}/a2", bad="nonsense")
        stack.host.reload(good=False)
        self.assertEqual(names(), {VM, "a"})
        configure()
        stack.host.reload()
        self.assertEqual(names(), {VM})
        app.sendall(b"still here")
        self.assertEqual(read_exactly(peer, 10), b"still here")
        self.assertEqual(stack.host.link()["sessions"], 1)

    def test_vm_that_cannot_listen(self) -> None:
        """The reload fails as a whole: nothing was changed."""
        stack = self.stack()
        (self.folder / "text").write_text("in the way")
        stack.host.config.write_text(json.dumps({"vms": {
            "a": {"port": f"unix:{self.folder}/a"}}}))
        stack.host.reload()
        stack.host.config.write_text(json.dumps({"vms": {
            "b": {"port": f"unix:{self.folder}/b"}, "c": {"port": f"listen:{self.folder}/text"}}}))
        self.assertIn("'c'", stack.host.reload(good=False))
        self.assertEqual({vm["name"] for vm in stack.host.ask("vms")["vms"]}, {VM, "a"})
        self.assertEqual((self.folder / "text").read_text(), "in the way")

    def test_vm_under_another_name(self) -> None:
        """The path is in use while both names exist: said, nothing changed; two steps work."""
        host = self.daemon("hostmux")
        port = f"listen:{self.folder}/a"
        host.config.write_text(json.dumps({"vms": {"a": {"port": port}}}))
        host.start()
        renamed = json.dumps({"vms": {"b": {"port": port}}})
        host.config.write_text(renamed)
        host.reload(good=False)
        self.assertEqual([vm["name"] for vm in host.ask("vms")["vms"]], ["a"])
        for config in ("{}", renamed):
            host.config.write_text(config)
            host.reload()
        self.assertEqual([vm["name"] for vm in host.ask("vms")["vms"]], ["b"])
        self.assertTrue((self.folder / "a").exists())

    def test_removed_vm_closes_its_channels(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.arguments.clear()
        vms = json.dumps({"vms": {VM: {"port": f"listen:{stack.port}"}}})
        stack.host.config.write_text(vms)
        stack.start()
        app, peer = stack.join(listener, "svc")
        stack.host.config.write_text("{}")
        stack.host.reload()
        self.assert_eof(app)
        self.assert_eof(peer)
        peer.close()
        stack.host.config.write_text(vms)
        stack.host.reload()
        stack.wait_up()
        stack.join(listener, "svc")


class Sockets(StackTest):
    def test_second_daemon(self) -> None:
        """Refused, with status 1; the first goes on."""
        for kind in ("guestmux", "hostmux"):
            first = self.daemon(kind)
            first.start()
            second = Daemon(kind, self.folder, ["--socket", str(first.socket)],
                            name=f"second-{kind}")
            self.daemons.append(second)
            said = second.start_refused()
            self.assertIn("something listens there already", said)
            self.assertIn(str(first.socket), said)
            self.assertTrue(first.ask("status")["ok"])

    def test_stale_socket(self) -> None:
        for kind in ("guestmux", "hostmux"):
            daemon = self.daemon(kind)
            daemon.start()
            daemon.kill()
            self.assertTrue(daemon.socket.exists())
            daemon.start()
            self.assertEqual(stat.S_IMODE(daemon.socket.stat().st_mode), 0o666)

    def test_something_else_is_there(self) -> None:
        """Files, links, folders: not touched, and not followed."""
        target = self.folder / "target"
        target.write_text("precious")
        daemon = self.daemon("hostmux", ["--vm", f"x=listen:{self.folder}/port"])
        for place in (daemon.socket, self.folder / "port"):
            makers: list[Callable[[], object]] = [
                partial(place.write_text, "precious"), partial(place.symlink_to, target),
                partial(place.symlink_to, "nothing"), place.mkdir, partial(os.mkfifo, place)]
            for make in makers:
                make()
                before = place.lstat()
                said = daemon.start_refused()
                self.assertIn(str(place), said)
                self.assertEqual(place.lstat(), before)
                place.rmdir() if place.is_dir() else place.unlink()
        self.assertEqual(target.read_text(), "precious")
        self.assertFalse((self.folder / "nothing").exists())

    def test_link_to_a_stale_socket(self) -> None:
        """A link stays what it is, even if nobody listens where it leads."""
        stale = self.folder / "test-stale"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(stale))
        server.close()
        daemon = self.daemon("guestmux")
        daemon.socket.symlink_to(stale)
        daemon.start_refused()
        self.assertTrue(daemon.socket.is_symlink() and stale.exists())
        daemon.socket.unlink()

    def test_own_socket_only_is_removed(self) -> None:
        """Somebody has put another one in its place."""
        daemon = self.daemon("guestmux")
        daemon.start()
        daemon.socket.unlink()
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(daemon.socket))
        with self.assertRaisesRegex(AssertionError, "left its socket"):
            daemon.stop()
        daemon.socket.unlink()

    def test_nowhere(self) -> None:
        daemon = self.daemon("guestmux")
        for path in ("/nonexistent/folder/socket", "/tmp/" + "x" * 200, ""):
            daemon.other_command = [str(BIN / "guestmux"), "--socket", path, "--config",
                                    str(daemon.config), "--services", str(daemon.services)]
            daemon.start_refused()


class Signals(StackTest):
    def test_end(self) -> None:
        """SIGTERM, SIGINT: status 0, no sockets; with channels and children, too."""
        stack = self.stack(start=False)
        stack.host.service("cat", exec=["/bin/cat"])
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.start()
            app = stack.open("cat", b"x")
            self.assertEqual(read_exactly(app, 1), b"x")
            (child,) = stack.host.children()
            for daemon in stack.daemons:
                process, daemon.process = daemon.process, None
                assert process is not None
                process.send_signal(number)
                self.assertEqual(process.wait(PATIENCE), 0)
                self.assertFalse(daemon.socket.exists())
            self.assertFalse(stack.port.exists())
            wait_until(lambda c=child: not os.path.exists(f"/proc/{c}"),  # type: ignore[misc]
                       "the handler has ended")
            self.assert_eof(app)
            stack.close_apps()

    def test_notify(self) -> None:
        """sd_notify: a datagram for each change, to a path and to an abstract socket."""
        for name in (str(self.folder / "test-notify"), "\0guestmux-test-" + self.folder.name):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
                inbox.bind(name)
                inbox.settimeout(PATIENCE)
                for kind in ("guestmux", "hostmux"):
                    number = len(self.daemons)
                    daemon = Daemon(kind, self.folder, name=f"n{number}", environment={
                        "NOTIFY_SOCKET": name.replace("\0", "@")})
                    self.daemons.append(daemon)
                    daemon.start()
                    self.assertEqual(inbox.recv(4096), b"READY=1")
                    daemon.reload()
                    told = inbox.recv(4096).split(b"\n")
                    self.assertEqual(told[0], b"RELOADING=1")
                    self.assertRegex(told[1], rb"MONOTONIC_USEC=\d+")
                    self.assertEqual(inbox.recv(4096), b"READY=1")
                    daemon.stop()
                    self.assertEqual(inbox.recv(4096), b"STOPPING=1")

    def test_nobody_is_notified(self) -> None:
        for name in (str(self.folder / "nobody"), "relative", "", "@"):
            daemon = Daemon("guestmux", self.folder, name=f"n{len(self.daemons)}",
                            environment={"NOTIFY_SOCKET": name})
            self.daemons.append(daemon)
            daemon.start()
            daemon.stop()

    def test_journal(self) -> None:
        """Levels in front, when the journal reads it."""
        daemon = self.daemon("guestmux", environment={"JOURNAL_STREAM": "1:2"})
        daemon.start()
        for line in daemon.log().splitlines():
            self.assertRegex(line, r"^<[3-6]>")

    def test_without_standard_descriptors(self) -> None:
        """Started with 0, 1 and 2 closed: what it logs must not end up in somebody's socket."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        for daemon in stack.daemons:
            daemon.other_command = ["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-',
                                    *daemon.command()]
        stack.start()
        for daemon in stack.daemons:
            for fd in range(3):
                self.assertEqual(os.readlink(f"/proc/{daemon.pid}/fd/{fd}"), "/dev/null")
        for _ in range(3):
            app, peer = stack.join(listener, "svc")
            self.assert_refused("no-service", stack, "nobody")
            peer.sendall(b"clean")
            peer.close()
            self.assertEqual(app.recv(100), b"clean")
            self.assert_eof(app)


if __name__ == "__main__":
    unittest.main()
