# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sockets that stand for one service, and who may connect to them and to the daemon's own."""

from __future__ import annotations

import json
import os
import socket
import stat
import unittest
from pathlib import Path

from daemon import PATIENCE, Daemon, Json, dial, wait_until
from stack import VM, Listener, Stack, StackTest, read_exactly, read_to_end
from traffic import Receiver, Sender
from user import GID, GROUP, UID, being, knocking, needs_root, talk

MANY = 64


class ExposeTest(StackTest):
    def exposing(self, *entries: Json, side: str = "guest", **policy: Json) -> Stack:
        """A stack that is not started; paths are in the test's folder, and "svc" is the service."""
        stack = self.stack(start=False)
        self.expose(stack, *entries, side=side, **policy)
        return stack

    def expose(self, stack: Stack, *entries: Json, side: str = "guest", **policy: Json) -> None:
        daemon = stack.guest if side == "guest" else stack.host
        service = "svc" if side == "guest" else f"{VM}/svc"
        daemon.config.write_text(json.dumps({"policy": policy, "expose": [
            {"service": service, **entry, "socket": str(self.folder / entry["socket"])}
            for entry in entries]}))

    def connect(self, stack: Stack, name: str) -> socket.socket:
        sock = dial(self.folder / name)
        stack.opened.append(sock)
        return sock

    def join_at(self, stack: Stack, name: str,
                listener: Listener) -> tuple[socket.socket, socket.socket]:
        return self.connect(stack, name), listener.accept()

    def assert_closed(self, stack: Stack, name: str) -> None:
        """Somebody connects, and has no channel."""
        self.assertEqual(read_to_end(self.connect(stack, name)), b"")

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.folder / name).lstat().st_mode)


class Channels(ExposeTest):
    def test_both_ways(self) -> None:
        """Who connects has a channel before he has written anything."""
        for side in ("guest", "host"):
            with self.subTest(side=side):
                stack = self.exposing({"socket": "s"}, side=side)
                listener = self.listener()
                other = stack.host if side == "guest" else stack.guest
                other.service("svc", connect=listener.connect)
                stack.start()
                app, peer = self.join_at(stack, "s", listener)
                peer.sendall(b"who speaks first")
                self.assertEqual(read_exactly(app, 16), b"who speaks first")
                app.sendall(b"@control\nnot a name\0")
                self.assertEqual(read_exactly(peer, 20), b"@control\nnot a name\0")
                app.shutdown(socket.SHUT_WR)
                self.assert_eof(peer)
                peer.sendall(b"after it")
                peer.close()
                self.assertEqual(read_to_end(app), b"after it")
                self.doCleanups()
                self.setUp()

    def test_bulk(self) -> None:
        stack = self.exposing({"socket": "s"})
        listener = self.serve(stack)
        stack.start()
        app, peer = self.join_at(stack, "s", listener)
        threads = [(Sender(app, 8 << 20, 1), Receiver(peer)),
                   (Sender(peer, 8 << 20, 2), Receiver(app))]
        for sender, receiver in threads:
            sender.join(PATIENCE)
            receiver.join(PATIENCE)
            self.assertEqual((receiver.size, receiver.digest), (8 << 20, sender.digest))

    def test_argument(self) -> None:
        """The argument is the configuration's; the handler has it in its environment."""
        stack = self.exposing({"socket": "s", "service": "say:an argument"})
        stack.host.service("say", exec=["/bin/sh", "-c", 'printf %s "$GUESTMUX_ARGUMENT"'])
        stack.start()
        self.assertEqual(read_to_end(self.connect(stack, "s")), b"an argument")

    def test_refused(self) -> None:
        """No such service, a handler that is not there, no link: the socket is closed."""
        stack = self.exposing({"socket": "s"}, {"socket": "t", "service": "nothing"})
        stack.host.service("svc", connect=f"unix:{self.folder}/nothing")
        stack.start()
        self.assert_closed(stack, "s")
        self.assert_closed(stack, "t")
        stack.host.stop()
        wait_until(lambda: not stack.guest.is_up(), "the link is down")
        self.assert_closed(stack, "s")

    def test_link_goes_down(self) -> None:
        stack = self.exposing({"socket": "s"})
        listener = self.serve(stack)
        stack.start()
        app, _ = self.join_at(stack, "s", listener)
        stack.host.kill()
        self.assert_eof(app)
        listener.accepted.pop().close()
        stack.host.start()
        stack.wait_up()
        stack.measure()
        app, peer = self.join_at(stack, "s", listener)
        app.sendall(b"again")
        self.assertEqual(read_exactly(peer, 5), b"again")

    def test_unknown_vm(self) -> None:
        """It may come later."""
        stack = self.exposing({"socket": "s", "service": "later/svc"}, side="host")
        stack.start()
        self.assert_closed(stack, "s")

    def test_many(self) -> None:
        stack = self.exposing({"socket": "s"})
        stack.host.service("svc", connect=self.echo())
        stack.start()
        socks = [self.connect(stack, "s") for _ in range(MANY)]
        for n, sock in enumerate(socks):
            sock.sendall(b"%4d" % n)
        for n, sock in enumerate(socks):
            self.assertEqual(read_exactly(sock, 4), b"%4d" % n)

    def test_descriptors_run_out(self) -> None:
        """Who is too many is turned away; nothing spins; then all is well."""
        stack = self.exposing({"socket": "s"})
        stack.guest.descriptors = MANY
        stack.host.service("svc", connect=self.echo())
        stack.start()
        socks = [self.connect(stack, "s") for _ in range(3 * MANY)]
        good = 0
        for sock in socks:
            try:
                sock.sendall(b"x")
                good += sock.recv(1) == b"x"
            except OSError:
                continue
        self.assertGreater(good, MANY // 4)
        self.assertLess(good, MANY)
        self.assertLess(stack.guest.cpu_over(0.5), 0.1)
        stack.close_apps()
        wait_until(lambda: self.echoes(stack), "it works again")
        stack.close_apps()
        stack.check_settled()

    def echoes(self, stack: Stack) -> bool:
        try:
            sock = self.connect(stack, "s")
            sock.sendall(b"y")
            return sock.recv(1) == b"y"
        except OSError:
            return False


@needs_root
class Access(ExposeTest):
    def setUp(self) -> None:
        super().setUp()
        self.folder.chmod(0o755)

    def test_mode_and_owner(self) -> None:
        stack = self.exposing(
            {"socket": "a"}, {"socket": "b", "mode": "0660", "group": GROUP},
            {"socket": "c", "mode": "600", "owner": UID, "group": "nogroup"},
            {"socket": "d", "mode": "0"}, {"socket": "e", "owner": "nobody"})
        nobody, nogroup = 65534, 65534
        stack.start()
        for name, mode, owner, group in (("a", 0o666, 0, 0), ("b", 0o660, 0, GROUP),
                                         ("c", 0o600, UID, nogroup), ("d", 0, 0, 0),
                                         ("e", 0o666, nobody, 0)):
            st = (self.folder / name).lstat()
            self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (mode, owner, group))

    def test_file_system_decides(self) -> None:
        stack = self.exposing({"socket": "b", "mode": "0660", "group": GROUP},
                              {"socket": "c", "mode": "0600", "owner": UID})
        stack.host.service("svc", exec=["/bin/cat"])
        stack.start()
        cases: list[tuple[str, int, list[int], bool]] = [
            ("b", UID, [], False), ("b", UID, [GROUP], True), ("b", 65534, [], False),
            ("c", UID, [], True), ("c", UID + 1, [GROUP], False), ("c", 0, [], True)]
        for name, uid, groups, good in cases:
            said = talk(self.folder / name, b"hello", uid, GID, groups)
            self.assertEqual(said, b"hello" if good else b"PermissionError", (name, uid))

    def test_policy_decides_too(self) -> None:
        stack = self.exposing({"socket": "s"}, svc={"users": [UID]})
        stack.host.service("svc", exec=["/bin/cat"])
        stack.start()
        self.assertEqual(talk(self.folder / "s", b"hello", UID), b"hello")
        with being(UID + 1):
            self.assert_closed(stack, "s")

    def test_own_socket(self) -> None:
        """The daemon's own has such keys, too."""
        for kind in ("guestmux", "hostmux"):
            daemon = self.daemon(kind)
            daemon.config.write_text(json.dumps({
                "socket-mode": "0620", "socket-owner": "nobody", "socket-group": GROUP}))
            daemon.start()
            st = daemon.socket.lstat()
            self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid),
                             (0o620, 65534, GROUP))
            self.assertEqual(talk(daemon.socket, b"@control\n", UID), b"PermissionError")
            self.assertEqual(talk(daemon.socket, b"@control\n", UID, GROUP), b"OK\n")
            # A reload changes who may connect; where the socket is, it does not.
            daemon.config.write_text(json.dumps({"socket-mode": "0600", "socket": "elsewhere"}))
            said = daemon.reload()
            self.assertEqual(stat.S_IMODE(daemon.socket.lstat().st_mode), 0o600)
            self.assertEqual(talk(daemon.socket, b"@control\n", UID, GROUP), b"PermissionError")
            self.assertNotIn("restart only", said)  # the command line's holds anyway

    def test_no_moment(self) -> None:
        """While the socket is made, changed and removed, nobody gets in who may not."""
        stack = self.exposing()
        stack.start()
        closed: list[list[Json]] = [
            [], [{"socket": "s", "mode": "0660", "group": GROUP}],
            [{"socket": "s", "mode": "0600", "owner": UID + 1}],
            [{"socket": "s", "mode": "0606", "group": GID}], []]
        with knocking(self.folder / "s", UID):
            for _ in range(10):
                for entries in closed:
                    self.expose(stack, *entries)
                    stack.guest.reload()
        with self.assertRaisesRegex(AssertionError, "he could connect"), \
                knocking(self.folder / "s", UID):
            self.expose(stack, {"socket": "s"})
            stack.guest.reload()
            wait_until(lambda: stack.guest.link()["refused"], "he has")
        self.expose(stack)
        stack.guest.reload()

    def test_folder(self) -> None:
        """One that is missing is made, for all to pass through; not two."""
        stack = self.exposing({"socket": "new/s"})
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        stack.start()
        self.assertEqual(self.mode("new"), 0o755)
        self.assertEqual(self.mode("new/s"), 0o666)
        self.expose(stack, {"socket": "one/two/s"})
        self.assertIn("one/two/s", stack.guest.reload(good=False))
        self.assertFalse((self.folder / "one").exists())
        self.assertTrue((self.folder / "new/s").exists())

    def test_access_changes(self) -> None:
        """A socket that stays, for others; if the reload fails, all is as it was.

        With the capabilities that the unit leaves it.
        """
        stack = self.exposing({"socket": "s"})
        stack.guest.other_command = ["setpriv", "--bounding-set=-all,+chown,+dac_override",
                                     *stack.guest.command()]
        stack.start()
        inode = (self.folder / "s").lstat().st_ino
        cases: list[tuple[Json, int, int, int]] = [
            ({"mode": "0600", "owner": UID, "group": GROUP}, 0o600, UID, GROUP),
            ({"mode": "0640"}, 0o640, 0, 0)]
        for entry, mode, owner, group in cases:
            self.expose(stack, {"socket": "s", **entry})
            stack.guest.reload()
            st = (self.folder / "s").lstat()
            self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_ino),
                             (mode, owner, group, inode))
        self.expose(stack, {"socket": "s", "owner": UID}, {"socket": "one/two/t"})
        stack.guest.reload(good=False)
        st = (self.folder / "s").lstat()
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid, st.st_ino), (0o640, 0, inode))


class Paths(ExposeTest):
    def test_stale_socket(self) -> None:
        stack = self.exposing({"socket": "s"})
        listener = self.serve(stack)
        stack.start()
        stack.guest.kill()
        self.assertTrue((self.folder / "s").exists())
        stack.guest.start()
        stack.wait_up()
        stack.measure()
        self.join_at(stack, "s", listener)

    def test_gone_at_the_end(self) -> None:
        stack = self.exposing({"socket": "s"})
        stack.start()
        stack.guest.stop()
        self.assertFalse(os.path.lexists(self.folder / "s"))

    def test_something_is_there(self) -> None:
        """Refused at the start, and at a reload, which leaves what there was."""
        (self.folder / "file").write_text("precious")
        (self.folder / "link").symlink_to("target")
        (self.folder / "folder").mkdir()
        taken = self.listener()
        running = self.exposing({"socket": "s"})
        running.start()
        for name in ("file", "link", "folder", Path(taken.sock.getsockname()).name):
            with self.subTest(name=name):
                before = (self.folder / name).lstat()
                self.expose(running, {"socket": "t"}, {"socket": name})
                said = running.guest.reload(good=False)
                self.assertIn(f'{running.guest.config}: line 1: "expose": number 2: "socket": '
                              f"cannot listen on {self.folder}/{name}: ", said)
                self.assertTrue((self.folder / "s").exists())
                self.assertFalse((self.folder / "t").exists())
                fresh = Daemon("guestmux", self.folder, name=f"g{len(self.daemons)}")
                self.daemons.append(fresh)
                fresh.config.write_text(json.dumps({"expose": [
                    {"socket": str(self.folder / name), "service": "svc"}]}))
                self.assertIn(f"{self.folder}/{name}", fresh.start_refused())
                after = (self.folder / name).lstat()
                self.assertEqual((after.st_ino, after.st_mode), (before.st_ino, before.st_mode))
        self.assertFalse((self.folder / "target").exists())

    def test_another_is_in_its_place(self) -> None:
        """Somebody removed it: made anew. Somebody put his own there: left alone."""
        stack = self.exposing({"socket": "s"})
        listener = self.serve(stack)
        stack.start()
        (self.folder / "s").unlink()
        stack.guest.reload()
        app, peer = self.join_at(stack, "s", listener)
        app.sendall(b"new")
        self.assertEqual(read_exactly(peer, 3), b"new")
        (self.folder / "s").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.folder / "s"))
            other.listen()
            self.assertIn("listens there already", stack.guest.reload(good=False))
            self.expose(stack)
            stack.guest.reload()
            dial(self.folder / "s").close()
        (self.folder / "s").unlink()


class Reload(ExposeTest):
    def test_added_and_removed(self) -> None:
        stack = self.exposing({"socket": "a"}, {"socket": "b"})
        listener = self.serve(stack)
        stack.start()
        app, peer = self.join_at(stack, "b", listener)
        inode = (self.folder / "a").lstat().st_ino
        self.expose(stack, {"socket": "c"}, {"socket": "a"})
        stack.guest.reload()
        self.assertEqual((self.folder / "a").lstat().st_ino, inode)
        self.assertFalse((self.folder / "b").exists())
        self.join_at(stack, "a", listener)
        self.join_at(stack, "c", listener)
        app.sendall(b"stays")  # the channel of a socket that is gone
        self.assertEqual(read_exactly(peer, 5), b"stays")
        self.expose(stack)
        stack.guest.reload()
        self.assertFalse((self.folder / "a").exists() or (self.folder / "c").exists())

    def test_another_service(self) -> None:
        """The socket stays, and stands for something else."""
        stack = self.exposing({"socket": "s"})
        one, two = self.serve(stack), self.serve(stack, "two")
        stack.start()
        self.join_at(stack, "s", one)
        inode = (self.folder / "s").lstat().st_ino
        self.expose(stack, {"socket": "s", "service": "two"})
        stack.guest.reload()
        self.join_at(stack, "s", two)
        self.assertEqual((self.folder / "s").lstat().st_ino, inode)

    def test_while_they_connect(self) -> None:
        """Whoever connects while it is reloaded, again and again, has his channel."""
        stack = self.exposing({"socket": "s"}, {"socket": "t"})
        stack.host.service("svc", exec=["/bin/cat"])
        stack.start()
        for n in range(20):
            self.expose(stack, {"socket": "s"}, {"socket": f"t{n}"})
            socks = [self.connect(stack, "s") for _ in range(3)]
            stack.guest.reload()
            for sock in socks:
                sock.sendall(b"here")
                self.assertEqual(read_exactly(sock, 4), b"here")
            stack.close_apps()


class Errors(ExposeTest):
    def test_errors(self) -> None:
        """File, line and key, in both daemons."""
        path = str(self.folder / "s")
        good: Json = {"socket": path, "service": "x/svc"}
        cases: list[tuple[object, str]] = [
            ({"expose": {}}, '"expose" must be a list'),
            ({"expose": [1]}, '"expose": number 1 must be an object'),
            ({"expose": [{}]}, '"expose": number 1: "socket" must be a path'),
            ({"expose": [{"socket": ""}]}, '"socket" must be a path'),
            ({"expose": [{"socket": 1}]}, '"socket" must be a string'),
            ({"expose": [{"socket": path}]}, '"service" must be'),
            ({"expose": [{**good, "service": "x/a b"}]}, '"service" must be'),
            ({"expose": [{**good, "service": "@control"}]}, '"service" must be'),
            ({"expose": [{**good, "service": "/svc"}]}, '"service" must be'),
            ({"expose": [{**good, "servise": 1}]}, '"servise" is not a key'),
            ({"socket-mode": 660}, '"socket-mode" must be an octal mode in quotes'),
            ({"socket-mode": "0888"}, '"socket-mode" must be an octal mode in quotes'),
            ({"socket-mode": "01777"}, '"socket-mode" must be'),
            ({"socket-mode": "-1"}, '"socket-mode" must be'),
            ({"socket-mode": ""}, '"socket-mode" must be'),
            ({"socket-owner": "no-such-user"}, "\"socket-owner\" names 'no-such-user'"),
            ({"socket-group": "no-such-group"}, "\"socket-group\" names 'no-such-group'"),
            ({"socket-owner": []}, '"socket-owner" must be'),
        ]
        for kind in ("guestmux", "hostmux"):
            daemon = self.daemon(kind)
            fine = {**good, "service": "svc"} if kind == "guestmux" else good
            own: list[tuple[object, str]] = [
                ({"expose": [fine, {**fine, "mode": "rw"}]}, '"expose": number 2: "mode" must be'),
                ({"expose": [{**fine, "mode": 640}]}, '"mode" must be an octal mode'),
                ({"expose": [{**fine, "owner": "no-such-user"}]},
                 "\"owner\" names 'no-such-user', and there is no such user"),
                ({"expose": [{**fine, "group": "no-such-group"}]}, '"group" names'),
                ({"expose": [{**fine, "socket": "/" + "x" * 200}]}, "107 bytes"),
                ({"expose": [fine, fine]}, '"expose": number 2: "socket" is that of another one')]
            for config, text in cases + own:
                with self.subTest(kind=kind, config=str(config)[:80]):
                    daemon.config.write_text(json.dumps(config))
                    said = daemon.start_refused()
                    self.assertIn(f"{daemon.config}: line 1: ", said)
                    self.assertIn(text, said)
                    self.assertFalse(os.path.lexists(path))
                    self.assertFalse(os.path.lexists(daemon.socket))

    def test_lines(self) -> None:
        daemon = self.daemon("guestmux")
        daemon.config.write_text('{"limits": {},\n"expose": [\n{"socket": "/x", "service": "a"\n},'
                                 '\n{"socket":\n"/y",\n"service": "b b"}]}')
        self.assertIn(f'{daemon.config}: line 7: "expose": number 2: "service" must be',
                      daemon.start_refused())
        daemon.config.write_text('{\n "limits": {"channels": 5,\n  "channels": 0}}')
        self.assertIn(f'{daemon.config}: line 3: "limits": "channels" must be',
                      daemon.start_refused())


if __name__ == "__main__":
    unittest.main()
