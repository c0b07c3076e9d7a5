#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services that come and go while a guest runs: offered, found and opened by its users.

In the guest alice and bob do things, who are not root; on the host whoever runs the test.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import unittest
from typing import Any

from machine import die_with_parent
from offers import CONFIG, CONFIG_PATH, REDIS, SOON_S, OffersCase, next_event
from parts import environment, part
from stack import VM_NAME, listens, read_all, wait_for

NO_DAEMON, NO_SERVICE, DENIED, TIMEOUT, TAKEN = 3, 11, 12, 15, 18
#: Registrations, each by a program of its own; a user has 32 control connections.
MANY = 24

ALICE: dict[str, Any] = {"uid": 1000, "gid": 1000, "program": "muxctl"}
#: Says who called.
WHO = 'echo "$GUESTMUX_UID $GUESTMUX_GID $GUESTMUX_PROGRAM $GUESTMUX_LINK $GUESTMUX_ARGUMENT"'


class Registering(OffersCase):
    def test_alice_offers(self) -> None:
        """Awaited on the host, opened there, seen by both sides, and gone with her program."""
        events = self.host_app("events", "--json", "--only", "services")
        waiting = self.host_app("wait", "--timeout", "20", f"{VM_NAME}/clip")
        time.sleep(0.1)
        self.assertIsNone(waiting.poll())
        alice = self.listen_as(
            "alice", "--description 'her own' --property version=2 clip", "id -un; cat"
        )
        self.assertEqual(waiting.wait(SOON_S), 0)
        self.assertEqual(self.host_ask("clip", "hello"), (0, "alice\nhello"))
        clip = {"name": f"{VM_NAME}/clip", "link": VM_NAME, "service": "clip",
                "description": "her own", "properties": {"version": "2"}}  # fmt: skip
        remote = json.loads(self.host.muxctl("services", "--json").stdout)["remote"]
        self.assertEqual([one for one in remote if one["service"] == "clip"], [clip])
        own = json.loads(self.run_as("bob", "muxctl services --json").output)["services"]
        self.assertEqual([one["registered_by"] for one in own if one["service"] == "clip"], [ALICE])
        alice.kill()
        self.assertEqual(alice.wait(), 0)
        wait_for(lambda: f"{VM_NAME}/clip" not in self.host_sees(), SOON_S)
        self.assertEqual(self.host_ask("clip")[0], NO_SERVICE)
        self.assertEqual(self.host_wait("clip", 0), TIMEOUT)
        assert events.stdout
        self.assertEqual(next_event(events, service="clip"), {"event": "service-added", **clip})
        self.assertEqual(next_event(events, service="clip")["event"], "service-removed")

    def test_alice_offers_one_channel(self) -> None:
        """Her terminal is the handler."""
        alice = self.spawn_as("alice", "sh -c 'echo from alice | muxctl listen note'")
        self.assertEqual(self.host_wait("note"), 0)
        self.assertEqual(self.host_ask("note", "from the host\n"), (0, "from alice\n"))
        self.assertEqual(alice.wait(), 0)
        self.assertIn("from the host\n", alice.output())
        self.assertNotIn(f"{VM_NAME}/note", self.host_sees())

    def test_host_offers(self) -> None:
        """Awaited in the guest; the handler is told who opened it, and status too."""
        waiting = self.spawn_as("alice", "muxctl wait --timeout 20 late")
        time.sleep(0.1)
        self.assertTrue(waiting.running())
        late = self.host_listen("late", command=f"{WHO}; cat")
        self.assertEqual(waiting.wait(SOON_S), 0)
        self.assertIn("late", self.guest_sees("alice"))
        for user, command, who in [
            ("alice", "muxctl connect late:a/b </dev/null", "1000 1000 muxctl guest a/b"),
            ("alice", "pipe-client late x", "1000 1000 pipe-client guest"),
            ("bob", "muxctl connect late </dev/null", "1001 1001 muxctl guest"),
            ("root", "muxctl connect late </dev/null", "0 0 muxctl guest"),
        ]:
            with self.subTest(user=user, command=command):
                status, output = self.run_as(user, command)
                self.assertEqual((status, output.split("\n")[0].rstrip()), (0, who), output)
        app = self.spawn_as("alice", "sh -c 'sleep 60 | muxctl connect late'")
        self.vm.wait_until(f"grep -q 1000 {app.log}")
        for link in (self.host.link(), self.guest.link()):
            self.assertEqual([channel["caller"] for channel in link["channels"]], [ALICE])
        late.terminate()
        late.wait(SOON_S)
        wait_for(lambda: "late" not in self.guest_sees("alice"), SOON_S)
        self.assertEqual(self.run_as("alice", "muxctl connect late </dev/null").status, NO_SERVICE)

    def test_who_is_taken(self) -> None:
        """A name has one owner: a file before programs, and the first program."""
        self.listen_as("alice", "clip", "cat")
        for user, service, status in [
            ("root", "clip", TAKEN), ("bob", "gecho", TAKEN), ("bob", "clip", DENIED),
        ]:  # fmt: skip
            with self.subTest(user=user, service=service):
                got, text = self.run_as(user, f"muxctl listen {service} -- /bin/cat")
                self.assertEqual(got, status, text)
        self.assertEqual(self.host_ask("clip", "still hers"), (0, "still hers"))

    def test_only_for_some_vms(self) -> None:
        self.host_listen("--vms", "other*", "theirs", command="cat")
        self.host_listen("--vms", f"{VM_NAME[:2]}*", "ours", command="cat")
        wait_for(lambda: "ours" in self.guest_sees(), SOON_S)
        self.assertNotIn("theirs", self.guest_sees())
        # Which is the same as if there were none: what others have is nobody's business.
        self.assertIn(self.run_as("root", "muxctl connect theirs").status, (NO_SERVICE, DENIED))

    def test_many(self) -> None:
        """At once, found and opened on the other side, and gone together."""
        script = (
            f"for n in $(seq {MANY}); do muxctl listen --quiet s$n -- /bin/echo $n & done; wait"
        )
        begin = time.monotonic()
        alice = self.spawn_as("alice", f"sh -c {shlex.quote(script)}")
        names = {f"{VM_NAME}/s{n}" for n in range(1, MANY + 1)}
        wait_for(lambda: names <= self.host_sees(), 20)
        self.say(f"{MANY} registered and found in {time.monotonic() - begin:.2f} s")
        for n in range(1, MANY + 1):
            self.assertEqual(self.host_ask(f"s{n}"), (0, f"{n}\n"))
        alice.kill("KILL")
        wait_for(lambda: not names & self.host_sees(), SOON_S)

    # ---- policy and exposed sockets ----

    def test_policy(self) -> None:
        """bob may what alice may not, who does not even see it."""
        status, output = self.run_as("alice", "muxctl connect secret")
        self.assertEqual(status, DENIED, output)
        self.assertIn("denied", output)
        for user in ("bob", "root"):
            self.assertEqual(
                self.run_as(user, "muxctl connect secret </dev/null"), (0, "treasure\n")
            )
        self.assertEqual(self.run_as("alice", "muxctl wait --timeout 0 secret").status, TIMEOUT)
        self.assertEqual(self.guest_sees("alice"), {"echo"})
        self.assertEqual(self.guest_sees("bob"), {"echo", "secret"})

    def test_policy_reloaded(self) -> None:
        """It is in force for what is opened from then on."""
        assert self.guest.daemon
        changed = {**CONFIG, "policy": {"secret": {"groups": ["alice"]}}}
        self.addCleanup(self.vm.check, _write(CONFIG_PATH, json.dumps(CONFIG)))
        self.vm.check(_write(CONFIG_PATH, json.dumps(changed)))
        self.vm.check(f"kill -HUP {self.guest.daemon.pid}")
        self.vm.wait_until("su alice -c 'muxctl connect secret </dev/null'", SOON_S)
        self.assertEqual(self.run_as("bob", "muxctl connect secret").status, DENIED)

    def test_exposed(self) -> None:
        """redis's own client in the guest, which knows of a socket, and redis on the host."""
        self.vm.check(f"test -S {REDIS}")
        path = self.folder_of_redis()
        offered = self.host.folder / "services/redis.json"
        offered.write_text(json.dumps({"service": "redis", "connect": f"unix:{path}"}))
        wait_for(lambda: "redis" in self.guest_sees("alice"), SOON_S)
        client = f"redis-cli -s {REDIS}"
        self.assertEqual(self.run_as("alice", f"{client} PING"), (0, "PONG\n"))
        self.vm.check("noise 5 100000 | od -An -tx1 >/tmp/value; chmod 644 /tmp/value")
        self.assertEqual(self.run_as("alice", f"{client} -x SET key </tmp/value"), (0, "OK\n"))
        value = self.run_as("alice", f"{client} GET key | head -c -1 | cmp - /tmp/value")
        self.assertEqual(value, (0, ""))
        status, output = self.run_as("bob", f"{client} PING")
        self.assertNotEqual(status, 0)
        self.assertIn("Permission denied", output)

    def folder_of_redis(self) -> str:
        path = self.host.folder / "redis.sock"
        server = subprocess.Popen(
            [part("usr/bin/redis-server"), "--port", "0", "--unixsocket", path, "--save", "",
             "--dir", self.host.folder, "--logfile", self.host.folder / "redis.log"],
            env=environment(), stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_for(lambda: listens(path), SOON_S)
        return str(path)


class Ends(OffersCase):
    """A daemon or the guest goes: what programs registered with it goes, and nothing else."""

    def test_guestmux_killed(self) -> None:
        """What is not offered again is gone on the host; who waits for a daemon offers again."""
        self.listen_as("bob", "bobs", "cat")
        bob = self.spawn_as("bob", "muxctl wait never")
        alice = self.listen_as("alice", "--retry clip", "id -un")
        self.host_listen("late", command=WHO)
        self.assertEqual(self.host_wait("clip"), 0)
        self.assertEqual(self.host_wait("bobs"), 0)
        self.guest.stop("KILL")
        self.assertEqual(bob.wait(), NO_DAEMON)
        self.assertTrue(alice.running())
        begin = time.monotonic()
        self.guest.start()
        self.host.wait_up()
        wait_for(lambda: f"{VM_NAME}/bobs" not in self.host_sees(), SOON_S)
        self.check_services(begin)
        self.assertEqual(self.host_wait("clip"), 0)
        self.assertEqual(self.host_ask("clip"), (0, "alice\n"))
        self.assertEqual(self.host_sees(), {f"{VM_NAME}/clip", f"{VM_NAME}/gecho"})

    def check_services(self, since: float) -> None:
        """The guest's file is offered, and the host's registration, at once."""
        self.assertEqual(self.host_wait("gecho"), 0)
        self.vm.check(f"muxctl wait --timeout {SOON_S} late")
        self.say(f"known on both sides after {time.monotonic() - since:.3f} s")
        self.assertEqual(
            self.run_as("alice", "muxctl connect late </dev/null"), (0, "1000 1000 muxctl guest \n")
        )

    def test_hostmux_killed(self) -> None:
        """The guest's programs see it at once, and again when it is back."""
        events = self.spawn_as("alice", "muxctl events --json --only services,links")
        self.host_listen("lost", command="cat")
        kept = self.host_listen("--retry", "late", command=WHO)
        self.listen_as("alice", "clip", "id -un")
        wait_for(lambda: {"late", "lost"} <= self.guest_sees(), SOON_S)
        self.host.stop()
        self.vm.wait_until(f"grep -q link-down {events.log}", SOON_S)
        self.assertEqual(self.guest_sees(), set())
        begin = time.monotonic()
        self.host.start(self.vm.port_path)
        self.host.wait_up()
        self.assertEqual(self.host_wait("clip"), 0)
        self.say(f"the guest's are known after {time.monotonic() - begin:.3f} s")
        self.assertEqual(self.host_ask("clip"), (0, "alice\n"))
        self.vm.check(f"muxctl wait --timeout {SOON_S} late")
        self.assertIsNone(kept.poll())
        self.assertEqual(self.guest_sees(), {"echo", "late", "secret"})
        self.assertEqual(self.guest_sees("alice"), {"echo", "late"})

    def test_reset(self) -> None:
        """alice's program is gone with the guest's memory, and so is what it offered."""
        self.listen_as("alice", "clip", "cat")
        self.assertEqual(self.host_wait("clip"), 0)
        self.host_listen("late", command=WHO)
        events = self.host_app("events", "--json")
        with self.host.open("clip") as channel:
            self.vm.reset()
            begin = time.monotonic()
            self.guest.start()
            self.assertEqual(read_all(channel), b"")
        self.host.wait_up()
        self.check_services(begin)
        self.assertEqual(self.host_sees(), {f"{VM_NAME}/gecho"})
        self.assertEqual(next_event(events, event="link-down")["link"], VM_NAME)
        self.assertEqual(next_event(events, event="link-up")["link"], VM_NAME)


def _write(path: str, text: str) -> str:
    return f"printf %s {shlex.quote(text)} >{path}"


if __name__ == "__main__":
    unittest.main(verbosity=2)
