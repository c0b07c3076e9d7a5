# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs of a guest's users, who are not root, and of the host's: what they offer and open."""

from __future__ import annotations

import json
import select
import shlex
import subprocess
from typing import Any

from case import StackCase
from stack import BIN, ECHO, VM_NAME, shell, unpacked
from vm import Background, Result

#: News of a service, from one program to another, on a busy machine that emulates the guest.
SOON_S = 5.0

REDIS = "/run/guestmux/redis.sock"
CONFIG: dict[str, Any] = {
    "expose": [{"socket": REDIS, "service": "redis", "mode": "0660", "group": "alice"}],
    "policy": {"secret": {"users": ["bob"]}, "clip": {"register": {"users": ["alice"]}}},
}
CONFIG_PATH = "/etc/guestmux/guestmux.json"


class OffersCase(StackCase):
    """Both daemons run; the guest's has a policy, and a socket that stands for redis."""

    guest_services = {"gecho": ECHO}
    host_services = {"echo": ECHO, "secret": shell("echo treasure")}

    @classmethod
    def setUpClass(cls) -> None:
        cls.hardware = {"files": {CONFIG_PATH: json.dumps(CONFIG), **unpacked("usr/bin/redis-cli")}}
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.start()

    # ---- the guest's users ----

    def run_as(self, user: str, command: str) -> Result:
        return self.vm.run(f"su {user} -c {shlex.quote(command)}")

    def spawn_as(self, user: str, command: str) -> Background:
        process = self.vm.spawn(f"exec su {user} -c {shlex.quote(f'exec {command}')}")
        # Unless it went with a guest that was reset.
        kill = f"test ! -e {process.log} || kill -KILL -{process.pid}"
        self.addCleanup(self.vm.run, kill)
        return process

    def listen_as(self, user: str, arguments: str, command: str) -> Background:
        """Offer a service of the guest's, until the daemon has it."""
        words = f"muxctl listen {arguments} -- /bin/sh -c {shlex.quote(command)}"
        process = self.spawn_as(user, words)
        self.vm.wait_until(f"grep -q 'listening as' {process.log}")
        return process

    def guest_sees(self, user: str = "root") -> set[str]:
        """What can be opened from the guest, as one user is told."""
        status, output = self.run_as(user, "muxctl services --names")
        self.assertEqual(status, 0, output)
        return set(output.split())

    # ---- the host's programs ----

    def host_app(self, *arguments: str) -> subprocess.Popen[str]:
        process = self.host.app(BIN / "muxctl", "--socket", self.host.socket, *arguments)
        self.addCleanup(_end, process)
        return process

    def host_listen(self, *arguments: str, command: str) -> subprocess.Popen[str]:
        process = self.host_app("listen", *arguments, "--", "/bin/sh", "-c", command)
        assert process.stdout
        self.assertTrue(select.select([process.stdout], [], [], SOON_S)[0], "it says nothing")
        self.assertIn("listening as", process.stdout.readline())
        return process

    def host_sees(self) -> set[str]:
        run = self.host.muxctl("services", "--names")
        self.assertEqual(run.returncode, 0, run.stderr)
        return set(run.stdout.split())

    def host_ask(self, service: str, text: str = "") -> tuple[int, str]:
        run = self.host.muxctl("connect", f"{VM_NAME}/{service}", input=text, timeout=SOON_S)
        return run.returncode, run.stdout

    def host_wait(self, service: str, seconds: float = SOON_S) -> int:
        name = f"{VM_NAME}/{service}"
        return self.host.muxctl("wait", "--timeout", f"{seconds}", name).returncode


def next_event(events: subprocess.Popen[str], **having: str) -> dict[str, Any]:
    """The next event with these fields, of those that `muxctl events --json` prints."""
    assert events.stdout
    for line in events.stdout:
        event: dict[str, Any] = json.loads(line)
        if having.items() <= event.items():
            del event["time"]
            return event
    raise AssertionError(f"no event with {having}")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()
