# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl wait, events, top, and what status says of the other side."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import unittest
from pathlib import Path

from daemon import BIN, PATIENCE, Daemon, wait_until
from running import Muxctl, RunningTest
from stack import VM, Listener, Stack, muxctl, read_exactly
from terminal import START, Terminal
from traffic import pattern

BROKEN, USAGE, NO_DAEMON, TIMEOUT, BAD_NAME = 1, 2, 3, 15, 17
OURSELVES = f"{Path('/proc/self/comm').read_text().strip()}({os.geteuid()})"


class Wait(RunningTest):
    def test_is_there(self) -> None:
        stack = self.stack(start=False)
        self.serve(stack)
        stack.guest.service("uptime", exec=["/bin/true"])
        stack.start()
        wait_until(lambda: self.names(stack.guest) and self.names(stack.host), "announced")
        for daemon, name in ((stack.guest, "svc"), (stack.guest, "svc:argument"),
                             (stack.host, f"{VM}/uptime")):
            for extra in ((), ("--timeout", "5"), ("--timeout", "0")):
                run = muxctl(daemon, "wait", name, *extra)
                self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"", b""))

    def test_comes_later(self) -> None:
        """Each of several that wait is told, whichever way the service comes."""
        stack = self.stack()
        waiting = [self.begin(stack.guest, "wait", name) for name in ("one", "one", "two")]
        waiting.append(self.begin(stack.host, "wait", f"{VM}/one"))
        for running in waiting:
            running.take(0.05)
            self.assertIsNone(running.process.poll())
        self.listen(stack, "--", "cat", name="one")
        self.assertEqual([running.wait() for running in waiting[:2]], [0, 0])
        self.assertIsNone(waiting[2].process.poll())
        self.assertIsNone(waiting[3].process.poll())  # this one is not on the host's side
        stack.host.service("two", exec=["/bin/cat"])
        self.assertEqual(waiting[2].wait(), 0)
        self.listen(stack, "--", "cat", name="one", side="guest")
        self.assertEqual(waiting[3].wait(), 0)

    def test_time_is_over(self) -> None:
        stack = self.stack()
        for timeout in ("0", "0.2"):
            run = muxctl(stack.guest, "wait", "nobody", "--timeout", timeout)
            self.assertEqual((run.returncode, run.stdout), (TIMEOUT, b""))
            self.assertEqual(run.stderr.count(b"\n"), 1)

    def test_daemon(self) -> None:
        """Not there; and gone meanwhile."""
        nobody = Daemon("guestmux", self.folder, name="nobody")
        self.assertEqual(muxctl(nobody, "wait", "svc").returncode, NO_DAEMON)
        stack = self.stack()
        running = self.begin(stack.guest, "wait", "svc")
        wait_until(lambda: running.take(0.05) and stack.guest.ask("status"), "it is at work")
        stack.guest.kill()
        self.assertEqual(running.wait(), NO_DAEMON)
        self.assertEqual(running.err.count("\n"), 1)
        stack.guest.start()
        stack.wait_up()

    def test_usage(self) -> None:
        stack = self.stack()
        for arguments in ((), ("a", "b"), ("a", "--timeout", "x"), ("a", "--timeout", "-1.5"),
                          ("a", "--timeout", "nan"), ("a", "--json")):
            run = muxctl(stack.guest, "wait", *arguments)
            self.assertEqual((run.returncode, run.stdout), (USAGE, b""), arguments)
            self.assertEqual(run.stderr.count(b"\n"), 1)
        for name in ("b@d", "", "a" * 129, "/a", "a b", "a/", ":a"):
            run = muxctl(stack.guest, "wait", name)
            self.assertEqual((run.returncode, run.stdout), (BAD_NAME, b""), name)
            self.assertEqual(run.stderr.count(b"\n"), 1)


class Events(RunningTest):
    def follow(self, daemon: Daemon, *arguments: str) -> Muxctl:
        return self.begin(daemon, "events", *arguments)

    def settle(self, stack: Stack, running: Muxctl) -> None:
        """Makes events until one is seen."""
        def seen() -> bool:
            muxctl(stack.guest, "connect", "nobody")
            running.take(0.02)
            return "channel-refused" in running.out
        wait_until(seen, "an event")

    def start(self) -> tuple[Stack, Listener]:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        return stack.start(), listener

    def test_lines(self) -> None:
        stack, listener = self.start()
        here, there = (self.follow(daemon) for daemon in stack.daemons)
        for running in (here, there):
            self.settle(stack, running)
        app, peer = stack.join(listener, "svc:arg", b"12345")
        self.assertEqual(read_exactly(peer, 5), b"12345")
        app.close()
        peer.close()
        other = self.listen(stack, "--property", "a=b", "--description", "words", "--", "cat")
        other.process.terminate()
        self.assertEqual(other.wait(), 0)
        caller = re.escape(OURSELVES)
        for running, lines in (
                (here, (rf"channel-opened  host \d+ out svc:arg by {caller}",
                        r"channel-closed  host \d+ out svc:arg \S+, sent 5, received 0",
                        r"channel-refused host out nobody no-service by muxctl\(\d+\)",
                        r"service-added   clip a=b: words", r"service-removed clip")),
                (there, (rf"channel-opened  {VM} \d+ in svc:arg by {caller}",
                         rf"channel-closed  {VM} \d+ in svc:arg \S+, sent 0, received 5",
                         r"offer-added     clip a=b: words", r"offer-removed   clip"))):
            for line in lines:
                pattern_ = rf"(?m)^\d\d:\d\d:\d\d\.\d\d\d {line}$"
                running.wait_for(line.split(" ", 1)[0], "stdout")
                wait_until(lambda r=running, p=pattern_: (  # type: ignore[misc]
                    r.take(0.02), re.search(p, r.out))[1], f"{line} in {running.out}")

    def test_json(self) -> None:
        stack, listener = self.start()
        running = self.follow(stack.guest, "--json")
        self.settle(stack, running)
        app, peer = stack.join(listener, b"svc:\xc2\x9b\xe2\x80\xae")
        running.wait_for("channel-opened", "stdout")
        running.wait_for("\n", "stdout", running.out.count("\n"))
        events = [json.loads(line) for line in running.out.splitlines()]
        opened = [event for event in events if event["event"] == "channel-opened"]
        self.assertEqual([event["service"] for event in opened], ["svc:\u009b\u202e"])
        for event in events:
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        for character in ("\u009b", "\u202e"):
            self.assertNotIn(character, running.out)
        app.close()
        peer.close()

    def test_only(self) -> None:
        stack, listener = self.start()
        every = self.follow(stack.guest)
        some = self.follow(stack.guest, "--only", "links,services")
        self.settle(stack, every)
        self.listen(stack, "--", "cat", name="other")
        some.wait_for("service-added   other", "stdout")
        stack.host.kill()
        some.wait_for("link-down       host ", "stdout")
        stack.host.start()
        some.wait_for("link-up         host hostmux ", "stdout")
        self.assertNotIn("channel-", some.out)

    def test_terminal(self) -> None:
        """What the other side chose controls nothing."""
        stack, listener = self.start()
        running = self.follow(stack.host)
        self.settle(stack, running)
        app, peer = stack.join(listener, b"svc:\x1b[31m\x07\r\xc2\x9b31m")
        running.wait_for("svc:", "stdout")
        self.listen(stack, "--description", "\u009b31m", "--property", "a=\u202e", "--", "cat",
                    side="guest")
        running.wait_for("clip", "stdout")
        for control in (b"\x1b", b"\x07", b"\r", b"\xc2\x9b", b"\xe2\x80\xae"):
            self.assertNotIn(control, running.said["stdout"])
            for command in ("services", "status"):
                for extra in ((), ("--json",)):
                    out = muxctl(stack.host, command, *extra).stdout
                    self.assertNotIn(control, out)
        app.close()
        peer.close()

    def test_ends(self) -> None:
        """With the daemon; and with whoever reads, also while nothing happens."""
        stack, _ = self.start()
        running = self.follow(stack.guest)
        self.settle(stack, running)
        assert running.process.stdout
        running.selector.unregister(running.process.stdout)
        running.process.stdout.close()
        self.assertEqual(running.process.wait(PATIENCE), BROKEN)
        running = self.follow(stack.guest)
        self.settle(stack, running)
        stack.guest.kill()
        self.assertEqual(running.wait(), NO_DAEMON)
        self.assertEqual(running.err, "muxctl: the daemon went away\n")
        stack.guest.start()
        stack.wait_up()
        for arguments in (["x"], ["--only", "nonsense"], ["--only", ""], ["--only", "links,"]):
            self.assertEqual(muxctl(stack.guest, "events", *arguments).returncode, USAGE)


class Top(RunningTest):
    def busy(self) -> Stack:
        """One channel that carries all the time, and one that does not."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.host.service("sink", exec=["/bin/sh", "-c", "exec cat >/dev/null"])
        stack.start()
        stack.join(listener, "svc:idle")
        app = stack.open("sink:busy")
        over = threading.Event()

        def carry() -> None:
            while not over.is_set():
                app.sendall(pattern(5, 1 << 16))
                over.wait(0.001)

        thread = threading.Thread(target=carry)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join(PATIENCE)

        self.addCleanup(stop)
        self.stop_carrying = stop
        return stack

    def top(self, stack: Stack, *arguments: object, **keys: int) -> Terminal:
        terminal = Terminal([BIN / "muxctl", "--socket", stack.guest.socket, "top", *arguments],
                            **keys)
        self.addCleanup(terminal.end)
        return terminal

    @staticmethod
    def order(terminal: Terminal) -> list[str]:
        """The channels as they stand in the last frame."""
        return re.findall("sink:busy|svc:idle", "\n".join(terminal.frames()[-1]))

    def test_once(self) -> None:
        """Without a terminal: one interval."""
        stack = self.busy()
        run = muxctl(stack.guest, "top", "--json", "--interval", "0.3")
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        answer = json.loads(run.stdout)
        self.assertGreaterEqual(answer["seconds"], 0.3)
        link, = answer["links"]
        rates = {c["service"]: (c["out_rate"], c["in_rate"]) for c in link["channels"]}
        self.assertEqual(rates["svc:idle"], (0, 0))
        self.assertGreater(rates["sink:busy"][0], 100_000)
        self.assertEqual(rates["sink:busy"][1], 0)
        self.assertGreater(link["out_rate"], 100_000)
        for arguments in (["--interval", "0.2"], ["--once", "--interval", "0.2"]):
            text = muxctl(stack.guest, "top", *arguments).stdout.decode()
            self.assertNotIn("\x1b", text)
            self.assertLess(text.index("sink:busy"), text.index("svc:idle"))
            self.assertIn("1 of 1 links up, 2 channels", text)
        self.stop_carrying()

    def test_screen(self) -> None:
        """It is painted again each interval, in the order that one asks for, until q."""
        stack = self.busy()
        terminal = self.top(stack, "--interval", "0.2")
        terminal.wait_for(lambda: len(terminal.frames()) >= 3, "three frames")
        terminal.wait_for(lambda: self.order(terminal) == ["sink:busy", "svc:idle"], "by rate")
        self.assertIn("by rate;", terminal.text)
        terminal.press("s")
        terminal.wait_for(lambda: "by in;" in terminal.text, "the next order")
        terminal.press("\x1b[C")
        terminal.wait_for(lambda: "by out;" in terminal.text, "the next order")
        terminal.press("\x1b[D\x1b[D\x1b[D")
        terminal.wait_for(lambda: "by age;" in terminal.text, "the last order")
        self.assertEqual(self.order(terminal), ["svc:idle", "sink:busy"])
        terminal.press("q")
        self.assertEqual(terminal.wait(), 0)
        self.stop_carrying()

    def test_size(self) -> None:
        """Whatever the size, no line is too long and none too many; it follows changes."""
        stack = self.stack(start=False)
        self.serve(stack)
        stack.start()
        for number in range(40):
            stack.open(f"svc:{number}-\u4f60\u597d-" + "x" * 60)
        terminal = self.top(stack, "--interval", "60", width=100, height=20)
        self.assertEqual(len(terminal.next_frame()), 20)
        for width, height in ((60, 12), (200, 60), (20, 5), (1, 1), (90, 24)):
            terminal.resize(width, height)
            terminal.wait_for(
                lambda h=height: len(terminal.frames()[-1]) == h,  # type: ignore[misc]
                f"a screen of {width} by {height}")
            for line in terminal.frames()[-1]:
                wide = sum(2 if "\u4e00" <= c <= "\u9fff" else 1 for c in line)
                self.assertLessEqual(wide, width, line)
        text = "\n".join(terminal.frames()[-1])
        for part in ("more", "AGE", "\u2026"):  # a wide column is cut, not the last ones
            self.assertIn(part, text)
        terminal.press("q")
        self.assertEqual(terminal.wait(), 0)

    def test_signals(self) -> None:
        """However it ends, the terminal is as it was."""
        stack = self.stack()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            terminal = self.top(stack)
            terminal.next_frame()
            terminal.process.send_signal(number)
            self.assertEqual(terminal.wait(), -number)
        terminal = self.top(stack)
        terminal.next_frame()
        terminal.press("\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)

    def test_stopped(self) -> None:
        """^Z gives the terminal back, and it is taken again."""
        stack = self.stack()
        terminal = self.top(stack, "--interval", "0.2")
        terminal.next_frame()
        os.kill(terminal.process.pid, signal.SIGTSTP)
        os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
        terminal.take()
        terminal.check_given_back()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.next_frame()
        self.assertEqual(terminal.text.count(START), 2)
        terminal.press("q")
        self.assertEqual(terminal.wait(), 0)

    def test_daemon_goes(self) -> None:
        stack = self.stack()
        terminal = self.top(stack, "--interval", "0.2")
        terminal.next_frame()
        stack.guest.kill()
        self.assertEqual(terminal.wait(), NO_DAEMON)
        self.assertIn("muxctl: the daemon went away", terminal.text)
        stack.guest.start()
        stack.wait_up()
        for arguments in (["x"], ["--interval", "0"], ["--interval", "nan"]):
            self.assertEqual(muxctl(stack.guest, "top", *arguments).returncode, USAGE)


class Skew(unittest.TestCase):
    """What status says of the other daemon, with one that the test plays."""

    def answer(self, links: list[dict[str, object]]) -> str:
        path = f"/tmp/mux-test-{os.getpid()}.sock"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            self.addCleanup(os.unlink, path)
            server.listen()
            server.settimeout(PATIENCE)
            process = subprocess.Popen([BIN / "muxctl", "--socket", path, "status"],
                                       stdout=subprocess.PIPE)
            with server.accept()[0] as sock:
                sock.settimeout(PATIENCE)
                self.assertEqual(sock.recv(10), b"@control\n")
                sock.sendall(b"OK\n")
                sock.recv(100)
                sock.sendall(json.dumps({"ok": True, "daemon": "hostmux", "version": "0.2.0",
                                         "links": links}).encode() + b"\n")
            out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        return out.decode()

    def test_versions(self) -> None:
        text = self.answer([
            {"name": "a", "state": "up", "peer": {"daemon": "guestmux", "version": "0.1.0"}},
            {"name": "b", "state": "up", "peer": {"daemon": "guestmux", "version": "0.2.0"}},
            {"name": "c", "state": "up", "peer": None}])
        self.assertIn("hostmux 0.2.0\n", text)
        self.assertIn("  other side: guestmux 0.1.0, not the version of this side, 0.2.0\n", text)
        self.assertIn("  other side: guestmux 0.2.0\n", text)
        self.assertEqual(text.count("other side"), 2)


class Status(RunningTest):
    def test_caller(self) -> None:
        """Who opened a channel, on both sides; and the names that can be opened, one a line."""
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.guest.service("uptime", exec=["/bin/true"])
        stack.start()
        stack.join(listener, "svc")
        for daemon, other, name in ((stack.guest, "hostmux", "svc"),
                                    (stack.host, "guestmux", f"{VM}/uptime")):
            text = muxctl(daemon, "status").stdout.decode()
            self.assertIn(OURSELVES, text)
            self.assertIn(f"other side: {other} ", text)
            wait_until(lambda d=daemon: self.names(d), "announced")  # type: ignore[misc]
            run = muxctl(daemon, "services", "--names")
            self.assertEqual((run.returncode, run.stdout), (0, name.encode() + b"\n"))


if __name__ == "__main__":
    unittest.main()
