# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""muxctl listen: a service for as long as it runs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from daemon import BIN, PATIENCE, Daemon, read_line, wait_until
from running import Muxctl, RunningTest
from stack import VM, Refused, Stack, muxctl, read_exactly, read_to_end
from traffic import pattern
from user import GID, UID, needs_root

BROKEN, USAGE, NO_DAEMON, DENIED, BAD_NAME, TAKEN = 1, 2, 3, 12, 17, 18


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Programs(RunningTest):
    """With a command: each channel has a process."""

    def test_environment(self) -> None:
        """Who called is what the daemon said, and nothing that was in muxctl's own environment."""
        stack = self.stack()
        environment = os.environ | {"GUESTMUX_PROGRAM": "old", "GUESTMUX_LINK": "old"}
        for side, link in (("host", VM), ("guest", "host")):
            self.listen(stack, "--", "sh", "-c", "env | grep ^GUESTMUX_ | sort; echo $0",
                        "--", side=side, env=environment)
            app = stack.open("clip:an argument:=", side="guest" if side == "host" else "host")
            said = dict(line.split("=", 1) for line in read_to_end(app).decode().splitlines()
                        if "=" in line)
            said.pop("GUESTMUX_BIN", None)
            said.pop("GUESTMUX_SANITIZED", None)
            self.assertGreater(int(said.pop("GUESTMUX_CHANNEL")), 0)
            self.assertEqual(said, {
                "GUESTMUX_SERVICE": "clip", "GUESTMUX_ARGUMENT": "an argument:=",
                "GUESTMUX_LINK": link, "GUESTMUX_UID": str(os.geteuid()),
                "GUESTMUX_GID": str(os.getegid()),
                "GUESTMUX_PROGRAM": Path("/proc/self/comm").read_text().strip()})

    def test_several_at_once(self) -> None:
        """Each has its own; they are reaped, and no descriptor is left in muxctl."""
        stack = self.stack()
        running = self.listen(stack, "--", "sh", "-c", "echo $$; exec cat")
        before = running.descriptors()
        apps = [stack.open("clip") for _ in range(5)]
        pids = {int(read_line(app)) for app in apps}
        self.assertEqual(len(pids), 5)
        self.assertEqual(set(running.children()), pids)
        for number, app in enumerate(apps):
            app.sendall(b"%d" % number)
        for number, app in enumerate(apps):
            self.assertEqual(read_exactly(app, 1), b"%d" % number)
            app.shutdown(socket.SHUT_WR)
            self.assert_eof(app)
        wait_until(lambda: not running.children(), "all are reaped")
        wait_until(lambda: running.descriptors() == before, "all is closed")
        data = pattern(3, 3 << 20)
        run = muxctl(stack.guest, "connect", "clip", data=data)
        self.assertEqual(run.stdout.split(b"\n", 1)[1], data)

    def test_what_is_announced(self) -> None:
        stack = self.stack()
        self.listen(stack, "--description", "a \"test\"", "--property", "version=2", "--property",
                    "empty=", "--property", "url=a=b", "--max-channels", "7", "--", "cat")
        remote = stack.guest.ask("services")["remote"]
        self.assertEqual([(s["name"], s["description"], s["properties"]) for s in remote],
                         [("clip", "a \"test\"", {"version": "2", "empty": "", "url": "a=b"})])
        own = stack.host.ask("services")["services"][0]
        self.assertEqual((own["accept"], own["max_channels"]), ("fd", 7))
        self.assertEqual(own["registered_by"]["program"], "muxctl")
        text = muxctl(stack.guest, "services").stdout.decode()
        for part in ("version=2", "a \"test\"", "clip"):
            self.assertIn(part, text)
        self.assertIn("muxctl(", muxctl(stack.host, "services").stdout.decode())
        self.assertIn("0/7", muxctl(stack.host, "services").stdout.decode())

    def test_vms(self) -> None:
        stack = self.stack()
        mine = self.begin(stack.host, "listen", "mine", "--vms", "nobody*", "--vms", f"{VM}*",
                          "--", "cat")
        others = self.begin(stack.host, "listen", "others", "--vms", "nobody*", "--", "cat")
        mine.wait_for("listening as 'mine'")
        others.wait_for("listening as 'others'")
        wait_until(lambda: self.names(stack.guest) == ["mine"], "only that one is announced")
        self.assertEqual(muxctl(stack.guest, "connect", "mine", data=b"x").stdout, b"x")
        self.assert_refused("denied", stack, "others")

    def test_processes_have_a_limit(self) -> None:
        """What goes on after its channel counts; who comes then waits, and is served."""
        stack = self.stack()
        running = self.listen(stack, "--max-channels", "2", "--", "sh", "-c",
                              "echo $$; read line && exit; exec sleep 100 <&- >&-")
        first = [stack.open("clip") for _ in range(2)]
        pids = [int(read_line(app)) for app in first]
        for app in first:
            app.shutdown(socket.SHUT_WR)
            self.assert_eof(app)
        wait_until(lambda: not stack.host.channels(), "their channels are over")
        self.assertEqual(set(running.children()), set(pids))
        late = stack.open("clip", b"line\n")
        for pid in pids:
            self.assertTrue(alive(pid))
        late.settimeout(0.3)
        self.assertRaises(TimeoutError, late.recv, 1)
        late.settimeout(PATIENCE)
        os.kill(pids[0], signal.SIGKILL)
        self.assertNotIn(int(read_line(late)), pids)
        self.assert_eof(late)

    def test_once(self) -> None:
        stack = self.stack()
        for script, status in (("cat", 0), ("cat; exit 3", BROKEN), ("kill -9 $$", BROKEN)):
            running = self.listen(stack, "--once", "--", "sh", "-c", script)
            app = stack.open("clip", b"x")
            wait_until(lambda: not self.names(stack.guest), "no second one can come")
            app.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(app), b"x" if "cat" in script else b"")
            self.assertEqual(running.wait(), status)

    def test_program_that_is_not_there(self) -> None:
        stack = self.stack()
        run = muxctl(stack.host, "listen", "clip", "--", "/no/such/program")
        self.assertEqual((run.returncode, run.stdout), (USAGE, b""))
        self.assertEqual(run.stderr.count(b"\n"), 1)
        program = self.folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        running = self.listen(stack, "--", str(program))
        program.unlink()  # and now it is gone
        self.assert_eof(stack.open("clip"))
        running.wait_for(str(program))
        self.assertIsNone(running.process.poll())


class Unknown(unittest.TestCase):
    """With a daemon that the test plays."""

    def test_caller(self) -> None:
        """What is not known of a caller is not in the environment, whatever muxctl's own has."""
        environment = os.environ | {"GUESTMUX_UID": "1", "GUESTMUX_GID": "1",
                                    "GUESTMUX_PROGRAM": "old"}
        path = f"/tmp/mux-test-{os.getpid()}.sock"
        event = {"event": "channel", "service": "clip", "link": "host", "id": 7, "caller": None,
                 "argument_base64": base64.b64encode(b"\xff").decode()}
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            self.addCleanup(os.unlink, path)
            server.listen()
            server.settimeout(PATIENCE)
            process = subprocess.Popen([BIN / "muxctl", "--socket", path, "listen", "clip",
                                        "--quiet", "--once", "--", "env"], env=environment)
            self.addCleanup(process.wait, PATIENCE)
            with server.accept()[0] as control:
                control.settimeout(PATIENCE)
                self.assertEqual(read_line(control), b"@control")
                control.sendall(b"OK\n")
                self.assertEqual(json.loads(read_line(control))["verb"], "register")
                control.sendall(b'{"ok": true, "service": "clip"}\n')
                ours, theirs = socket.socketpair()
                with ours:
                    ours.settimeout(PATIENCE)
                    with theirs:
                        socket.send_fds(control, [json.dumps(event).encode() + b"\n"],
                                        [theirs.fileno()])
                    said = read_to_end(ours)
        words = {name: value for name, _, value in (line.partition(b"=")
                                                    for line in said.splitlines())}
        for name in (b"UID", b"GID", b"PROGRAM"):
            self.assertNotIn(b"GUESTMUX_" + name, words)
        self.assertEqual(words[b"GUESTMUX_ARGUMENT"], b"\xff")
        self.assertEqual(words[b"GUESTMUX_CHANNEL"], b"7")


class Ends(RunningTest):
    def sleeper(self, stack: Stack, script: str = "") -> tuple[Muxctl, int]:
        """One that has a child, which does not care for its channel."""
        running = self.listen(stack, "--", "sh", "-c", f"{script} echo $$; sleep 100 & wait")
        app = stack.open("clip")
        return running, int(read_line(app))

    def test_signals(self) -> None:
        """The registration ends, and the children with what they have started."""
        stack = self.stack()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            running, child = self.sleeper(stack, "trap 'echo asked >&2; exit' TERM;")
            running.process.send_signal(number)
            self.assertEqual(running.wait(), 0)
            self.assertIn("asked", running.err)
            self.assertFalse(alive(child))
            wait_until(lambda: not self.names(stack.guest), "it is offered no more")
            stack.close_apps()

    def test_child_that_will_not_end(self) -> None:
        stack = self.stack()
        running, child = self.sleeper(stack, "trap '' TERM;")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not self.names(stack.guest), "it is offered no more")
        self.assertTrue(alive(child))
        self.assertIsNone(running.process.poll())
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 0)
        self.assertFalse(alive(child))

    def test_ignored_signals(self) -> None:
        """As nohup starts it."""
        stack = self.stack()
        running = self.begin(stack.host, "listen", "clip", "--", "cat",
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        running.wait_for("listening")
        running.process.send_signal(signal.SIGHUP)
        self.assertEqual(muxctl(stack.guest, "connect", "clip", data=b"x").stdout, b"x")
        self.assertIsNone(running.process.poll())

    def test_daemon_goes(self) -> None:
        """A child that ends with its channel is not hurried."""
        stack = self.stack()
        running = self.listen(stack, "--", "sh", "-c", "echo; cat; sleep 0.3; echo whole >&2")
        read_line(stack.open("clip"))
        stack.host.kill()
        self.assertEqual(running.wait(), NO_DAEMON)
        self.assertIn("muxctl: clip: the daemon went away\n", running.err)
        self.assertIn("whole", running.err)
        stack.host.start()
        stack.wait_up()

    def test_retry(self) -> None:
        """It waits for a daemon that is not there yet, and comes back to one that was away."""
        stack = self.stack(start=False)
        running = self.begin(stack.host, "listen", "clip", "--retry", "--", "cat")
        waiting = self.begin(stack.host, "listen", "one", "--retry", stdin=subprocess.DEVNULL)
        running.wait_for("muxctl: clip: the daemon does not answer; waiting for it\n")
        waiting.wait_for("muxctl: one: the daemon does not answer; waiting for it\n")
        stack.start()
        for count in (1, 2):
            running.wait_for("listening as 'clip'", count=count)
            waiting.wait_for("listening as 'one'", count=count)
            wait_until(lambda: self.names(stack.guest) == ["clip", "one"], "both are known")
            self.assertEqual(muxctl(stack.guest, "connect", "clip", data=b"x").stdout, b"x")
            if count == 1:
                stack.host.kill()
                running.wait_for("the daemon went away; waiting for it")
                stack.host.start()
                stack.wait_up()
        self.assertEqual(muxctl(stack.guest, "connect", "one", data=b"x").returncode, 0)
        self.assertEqual((waiting.wait(), waiting.out), (0, "x"))
        stack.host.kill()
        running.wait_for("the daemon went away; waiting for it", count=2)
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 0)
        stack.host.start()
        stack.wait_up()

    def test_taken(self) -> None:
        stack = self.stack()
        running = self.listen(stack, "--", "cat")
        for extra in ((), ("--retry",), ("--", "cat")):
            run = muxctl(stack.host, "listen", "clip", *extra)
            self.assertEqual((run.returncode, run.stdout), (TAKEN, b""))
            self.assertEqual(run.stderr.count(b"\n"), 1)
            self.assertIn(b"muxctl", run.stderr[7:])  # who has it
        self.assertIsNone(running.process.poll())

    def test_file_takes_the_name(self) -> None:
        """The registration is over; the channel that there is goes on to its end."""
        stack = self.stack()
        running = self.listen(stack, "--", "sh", "-c", "echo; exec cat")
        app = stack.open("clip")
        read_line(app)
        stack.host.service("clip", exec=["/bin/echo", "of the file"])
        running.wait_for("muxctl: clip: the daemon ended the registration: ")
        app.sendall(b"still here")
        self.assertEqual(read_exactly(app, 10), b"still here")
        self.assertIsNone(running.process.poll())
        app.close()
        self.assertEqual(running.wait(), TAKEN)
        self.assertEqual(muxctl(stack.guest, "connect", "clip").stdout, b"of the file\n")

    @needs_root
    def test_denied(self) -> None:
        """The policy, in the guest, says who may register."""
        self.folder.chmod(0o755)
        program = self.folder / "muxctl"
        shutil.copy(BIN / "muxctl", program)
        stack = self.stack(start=False)
        stack.guest.config.write_text(json.dumps({"policy": {"clip": {"users": ["nobody"]}}}))
        stack.start()
        somebody = {"program": program, "user": UID, "group": GID, "extra_groups": []}
        running = self.begin(stack.guest, "listen", "clip", "--", "cat", **somebody)
        self.assertEqual(running.wait(), DENIED)
        self.assertEqual(running.err.count("\n"), 1)
        running = self.begin(stack.guest, "listen", "other", "--", "id", "-u", **somebody)
        running.wait_for("listening")
        self.assertEqual(muxctl(stack.host, "connect", f"{VM}/other").stdout, b"%d\n" % UID)


class Joined(RunningTest):
    """Without a command: the first channel is muxctl's own input and output."""

    def test_both_directions(self) -> None:
        stack = self.stack()
        data = pattern(4, 3 << 20)
        (self.folder / "data").write_bytes(data)
        for side, other in (("host", "guest"), ("guest", "host")):
            with (self.folder / "data").open("rb") as stdin:
                running = self.listen(stack, side=side, stdin=stdin)
                app = stack.open("clip", b"question", side=other)
                app.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(app), data)
                self.assertEqual((running.wait(), running.out), (0, "question"))

    def test_only_one(self) -> None:
        stack = self.stack()
        running = self.listen(stack, stdin=subprocess.PIPE)
        app = stack.open("clip", b"x")
        running.wait_for("x", "stdout")
        with self.assertRaises(Refused):
            stack.open("clip")
        assert running.process.stdin
        running.process.stdin.close()
        app.shutdown(socket.SHUT_WR)
        self.assert_eof(app)
        self.assertEqual(running.wait(), 0)

    def test_second_one_while_it_is_busy(self) -> None:
        """Is refused, rather than taken and dropped."""
        stack = self.stack()
        running = self.listen(stack)
        running.process.send_signal(signal.SIGSTOP)
        app = stack.open("clip", b"x")
        self.assert_refused("limit", stack, "clip")
        running.process.send_signal(signal.SIGCONT)
        app.shutdown(socket.SHUT_WR)
        self.assertEqual((running.wait(), running.out), (0, "x"))

    def test_quiet(self) -> None:
        stack = self.stack()
        running = self.begin(stack.host, "listen", "clip", "--quiet")
        wait_until(lambda: self.names(stack.guest) == ["clip"], "it is there")
        self.assertEqual(muxctl(stack.guest, "connect", "clip", data=b"x").returncode, 0)
        self.assertEqual((running.wait(), running.out, running.err), (0, "x", ""))

    def test_session_ends(self) -> None:
        """What came is not all."""
        stack = self.stack()
        running = self.listen(stack)
        stack.open("clip", b"x")
        running.wait_for("x", "stdout")
        stack.guest.kill()
        self.assertEqual(running.wait(), BROKEN)
        self.assertIn("the session ended", running.err)
        stack.guest.start()
        stack.wait_up()

    def test_usage(self) -> None:
        stack = self.stack()
        for arguments in ((), ("clip", "--property", "x"), ("clip", "--property", "=x"),
                          ("clip", "--max-channels", "0"), ("clip", "--max-channels", "65536"),
                          ("clip", "--max-channels", "x"), ("clip", "--json"),
                          ("clip", "--nonsense"), ("clip", "--description", "\udcff")):
            run = muxctl(stack.host, "listen", *arguments)
            self.assertEqual((run.returncode, run.stdout), (USAGE, b""), arguments)
            self.assertTrue(run.stderr.startswith(b"muxctl: "))
        for name in ("b@d", "a/b", "a:b", "", "a" * 129):
            run = muxctl(stack.host, "listen", name)
            self.assertEqual((run.returncode, run.stderr.count(b"\n")), (BAD_NAME, 1), name)
        nobody = Daemon("guestmux", self.folder, name="nobody")
        for extra in ((), ("--", "cat")):
            run = muxctl(nobody, "listen", "clip", *extra)
            self.assertEqual((run.returncode, run.stdout), (NO_DAEMON, b""))
            self.assertIn(str(nobody.socket).encode(), run.stderr)


if __name__ == "__main__":
    unittest.main()
