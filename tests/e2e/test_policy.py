# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may open a service, and register one: the configuration's "policy"."""

from __future__ import annotations

import json
import pwd
import socket
import unittest

from daemon import Control, Json
from stack import Refused, Stack, StackTest, read_exactly
from user import GID, GROUP, UID, being, needs_root, talk

OTHER = UID + 10


class PolicyTest(StackTest):
    def guarded(self, policy: Json, side: str = "guest") -> Stack:
        """A stack in which one side's programs are under a policy, and both sides have "cat"."""
        self.folder.chmod(0o755)
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            for service in ("cat", "dog", "svc-1"):
                daemon.service(service, exec=["/bin/cat"])
        self.configure(stack, policy, side)
        return stack.start()

    def configure(self, stack: Stack, policy: Json, side: str = "guest") -> None:
        daemon = stack.guest if side == "guest" else stack.host
        daemon.config.write_text(json.dumps({"policy": policy}))

    def may(self, stack: Stack, name: str, uid: int, gid: int = GID, groups: tuple[int, ...] = (),
            side: str = "guest") -> bool:
        with being(uid, gid, groups):
            try:
                app = stack.open(name, b"x", side=side)
            except Refused as refused:
                self.assertEqual(refused.code, "denied")
                return False
        self.assertEqual(read_exactly(app, 1), b"x")
        return True


@needs_root
class Opening(PolicyTest):
    def test_users(self) -> None:
        nobody = pwd.getpwnam("nobody").pw_uid
        stack = self.guarded({"cat": {"users": ["nobody", UID]}, "dog": {"users": []}})
        for uid, cat, dog in ((0, True, True), (nobody, True, False), (UID, True, False),
                              (OTHER, False, False)):
            with self.subTest(uid=uid):
                self.assertEqual(self.may(stack, "cat", uid), cat)
                self.assertEqual(self.may(stack, "cat:with an argument", uid), cat)
                self.assertEqual(self.may(stack, "dog", uid), dog)
                self.assertTrue(self.may(stack, "svc-1", uid))

    def test_groups(self) -> None:
        """The group, and the supplementary ones."""
        stack = self.guarded({"cat": {"groups": [GROUP]}, "dog": {"users": [OTHER],
                                                                  "groups": [GROUP]}})
        self.assertFalse(self.may(stack, "cat", UID))
        self.assertTrue(self.may(stack, "cat", UID, GROUP))
        self.assertTrue(self.may(stack, "cat", UID, GID, (GID + 5, GROUP)))
        self.assertFalse(self.may(stack, "cat", UID, GID, (GID + 5, GROUP + 1)))
        self.assertTrue(self.may(stack, "dog", OTHER))
        self.assertFalse(self.may(stack, "cat", OTHER))

    def test_others(self) -> None:
        """"*" is for services without an entry of their own, also for those that are not there."""
        stack = self.guarded({"*": {"users": []}, "cat": {}})
        self.assertTrue(self.may(stack, "cat", UID))
        self.assertFalse(self.may(stack, "dog", UID))
        self.assertFalse(self.may(stack, "nothing", UID))
        self.assert_refused("no-service", stack, "nothing")

    def test_host(self) -> None:
        """The name there is VM/service; the policy has services."""
        stack = self.guarded({"cat": {"users": [UID]}}, "host")
        self.assertTrue(self.may(stack, "cat", UID, side="host"))
        self.assertFalse(self.may(stack, "cat", OTHER, side="host"))
        self.assertFalse(self.may(stack, "cat:argument", OTHER, side="host"))
        self.assertTrue(self.may(stack, "cat", OTHER))

    def test_processes(self) -> None:
        """Other processes, each way to open."""
        stack = self.guarded({"cat": {"users": [UID], "groups": [GROUP]}})
        path = stack.guest.socket
        self.assertEqual(talk(path, b"cat\nhello", UID), b"OK\nhello")
        self.assertRegex(talk(path, b"cat\nhello", 65534, 65534), rb"^ERR denied 'cat': .*\n")
        self.assertEqual(talk(path, b"cat\nhello", OTHER, GID, [1, GROUP]), b"OK\nhello")
        self.assertEqual(talk(path, b"cat\0hello", UID), b"hello")
        self.assertIn(talk(path, b"cat\0hello", OTHER), (b"", b"BrokenPipeError",
                                                         b"ConnectionResetError"))
        self.assertRegex(talk(path, b"CONNECT cat\nhello", UID), rb"^OK \d+\nhello$")
        self.assertRegex(talk(path, b"CONNECT cat\nhello", OTHER), rb"^ERR denied ")

    def test_who_connected_counts(self) -> None:
        """And not who writes the name, or what the process has become since."""
        stack = self.guarded({"cat": {"users": [UID]}})
        for before, after, code in ((0, OTHER, b"OK"), (UID, OTHER, b"OK"),
                                    (OTHER, 0, b"ERR denied"), (OTHER, UID, b"ERR denied")):
            with being(before):
                sock = stack.dial()
            with being(after):
                sock.sendall(b"cat\n")
            self.assertTrue(sock.recv(100).startswith(code), (before, after))

    def test_reload(self) -> None:
        """In force at once for new channels; those that are open stay."""
        stack = self.guarded({"cat": {"users": [UID]}})
        with being(UID):
            app = stack.open("cat")
        self.configure(stack, {"cat": {"users": [OTHER]}})
        stack.guest.reload()
        self.assertFalse(self.may(stack, "cat", UID))
        self.assertTrue(self.may(stack, "cat", OTHER))
        app.sendall(b"still")
        self.assertEqual(read_exactly(app, 5), b"still")
        for text, error in (('{"policy":\n {"cat":\n {"users":\n  ["no-such-user"]}}}',
                             "line 3: \"policy\": \"cat\": \"users\" names 'no-such-user'"),
                            ('{\n"policy": {"dog": {}, "cat": {"groups": ["no-such-group"]}}}',
                             "line 2: \"policy\": \"cat\": \"groups\" names 'no-such-group'"),
                            ('{"policy":\n[]}', 'line 1: "policy" must be an object')):
            stack.guest.config.write_text(text)
            self.assertIn(f"{stack.guest.config}: {error}", stack.guest.reload(good=False))
        self.assertFalse(self.may(stack, "cat", UID))
        self.assertTrue(self.may(stack, "cat", OTHER))
        stack.guest.config.write_text("{}")
        stack.guest.reload()
        self.assertTrue(self.may(stack, "cat", UID))

    def test_start(self) -> None:
        """Whom there is not is an error, and not nobody."""
        for kind in ("guestmux", "hostmux"):
            daemon = self.daemon(kind)
            daemon.config.write_text('{"policy": {\n\n"a": {"users": ["no-such-user"]}}}')
            said = daemon.start_refused()
            self.assertIn(f"{daemon.config}: line 3: \"policy\": \"a\": \"users\" names "
                          "'no-such-user', and there is no such user", said)


@needs_root
class Registering(PolicyTest):
    def register(self, stack: Stack, service: str, uid: int, groups: tuple[int, ...] = ()) -> str:
        """The error's code, or ok."""
        with being(uid, GID, groups):
            control = Control(stack.guest.socket)
        self.addCleanup(control.sock.close)
        answer = control.ask({"verb": "register", "service": service, "accept": "fd"})
        control.sock.shutdown(socket.SHUT_RDWR)
        control.sock.close()
        return "ok" if answer["ok"] else str(answer["error"]["code"])

    def test_register(self) -> None:
        stack = self.guarded({"clip": {"groups": [GROUP], "register": {"users": [UID]}},
                              "note": {"register": {"groups": [GROUP]}}, "free": {},
                              "*": {"users": []}})
        self.assertEqual(self.register(stack, "clip", 0), "ok")
        self.assertEqual(self.register(stack, "clip", UID), "denied")
        self.assertEqual(self.register(stack, "clip", OTHER, (GROUP,)), "denied")
        self.assertEqual(self.register(stack, "note", UID), "denied")
        self.assertEqual(self.register(stack, "other", UID), "denied")
        for service in ("clip", "note", "free"):
            self.assertEqual(self.register(stack, service, UID, (GROUP,)), "ok")


if __name__ == "__main__":
    unittest.main()
