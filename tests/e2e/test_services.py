# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The services folder: what is wrong does not hurt what is right, and a reload keeps what ran."""

from __future__ import annotations

import json
import os
import socket
import unittest
from pathlib import Path
from typing import Any

from daemon import wait_until
from stack import Listener, Refused, Stack, StackTest, read_exactly, read_to_end

FILE_MAX = 1 << 20


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def descendants_of(pid: int) -> list[int]:
    children = children_of(pid)
    return children + [one for child in children for one in descendants_of(child)]


class Services(StackTest):
    def start(self) -> tuple[Stack, Listener]:
        stack = self.stack(start=False)
        return stack, self.serve(stack)

    def names(self, stack: Stack) -> set[str]:
        return {service["service"] for service in stack.host.ask("services")["services"]}

    def spoil(self, stack: Stack) -> dict[str, str]:
        """Files that cannot be used: name to what the log must say of it."""
        folder = stack.host.services
        good: Any = {"connect": "unix:/nowhere"}

        def put(name: str, content: object) -> None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{name}.json").write_text(text)

        put("empty", "")
        put("half", '{"service": "half", "connect": "unix:/now')
        put("text", "service = text")
        put("list", [])
        put("trailing", json.dumps({"service": "trailing", **good}) + " }")
        put("utf8", "x")
        (folder / "utf8.json").write_bytes(b'{"service": "utf8", "connect": "unix:/\xff"}')
        (folder / "zero.json").write_bytes(b'{"service": "zero",\0 "connect": "unix:/x"}')
        put("deep", '{"service":' + "[" * 5000)
        put("unnamed", good)
        put("othername", {"service": "another", **good})
        put("number", {"service": 1, **good})
        put("unknown", {"service": "unknown", "colour": "red", **good})
        put("neither", {"service": "neither"})
        put("both", {"service": "both", "exec": ["/bin/cat"], **good})
        put("address", {"service": "address", "connect": "/run/x"})
        put("hostname", {"service": "hostname", "connect": "tcp:localhost:80"})
        put("port0", {"service": "port0", "connect": "tcp:127.0.0.1:0"})
        put("port", {"service": "port", "connect": "tcp:127.0.0.1:65536"})
        put("longpath", {"service": "longpath", "connect": "unix:/" + "x" * 200})
        put("nopath", {"service": "nopath", "connect": "unix:"})
        put("connect", {"service": "connect", "connect": ["unix:/x"]})
        put("exec", {"service": "exec", "exec": "/bin/cat"})
        put("execempty", {"service": "execempty", "exec": []})
        put("execnumber", {"service": "execnumber", "exec": ["/bin/echo", 1]})
        put("relative", {"service": "relative", "exec": ["cat"]})
        put("vms", {"service": "vms", "vms": "x", **good})
        put("vmsempty", {"service": "vmsempty", "vms": [], **good})
        put("max0", {"service": "max0", "max_channels": 0, **good})
        put("maxtext", {"service": "maxtext", "max_channels": "5", **good})
        put("maxhuge", {"service": "maxhuge", "max_channels": 1 << 40, **good})
        put("maxfloat", {"service": "maxfloat", "max_channels": 1.5, **good})
        put("description", {"service": "description", "description": 5, **good})
        put("nul", {"service": "nul\0x", **good})
        put("-dash", {"service": "-dash", **good})
        put("huge", '{"service": "huge", "connect": "unix:/x"}' + " " * FILE_MAX)
        os.mkfifo(folder / "fifo.json")
        (folder / "folder.json").mkdir()
        (folder / "loop.json").symlink_to("loop.json")
        (folder / "dangling.json").symlink_to("nothing")
        (folder / "device.json").symlink_to("/dev/zero")
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(folder / "socket.json"))
        server.close()
        keys = {"number": '"service"', "unknown": '"colour"', "connect": '"connect"',
                "exec": '"exec"', "execempty": '"exec"', "execnumber": '"exec"',
                "relative": '"exec"', "vms": '"vms"', "vmsempty": '"vms"',
                "max0": '"max_channels"', "maxtext": '"max_channels"',
                "maxhuge": '"max_channels"', "maxfloat": '"max_channels"',
                "description": '"description"', "othername": '"service"', "unnamed": '"service"',
                "both": '"connect" and "exec"', "neither": '"connect" and "exec"',
                "half": "line 1"}
        files = [path.stem for path in folder.iterdir() if path.stem != "svc"]
        return {name: keys.get(name, "") for name in files}

    def check_complaints(self, log: str, wrong: dict[str, str]) -> None:
        """One line each, with the file's name and what is wrong in it."""
        lines = log.splitlines()
        for name, key in wrong.items():
            about = [line for line in lines if f"/{name}.json" in line]
            self.assertEqual(len(about), 1, f"{name}: {about}")
            self.assertIn(key, about[0])

    def test_wrong_files(self) -> None:
        """Those that are right are there nevertheless."""
        stack, listener = self.start()
        wrong = self.spoil(stack)
        folder = stack.host.services
        for name in (".svc2.json", "svc2.json~", "svc2.json.new", "#svc2.json#", "svc2"):
            (folder / name).write_text("half-written")
        stack.start()
        self.assertEqual(self.names(stack), {"svc"})
        self.check_complaints(stack.host.log(), wrong)
        self.assertNotIn("svc2", stack.host.log())
        stack.join(listener, "svc")

    def test_reload_of_wrong_files(self) -> None:
        """What was loaded before stays in force, file by file."""
        stack, listener = self.start()
        for name in ("half", "fifo", "loop", "huge", "unknown", "socket"):
            stack.host.service(name, connect=listener.connect)
        stack.start()
        before = self.names(stack)
        for path in stack.host.services.iterdir():
            if path.stem != "svc":
                path.unlink()
        wrong = self.spoil(stack)
        for _ in range(2):
            self.check_complaints(stack.host.reload(), wrong)
            self.assertEqual(self.names(stack), before)
        for name in sorted(before):
            stack.join(listener, name)
        stack.host.service("half", connect="unix:/nowhere")  # whole at last
        stack.host.reload()
        self.assert_refused("refused", stack, "half")

    def test_reload(self) -> None:
        """New, changed and gone; channels that are open go on whatever happens to their service."""
        stack, listener = self.start()
        gone = self.serve(stack, "gone")
        stack.start()
        pairs = [stack.join(listener, "svc"), stack.join(gone, "gone")]
        other = self.listener()
        stack.host.service("svc", connect=other.connect)
        stack.host.service("new", connect=other.connect)
        (stack.host.services / "gone.json").unlink()
        stack.host.reload()
        self.assertEqual(self.names(stack), {"svc", "new"})
        pairs += [stack.join(other, "svc"), stack.join(other, "new")]
        self.assert_refused("no-service", stack, "gone")
        for n, (app, peer) in enumerate(pairs):
            app.sendall(b"%d" % n)
            self.assertEqual(read_exactly(peer, 1), b"%d" % n)
            peer.sendall(b"%d" % n)
            self.assertEqual(read_exactly(app, 1), b"%d" % n)
        self.assertEqual(stack.host.link()["sessions"], 1)
        for app, peer in pairs:
            app.close()
            self.assert_eof(peer)

    def test_limit_counts_over_a_reload(self) -> None:
        stack = self.stack(start=False)
        listener = self.serve(stack, "one", max_channels=1)
        stack.start()
        app, peer = stack.join(listener, "one")
        stack.host.reload()
        self.assertEqual(stack.host.ask("services")["services"][0]["channels"], 1)
        self.assert_refused("limit", stack, "one")
        app.close()
        peer.close()
        wait_until(lambda: not stack.host.channels(), "it is closed")
        app, peer = stack.join(listener, "one")
        self.assert_refused("limit", stack, "one")

    def test_reload_while_handlers_run(self) -> None:
        stack = self.stack(start=False)
        stack.host.service("cat", exec=["/bin/cat"])
        stack.start()
        app = stack.open("cat", b"1")
        self.assertEqual(read_exactly(app, 1), b"1")
        stack.host.service("cat", exec=["/bin/false"])
        stack.host.reload()
        app.sendall(b"2")
        self.assertEqual(read_exactly(app, 1), b"2")
        self.assert_eof(stack.open("cat", silent=True))
        (stack.host.services / "cat.json").unlink()
        stack.host.reload()
        app.shutdown(socket.SHUT_WR)
        self.assert_eof(app)

    def test_handlers_count_until_they_end(self) -> None:
        """A channel's end alone makes no room for another program: who comes then waits."""
        stack = self.stack(start=False)
        stack.host.service("slow", exec=["/bin/sh", "-c", "exec >&- <&-; sleep 1"], max_channels=2)
        stack.start()
        for _ in range(2):
            app = stack.open("slow")
            app.shutdown(socket.SHUT_WR)
            self.assert_eof(app)
        wait_until(lambda: not stack.host.channels(), "the channels are closed")
        first = set(children_of(stack.host.pid))
        self.assertEqual(len(first), 2)
        stack.open("slow").close()
        self.assertFalse(first <= set(children_of(stack.host.pid)), "one has ended by now")

    def test_handlers_end_with_their_group(self) -> None:
        """What a handler started goes with it when the daemon stops, also if it ignores SIGTERM."""
        stack = self.stack(start=False)
        stack.host.service("deaf", exec=["/bin/sh", "-c", "trap '' TERM; sleep 1000; true"])
        stack.host.service("heir", exec=["/bin/sh", "-c", "(trap '' TERM; exec sleep 1000) & wait"])
        stack.start()
        stack.open("deaf")
        stack.open("heir")
        wait_until(lambda: len(descendants_of(stack.host.pid)) == 4, "each has started another")
        family = descendants_of(stack.host.pid)
        stack.host.stop()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), "all ended")

    def test_reload_while_connecting(self) -> None:
        """A channel waits for a handler whose service goes away meanwhile."""
        stack = self.stack(start=False)
        full = self.listener(backlog=0)
        stack.host.service("full", connect=full.connect)
        stack.start()
        stack.open("full")
        waiting = [stack.dial() for _ in range(4)]
        for sock in waiting:
            sock.sendall(b"full\n")
        wait_until(lambda: "connecting" in {c["state"] for c in stack.host.channels()}, "it waits")
        (stack.host.services / "full.json").unlink()
        stack.host.reload()
        self.assert_refused("no-service", stack, "full")
        for _ in range(5):
            full.accept()
        for sock in waiting:
            self.assertEqual(read_exactly(sock, 3), b"OK\n")

    def test_folder_is_gone(self) -> None:
        """At a reload everything stays; at a start it is an error."""
        stack, listener = self.start()
        stack.start()
        hidden = stack.host.services.rename(self.folder / "hidden")
        self.assertIn(str(stack.host.services), stack.host.reload(good=False))
        self.assertEqual(self.names(stack), {"svc"})
        stack.join(listener, "svc")
        hidden.rename(stack.host.services)
        stack.host.reload()

    def test_many_reloads(self) -> None:
        """Under way, with channels that come and go: nothing is left of the old ones."""
        stack, listener = self.start()
        stack.start()
        for n in range(20):
            stack.host.service("svc", connect=listener.connect, description=f"the {n}th")
            assert stack.host.process is not None
            stack.host.process.send_signal(1)
            try:
                app = stack.open("svc", b"x")
            except Refused as error:
                raise AssertionError(f"refused while reloading: {error}") from None
            peer = listener.accept()
            app.close()
            self.assertEqual(read_to_end(peer), b"x")
            peer.close()
        stack.host.reload()
        (service,) = stack.host.ask("services")["services"]
        self.assertEqual((service["description"], service["channels"]), ("the 19th", 0))


if __name__ == "__main__":
    unittest.main()
