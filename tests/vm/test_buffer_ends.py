#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Buffers end, whichever way: both sides learn it, nothing is left, and nobody sees another's."""

from __future__ import annotations

import os
import secrets
import signal
import unittest
from contextlib import suppress

from proxy import Proxy
from shared import GONE, MIB, PATIENCE_S, Q35, App, SharedCase, guestmux
from stack import VM_NAME, wait_for
from store import Store
from vm import VmError


class Ends(SharedCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()

    def both(self) -> tuple[App, guestmux.Buffer]:
        """A buffer of the guest's and the host's handle, with something in it."""
        app = self.app(create="clip", size=MIB)
        clip = self.open()
        clip.memory[:] = secrets.token_bytes(MIB)
        return app, clip

    def told(self, buffer: guestmux.Buffer) -> str:
        """Why it ended, as the host's program is told, which lets go."""
        try:
            while True:
                buffer.next(PATIENCE_S)
        except guestmux.Gone as gone:
            return str(gone.reason)
        except ConnectionResetError:
            return "no daemon"
        finally:
            buffer.close()

    def back(self) -> None:
        """Both daemons are there again, and so is all that one can do."""
        self.wait_qmp()
        self.host.wait_up()
        self.guest.wait_up()
        self.wait_nothing_left()
        app, clip = self.both()
        app.kill()
        self.assertEqual(self.told(clip), "owner")
        self.wait_nothing_left()

    def test_owner_goes(self) -> None:
        """Killed, ended, and told to let it go."""
        for how in ("kill", "end", "release"):
            with self.subTest(how):
                owner = self.vm.spawn("exec su alice -c 'exec muxctl buffer create clip --size 1M'")
                clip = self.open()
                other = self.app(user="root", open="clip")
                events = self.vm.spawn("exec muxctl buffer watch clip")
                self.vm.wait_until("test $(muxctl buffer list --json | grep -c handles) = 1")
                if how == "release":
                    self.alice("muxctl buffer release clip")
                else:
                    owner.kill("KILL" if how == "kill" else "TERM")
                reason = "released" if how == "release" else "owner"
                self.assertEqual(self.told(clip), reason)
                self.assertEqual(other.wait(GONE), f"gone {reason}")
                events.wait()
                owner.wait()
                self.wait_nothing_left()

    def test_hostmux_killed(self) -> None:
        app, clip = self.both()
        self.host.stop(signal.SIGKILL)
        self.assertEqual(self.told(clip), "no daemon")
        self.host.start(None)
        self.assertEqual(app.wait(GONE), "gone reset")
        self.back()

    def test_guest_reset(self) -> None:
        _, clip = self.both()
        ours = self.create("ours")
        self._apps.clear()
        self.vm.reset()
        self.guest.start()
        self.assertEqual(self.told(clip), "reset")
        self.assertIn(self.told(ours), ("reset", "link-down"))
        self.back()

    def test_kept_mapping(self) -> None:
        """It stays plugged, empty, and counted, and what comes next is somewhere else."""
        app = self.app("keep", create="clip", size=MIB)
        clip = self.open()
        clip.memory[:] = secrets.token_bytes(MIB)
        self.alice("muxctl buffer release clip")
        self.told(clip)
        wait_for(lambda: self.states() == {"clip": "held"}, PATIENCE_S, self.logs)
        self.assertIn(f"process {app.process.pid} (keeper) has it", self.guest.log())
        self.assertEqual(app.shown(), (bytes(16), 0))
        second = self.create("second")
        second.memory[:] = secrets.token_bytes(MIB)
        self.vm.wait_until("muxctl buffer list --names | grep -x second")
        other = self.app(open="second")
        self.assertEqual(other.shown()[0], second.memory[:16])
        self.assertEqual(app.shown(), (bytes(16), 0))
        second.close()
        other.wait(GONE)
        wait_for(lambda: self.states() == {"clip": "held"}, PATIENCE_S, self.logs)
        app.kill()
        self.wait_nothing_left()


class OnQ35(Ends):
    hardware = Q35

    def test_host_owner_goes(self) -> None:
        clip = self.create()
        app = self.app(open="clip")
        clip.close()
        self.assertEqual(app.wait(GONE), "gone owner")
        self.wait_nothing_left()

    def test_guestmux_killed(self) -> None:
        app, clip = self.both()
        ours = self.create("ours")
        self.guest.stop("KILL")
        app.wait("closed")
        # By QEMU's events the host knows before there is another guestmux.
        self.assertEqual(self.told(clip), "reset")
        end = self.host.link()["last_end"]
        self.assertEqual(end["reason"], "the guest has closed the port")
        self.guest.start()
        self.assertIn(self.told(ours), ("reset", "link-down"))
        self.back()

    def test_hostmux_killed_and_kept(self) -> None:
        """systemd keeps the memory: the guest's buffers go on, with what is in them."""
        self.host.stop()
        store = self.enterContext(Store(self.host.folder))
        self.host.start(None, store=store)
        self.wait_qmp()
        self.host.wait_up()
        self.guest.wait_up()
        app, clip = self.both()
        clip.set({"a": "b"})
        app.wait("properties")
        ours = self.create("ours")
        theirs = self.app(open="ours")
        content, before = bytes(clip.memory), self.buffers()[0]["id"]
        wait_for(lambda: {"buffers", before} <= store.names(), 5)

        self.host.stop(signal.SIGKILL)
        self.assertEqual((self.told(clip), self.told(ours)), ("no daemon", "no daemon"))
        self.host.start(None, store=store)
        self.wait_qmp()
        self.host.wait_up()
        self.assertEqual(theirs.wait(GONE), "gone reset")
        clip = self.open()
        self.assertEqual((clip.info.id, clip.properties), (before, {"a": "b"}))
        self.assertEqual(clip.memory[:], content)
        clip.memory[:5] = b"after"
        clip.notify(0, 5)
        app.wait("notice")
        self.assertEqual(app.shown()[0], b"after" + content[5:16])
        self.assertEqual(self.node().read_bytes(), clip.memory[:])
        app.kill()
        self.assertEqual(self.told(clip), "owner")
        self.wait_nothing_left()
        wait_for(lambda: store.names() == {"buffers"}, 5)

    def test_port_cut(self) -> None:
        """The session alone ends: the buffers stay, and so does what is in them."""
        self.host.stop()
        path = self.host.folder / "proxy.sock"
        proxy = Proxy(path, self.vm.port_path)
        self.addCleanup(proxy.stop)
        self.configure(port=f"unix:{path}")
        self.host.start(None)
        self.wait_qmp()
        self.host.wait_up()
        self.guest.wait_up()
        app, clip = self.both()
        ours = self.create("ours")
        self.vm.wait_until("muxctl buffer list --names | grep -x ours")
        theirs = self.app(open="ours")
        session = self.host.link()["session"]["id"]
        proxy.cut(half_a_frame=True)
        wait_for(lambda: (self.host.link()["session"] or {}).get("id", session) != session,
                 PATIENCE_S, self.logs)  # fmt: skip
        self.host.wait_up()
        self.guest.wait_up()
        self.assertEqual(app.shown()[0], clip.memory[:16])
        for buffer, other in ((clip, app), (ours, theirs)):
            buffer.notify(0, 7)
            other.wait(" 0 7")
        self.alice("muxctl buffer notify clip --length 9")
        self.assertEqual(clip.next(PATIENCE_S), guestmux.Notice(2, 0, 9))
        app.kill()
        self.assertEqual(self.told(clip), "owner")
        ours.close()
        self.assertEqual(theirs.wait(GONE), "gone owner")
        self.wait_nothing_left()

    def test_z_qemu_killed(self) -> None:
        """The last one of its class."""
        _, clip = self.both()
        ours = self.create("ours")
        self._apps.clear()
        os.kill(self.vm.pid, signal.SIGKILL)
        self.guest.daemon = None
        self.assertEqual((self.told(clip), self.told(ours)), ("link-down", "link-down"))
        wait_for(lambda: not self.buffers() and not self.memfds(), PATIENCE_S, self.host.log)
        self.assertFalse(self.node().parent.exists())

    def test_empty(self) -> None:
        """What one had is not in the next one."""
        for size in (MIB, 2 * MIB):
            app = self.app(create="clip", size=size)
            clip = self.open()
            self.assertEqual(app.shown(), (bytes(16), 0))
            self.assertEqual(clip.memory[:], bytes(size))
            clip.memory[:] = secrets.token_bytes(size)
            app.kill()
            self.told(clip)
            self.wait_nothing_left()

    def test_parked_descriptor(self) -> None:
        """In a socket no look at processes shows it. The kernel knows, so it stays plugged."""
        app = self.app("park", create="clip", size=MIB)
        self.alice("muxctl buffer release clip")
        wait_for(lambda: self.states() == {"clip": "held"}, PATIENCE_S, self.logs)
        self.assertIn("somebody has it who does not show", self.guest.log())
        app.signal("USR2")
        app.wait("mapped")
        other = self.app(create="other", size=MIB)
        self.assertEqual(app.shown(), (bytes(16), 0))
        other.kill()
        app.kill()
        self.wait_nothing_left()

    def test_unplugged_by_somebody(self) -> None:
        """Who asks nobody; what is mapped then would show what is plugged next, so nothing is."""
        app = self.app("keep", create="clip", size=MIB)
        clip = self.open()
        device = next(x for x in self.plugged() if not x.endswith("-memory"))
        self.vm.qmp("device_del", id=device)
        self.told(clip)
        text = "still maps memory that was unplugged"
        error = self.ask(create="next", size=MIB).error
        self.assertIn(f"process {app.process.pid} (keeper) {text}", error)
        with self.assertRaisesRegex(guestmux.Refused, text):
            self.create("next")
        self.check_echo()
        app.kill()
        self.app(create="next", size=MIB).kill()
        self.wait_nothing_left()


class OnPc(Ends):
    """Where devices are plugged another way; all else is the same."""

    hardware = {"arguments": "panic=-1"}

    def test_guest_crash(self) -> None:
        _, clip = self.both()
        self._apps.clear()
        with suppress(VmError):  # the shell is there again when this is over
            self.vm.run("echo c >/proc/sysrq-trigger", timeout=0.1)
        self.guest.start()
        self.assertEqual(self.told(clip), "reset")
        self.back()


del Ends

if __name__ == "__main__":
    unittest.main(verbosity=2)
