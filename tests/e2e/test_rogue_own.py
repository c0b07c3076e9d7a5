# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest, or a host, that uses the daemons' own channel otherwise than they do, and lies about who
calls.
"""

from __future__ import annotations

import json
import signal
import unittest

from client import Client
from daemon import SANITIZED, wait_until
from rogue import EVIL, Rogue, RogueTest


class Own(RogueTest):
    def test_names(self) -> None:
        """Opened more than once; others than the one that there is."""
        stack = self.started()
        rogue = self.rogue(stack, "@services", "@services", "@other", "@control", "@services")
        rogue.says("accept @services", "reset @services limit", "reset @other no-service",
                   "reset @control no-service")
        self.assertEqual(rogue.log.read_text().count("reset @services limit"), 2)
        rogue.say({"service": "svc"})
        wait_until(lambda: self.remote(stack) == ["svc"], "the first one counts")
        link = stack.host.link(EVIL)
        self.assertEqual((link["state"], link["sessions"], link["channels_open"]), ("up", 1, 0))

    def test_ends(self) -> None:
        """It says no more: what it said counts no more, and nothing else ends."""
        stack = self.started()
        rogue = self.announcer(stack)
        assert rogue.process.stdin
        rogue.process.stdin.close()
        wait_until(lambda: self.remote(stack) == [], "it has ended")
        rogue.says("fin @services")
        stack.host.service("new", exec=["/bin/cat"])
        wait_until(lambda: len(stack.guest.ask("services")["remote"]) == 2, "others are told")
        self.assertTrue(self.daemon_up(stack.host, EVIL))

    def test_host_is_rogue(self) -> None:
        """guestmux bears the same from the other side."""
        guest = self.daemon("guestmux", ["--port", f"unix:{self.folder}/test-port"])
        rogue = Rogue(self.folder, "host", f"listen:{self.folder}/test-port", "@services", "@x")
        self.addCleanup(rogue.close)
        guest.service("cat", exec=["/bin/cat"])
        wait_until(lambda: (self.folder / "test-port").exists(), "it listens")
        guest.start()
        rogue.says("up", "open @services", "reset @services limit", "reset @x no-service")
        rogue.say({"daemon": "rogue", "version": "0"}, {"service": "svc"})
        wait_until(lambda: len(guest.ask("services")["remote"]) == 1, "it is announced")
        wait_until(lambda: '{"service":"cat"' in rogue.out.read_text(), "it is told")
        rogue.say(b"junk\n")
        wait_until(lambda: guest.ask("services")["remote"] == [], "it is not believed any more")
        self.assertEqual((guest.link()["state"], guest.link()["sessions"]), ("up", 1))

    def test_never_reads(self) -> None:
        """Its announcements wait, one for each service at most; the other VM gets its own."""
        stack = self.started()
        deaf = self.rogue(stack, "--deaf", "@services")
        registrant = Client(stack.host.socket)
        self.addCleanup(registrant.close)
        for stopped in (False, True):
            if stopped:
                deaf.process.send_signal(signal.SIGSTOP)
            memory = stack.host.memory()
            for n in range(3000):
                registrant.good("register", service=f"s{n % 20}", accept="fd",
                                description=f"{n}" * 500)
                registrant.good("unregister", service=f"s{n % 20}")
            registrant.good("register", service=f"last-{stopped}", accept="fd")
            wait_until(lambda: f"last-{stopped}" in [  # noqa: B023
                one["service"] for one in stack.guest.ask("services")["remote"]], "it is told")
            if not SANITIZED:
                self.assertLess(stack.host.memory() - memory, 4 << 20)
            self.assertLess(stack.host.cpu_over(0.3), 0.1)
        deaf.process.send_signal(signal.SIGCONT)


class Callers(RogueTest):
    def test_lies(self) -> None:
        """What another machine says of its users is shown as something printable."""
        stack = self.started()
        stack.host.service("env", exec=["/usr/bin/env"])
        stack.host.service("sleep", exec=["/bin/sleep", "1000"], preamble="json")
        stack.host.reload()
        client = Client(stack.host.socket)
        self.addCleanup(client.close)
        client.good("events", only=["channels"])
        rogue = self.rogue(stack, "--uid", "0", "--gid", "4294967295", "--program",
                           "\x1b[31mroot\nx ü" + "y" * 40, "env", "sleep", "nobody\x1b[31m:\r\x01")
        rogue.says("accept env", "accept sleep")
        caller = {"uid": 0, "gid": 4294967295, "program": "?[31mroot?x???" + "y" * 17}
        for _ in range(3):
            came = client.event()
            if came["event"] != "channel-closed":
                self.assertEqual(came["caller"], caller)
        (sleep,) = stack.host.channels(EVIL)
        self.assertEqual(sleep["caller"], caller)
        wait_until(lambda: b"GUESTMUX_PROGRAM=?[31mroot?x???" in rogue.out.read_bytes(), "env")
        self.assertNotIn("\x1b", stack.host.log())

    def test_says_nothing(self) -> None:
        """Nor is anybody believed to call whom the daemon's own environment names."""
        names = {f"GUESTMUX_{name}": "0" for name in ("UID", "GID", "PROGRAM")}
        stack = self.started(environment=names)
        stack.host.service("env", exec=["/bin/sh", "-c", "head -n 1; env"], preamble="json")
        stack.host.reload()
        rogue = self.rogue(stack, "env:")
        rogue.says("fin env:")
        said = rogue.out.read_text()
        self.assertIsNone(json.loads(said.splitlines()[0])["caller"])
        self.assertIn(f"GUESTMUX_LINK={EVIL}\n", said)
        for name in names:
            self.assertNotIn(name, said)


if __name__ == "__main__":
    unittest.main()
