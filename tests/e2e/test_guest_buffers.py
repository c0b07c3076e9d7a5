# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux's part of a buffer's life."""

from __future__ import annotations

import json
import mmap
import os
import unittest
from pathlib import Path

from guest_memory import MIB, MemoryTest


class Buffers(MemoryTest):
    def test_created_here(self) -> None:
        app, device = self.create("clip", properties={"a": "b"})
        with mmap.mmap(app.fd, MIB) as memory:
            memory[100:105] = b"hello"
        self.assertEqual(device.read(100, 5), b"hello")
        listed = self.buffers()["clip"]
        self.assertEqual((listed["id"], listed["state"]), (device.id, "ready"))
        app.close()
        said = self.hear()
        self.assertEqual(said["release"], "clip")
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        self.assertEqual(self.buffers(), {})

    def test_what_is_asked(self) -> None:
        app = self.app(create="clip", size=3 * MIB, read_only_for="host", properties={"k": "v"})
        asked = self.hear()
        self.assertGreater(asked.pop("request"), 0)
        self.assertEqual(asked.pop("program"), Path("/proc/self/comm").read_text().strip())
        self.assertEqual(asked, {"create": "clip", "size": 4 * MIB, "read_only_for": "host",
                                 "properties": {"k": "v"}, "uid": os.getuid(),
                                 "gid": os.getgid()})
        app.close()
        self.assertEqual(self.hear(), {"release": "clip", "reason": "owner"})

    def test_refused(self) -> None:
        app = self.app(create="clip", size=1)
        self.host.say({"request": self.hear()["request"],
                       "error": {"code": "limit", "text": "no\nmore"}})
        error = app.answer()["error"]
        self.assertEqual((error["code"], error["text"]), ("limit", "no?more"))
        app = self.app(create="clip", size=1)
        self.host.say({"request": self.hear()["request"], "error": {"code": "new-one"}})
        self.assertEqual(app.answer()["error"]["code"], "failed")
        self.assertEqual(self.buffers(), {})

    def test_no_answer(self) -> None:
        app = self.app(create="clip", size=1)
        request = self.hear()["request"]
        self.assertEqual(app.answer()["error"]["code"], "timeout")
        self.assertEqual(self.hear(), {"release": "clip", "reason": "owner"})
        # It comes too late.
        device = self.prove(self.device().plug())
        self.host.say({"buffer": "clip", "device": device.id, "size": MIB, "owner": "guest",
                       "request": request})
        self.assertEqual(self.hear(), {"device": device.id, "release": "clip",
                                      "reason": "owner"})
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        self.assertEqual(self.buffers(), {})

    def test_other_memory_than_asked_for(self) -> None:
        app = self.app(create="clip", size=2 * MIB)
        request = self.hear()["request"]
        device = self.prove(self.device().plug())
        self.host.say({"buffer": "clip", "device": device.id, "size": MIB, "owner": "guest",
                       "request": request})
        self.assertEqual(app.answer()["error"]["code"], "failed")
        self.assertEqual(self.hear(), {"device": device.id, "release": "clip",
                                      "reason": "reset"})
        self.check_alive()

    def test_offered(self) -> None:
        """The host's, and another VM's: read only, with properties that change."""
        self.host.say({"ready": True})
        device = self.offer("frames", "guest", read_only_for="guest", properties={"n": "1"})
        self.wait_buffers(frames="ready")
        app = self.app(open="frames")
        answer = app.answer()["buffer"]
        self.assertEqual((answer["owner"]["side"], answer["writable"]), ("guest", False))
        with self.assertRaises(OSError):
            os.write(app.fd, b"x")
        self.host.say({"buffer": "frames", "device": device.id, "size": MIB, "owner": "guest",
                       "read_only_for": "guest", "properties": {"n": "2"}})
        self.assertEqual(app.record(), (2, b'{"n":"2"}'))
        self.host.say({"gone": device.id})
        app.gone()
        app.close()
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_properties(self) -> None:
        app, _ = self.create("clip", properties={"k": "v"})
        changes = json.dumps({"k": None, "w": "2"}).encode()
        app.sock.sendall((2).to_bytes(4, "little") + len(changes).to_bytes(4, "little") + changes)
        self.assertEqual(self.hear(), {"set": "clip", "properties": {"k": None, "w": "2"}})

    def test_held(self) -> None:
        """A process that keeps the memory mapped: it is shown, and ends by itself."""
        app, device = self.create("clip")
        keeper = self.keeper(device)
        app.close()
        self.assertEqual(self.hear()["release"], "clip")
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 1})
        self.wait_buffers(clip="held")
        keeper.kill()
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        self.wait_buffers()

    def test_handle_that_stays(self) -> None:
        """A program that does not close loses its handle after a while."""
        app, device = self.create("clip")
        self.host.say({"gone": device.id, "reason": "released"})
        self.assertIn("released", app.gone())
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_unplugged(self) -> None:
        """The device goes without a word."""
        app, device = self.create("clip")
        device.path.unlink()
        self.assertIn("reset", app.gone())
        app.close()
        self.wait_buffers()

    def test_both_at_once(self) -> None:
        """The host's is first; what was asked for here is refused."""
        app = self.app(create="clip", size=1)
        self.hear()
        self.offer("clip")
        self.assertEqual(app.answer()["error"]["code"], "exists")
        self.wait_buffers(clip="ready")


if __name__ == "__main__":
    unittest.main(verbosity=2)
