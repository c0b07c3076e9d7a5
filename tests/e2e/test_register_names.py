# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whose a name is: what is taken, who may register what, and how many."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

from daemon import wait_until
from registering import RegisterTest
from stack import read_exactly
from user import GID, UID, needs_root, talk

OF_USER, IN_ALL = 64, 512
KEPT = 64  # of them all, for root and the daemon's own user


class Names(RegisterTest):
    def test_taken(self) -> None:
        """And the text says by whom."""
        stack = self.start()
        stack.host.service("file", exec=["/bin/cat"])
        stack.host.reload()
        client, another = self.client(stack.host), self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        program = Path("/proc/self/comm").read_text().strip()
        for who in (client, another):
            self.assertEqual(who.error("register", service="clip", accept="fd"),
                             ("taken", f"'clip' is held by {program} (uid 0)"))
            self.assertEqual(who.error("register", service="file", accept="fd"),
                             ("taken", f"'file' is held by {stack.host.services}/file.json"))
        stack.open("clip")
        self.take(client)

    def test_file_takes_the_name(self) -> None:
        stack = self.start()
        client = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        app = stack.open("clip")
        _, sock = self.take(client)
        stack.host.service("clip", exec=["/bin/echo", "file"])
        file = stack.host.services / "clip.json"
        self.assertEqual(client.event(), {"event": "unregistered", "service": "clip",
                                          "reason": f"{file} took the name"})
        self.assertEqual(read_exactly(stack.open("clip"), 5), b"file\n")
        self.check(app, sock)
        self.assertEqual(client.error("unregister", service="clip")[0], "no-service")
        file.unlink()
        wait_until(lambda: not self.offered(stack.host), "the file is gone")
        client.good("register", service="clip", accept="fd")

    def test_policy_changes(self) -> None:
        stack = self.start()
        client = self.client(stack.host, UID)
        root = self.client(stack.host)
        client.good("register", service="clip", accept="fd")
        root.good("register", service="note", accept="fd")
        stack.host.config.write_text(json.dumps({"policy": {"*": {"register": {"users": []}}}}))
        stack.host.reload()
        self.assertEqual(client.event(), {"event": "unregistered", "service": "clip",
                                          "reason": "the policy has changed"})
        self.assertEqual(client.error("register", service="clip", accept="fd")[0], "denied")
        self.assertEqual(self.offered(stack.host), {"note"})


@needs_root
class Users(RegisterTest):
    def test_rights(self) -> None:
        """Others than root would have the daemon connect, or run, in its own name."""
        stack = self.start()
        client = self.client(stack.guest, UID)
        targets: list[dict[str, object]] = [{"connect": "unix:/run/secret"}, {"exec": ["/bin/sh"]}]
        for target in targets:
            code, text = client.error("register", service="clip", **target)
            self.assertEqual(code, "denied")
            self.assertIn('use "accept"', text)
        client.good("register", service="clip", accept="fd")
        (shown,) = stack.guest.ask("services")["services"]
        self.assertEqual((shown["registered_by"]["uid"], shown["registered_by"]["gid"]),
                         (UID, GID))
        self.check(stack.open("clip", side="host"), self.take(client)[1])

    def test_process(self) -> None:
        stack = self.start()
        words = (b'@control\n{"verb":"register","service":"a","exec":["/b"]}\n'
                 b'{"verb":"register","service":"a","accept":"fd"}\n')
        said = talk(stack.guest.socket, words, UID).splitlines()
        self.assertEqual(said[0], b"OK")
        self.assertEqual(json.loads(said[1])["error"]["code"], "denied")
        self.assertTrue(json.loads(said[2])["ok"])
        self.wait_gone(stack, "guest")

    def test_not_another_ones(self) -> None:
        """Not even the same user, or root, on another connection."""
        stack = self.start()
        client = self.client(stack.host, UID)
        client.good("register", service="clip", accept="fd")
        for uid in (0, UID, UID + 1):
            another = self.client(stack.host, uid)
            self.assertEqual(another.error("unregister", service="clip")[0], "no-service")
            code, text = another.error("register", service="clip", accept="fd")
            self.assertEqual(code, "taken")
            self.assertIn(f"(uid {UID})", text)
            another.close()
        self.check(stack.open("clip"), self.take(client)[1])

    def test_limits(self) -> None:
        stack = self.start()
        mine = [self.client(stack.host, UID) for _ in range(2)]
        for n in range(OF_USER):
            mine[n % 2].good("register", service=f"u{n}", accept="fd")
        for client in mine:
            self.assertEqual(client.error("register", service="more", accept="fd")[0], "limit")
        another = self.client(stack.host, UID + 1)
        another.good("register", service="another", accept="fd")
        mine[0].good("unregister", service="u0")
        mine[1].good("register", service="u0", accept="fd")
        mine[0].close()
        wait_until(lambda: len(self.offered(stack.host)) == 1 + OF_USER // 2 + 1, "half are gone")
        root = self.client(stack.host)
        for n in range(IN_ALL - KEPT - len(self.offered(stack.host))):
            root.good("register", service=f"q{n}", accept="fd")
        code, text = another.error("register", service="more", accept="fd")
        self.assertEqual((code, text), ("limit", "448 services are registered already"))
        for n in range(IN_ALL - len(self.offered(stack.host))):
            root.good("register", service=f"r{n}", accept="fd")
        code, text = root.error("register", service="more", accept="fd")
        self.assertEqual((code, text), ("limit", "512 services are registered already"))
        wait_until(lambda: len(self.seen(stack.guest)) == IN_ALL, "all are announced")
        root.close()
        wait_until(lambda: len(self.seen(stack.guest)) == 34, "and that they are gone")
        another.good("register", service="more", accept="fd")


if __name__ == "__main__":
    unittest.main()
