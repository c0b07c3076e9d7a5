# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guestmux and a host that goes away at any time, or says what makes no sense."""

from __future__ import annotations

import json
import unittest

from guest_memory import MIB, MemoryTest
from rogue import Rogue


class Sessions(MemoryTest):
    def test_survives(self) -> None:
        """What the host still has stays; the rest is reset when the host has said what it has."""
        (kept, device), (lost, _) = self.create("kept"), self.create("lost")
        self.app(create="making", size=1)
        self.hear()
        self.new_session()
        self.wait_buffers(kept="ready", lost="ready")
        self.host.say({"buffer": "kept", "device": device.id, "size": MIB, "owner": "guest"})
        self.host.say({"ready": True})
        self.assertIn("reset", lost.gone())
        lost.close()
        self.wait_buffers(kept="ready")
        kept.close()
        self.assertEqual(self.hear()["release"], "kept")

    def test_of_an_earlier_life(self) -> None:
        """guestmux was killed: it does not want what nobody here owns any more."""
        app, device = self.create("clip")
        self.guest.kill()
        app.close()
        self.host.close()
        self.start_host()
        self.guest.start()
        self.host.says("up", "open @memory")
        self.host.say({"buffer": "clip", "device": device.id, "size": MIB, "owner": "guest"})
        self.assertEqual(self.hear(), {"device": device.id, "release": "clip",
                                      "reason": "reset"})
        self.host.say({"ready": True}, {"gone": device.id, "address": device.path.name})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_host_that_does_not_know(self) -> None:
        """A host without the channel: buffers end, new ones are refused, all else works."""
        app, _ = self.create("clip")
        self.host.close()
        port = self.folder / "test-port"
        port.unlink()
        self.host = Rogue(self.folder, "host", f"listen:{port}", "--only", "@services")
        self.addCleanup(self.host.close)
        self.host.says("up", "open @services")
        self.assertIn("reset", app.gone())
        app.close()
        self.wait_buffers()
        app = self.app(create="clip", size=1)
        self.assertEqual(app.answer()["error"]["code"], "no-memory")

    def test_killed_host_while_all_goes_on(self) -> None:
        """The session ends at each point of a buffer's life."""
        app = self.app(create="one", size=1)
        self.hear()
        self.new_session()
        self.assertEqual(app.answer()["error"]["code"], "link-down")
        app, device = self.create("two")
        keeper = self.keeper(device)
        app.close()
        self.hear()
        self.new_session()  # released, not gone yet
        self.wait_buffers()
        app, device = self.create("three")
        keeper = self.keeper(device)
        app.close()
        self.hear()
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear()["holders"], 1)
        self.new_session()  # held
        self.wait_buffers()
        keeper.kill()
        searched = self.device()
        self.host.say(searched.line)
        self.new_session()  # a device is looked for
        searched.plug()
        self.host.say({"may": "1" * 16})
        self.assertEqual(self.hear(), {"may": "1" * 16})


class Hostile(MemoryTest):
    LINES: tuple[object, ...] = (
        {"may": 1}, {"may": "xyz"}, {"may": "0" * 16}, {"device": []}, {"device": "1" * 15},
        {"device": "1" * 16}, {"device": "1" * 16, "size": 0, "mark": "0" * 32},
        {"device": "1" * 16, "size": -1, "mark": "0" * 32},
        {"device": "1" * 16, "size": MIB, "mark": "0" * 31},
        {"device": "1" * 16, "size": MIB, "mark": 5}, {"gone": None}, {"gone": "g" * 16},
        {"gone": "1" * 16, "address": 3}, {"buffer": 3}, {"buffer": "x"},
        {"buffer": "x", "device": "1" * 16, "size": "1"},
        {"buffer": "x", "device": "1" * 16, "properties": []},
        {"buffer": "x", "device": "1" * 16, "owner": "o" * 300},
        {"request": "1"}, {"request": 0}, {"request": 1, "error": "text"},
        {"request": 1, "error": {"code": 3}}, {"region": "up"}, {"region": "in"},
        {"region": "in", "device": "1" * 16, "epoch": -1, "slots": [[1, 1]]},
        {"region": "in", "device": "1" * 16, "epoch": 1, "slots": [[1, 1]] * 99},
        {"region": "in", "device": "1" * 16, "epoch": 1, "slots": [[1]]},
        {"region": "in", "device": "1" * 16, "epoch": 1, "slots": [[0, 1]]},
        {"region": "in", "device": "1" * 16, "epoch": 1, "slots": {"a": 1}},
        [], 5, b"junk\n",
    )  # fmt: skip

    def test_nonsense(self) -> None:
        """Each ends the channel, and what is on it; nothing else."""
        for line in self.LINES:
            with self.subTest(line=line):
                app, _ = self.create("clip")
                self.host.say(line if isinstance(line, bytes) else json.dumps(line).encode()
                              + b"\n")
                self.assertIn("reset", app.gone())
                app.close()
                self.wait_buffers()
                self.check_alive(self.guest.link()["sessions"])
                self.new_session()

    def test_what_is_not_there(self) -> None:
        """Buffers without a device, with one that is used, too large; unknown lines."""
        device = self.offer("one")
        self.wait_buffers(one="ready")
        self.host.say(
            {"ready": True}, {"buffer": "two", "device": device.id, "size": MIB},
            {"buffer": "three", "device": "f" * 16, "size": MIB},
            {"buffer": "four", "device": "f" * 16, "size": (1 << 63) - 1},
            {"buffer": "../x", "device": device.id, "size": MIB},
            {"request": 99, "error": {"code": "limit"}}, {"unknown": 1}, {},
            {"region": "in", "device": device.id, "epoch": 1, "slots": [[65536, 1]]},
        )
        for name in ("three", "four"):  # that device is another buffer's
            self.assertEqual(self.hear(), {"device": "f" * 16, "release": name,
                                          "reason": "reset"})
        self.assertIn("error", self.hear())
        spare = self.prove(self.device().plug())
        self.host.say({"buffer": "-x/", "device": spare.id, "size": MIB},
                      {"buffer": "big", "device": spare.id, "size": 2 * MIB},
                      {"buffer": "one", "device": spare.id, "size": MIB})
        for name in ("-x/", "big", "one"):  # the one that is there is another device's
            self.assertEqual(self.hear(), {"device": spare.id, "release": name, "reason": "reset"})
        self.host.say({"gone": spare.id})
        self.assertEqual(self.hear(), {"gone": spare.id, "holders": 0})
        self.wait_buffers(one="ready")
        self.assertEqual(self.buffers()["one"]["id"], device.id)

    def test_flood(self) -> None:
        """A host that asks and asks: what it may make this side keep is bounded."""
        self.host.say(*({"device": f"{n:016x}", "size": MIB, "mark": f"{n:032x}"}
                        for n in range(1, 700)))
        said = [self.hear() for _ in range(699 - 512)]
        self.assertEqual({line["error"] for line in said}, {"there are too many devices"})
        self.host.say(*({"may": f"{n:016x}"} for n in range(1, 100)))
        answers = [self.hear() for _ in range(99)]
        errors = {line["error"] for line in answers if "error" in line}
        self.assertEqual(errors, {"too much is asked for at once"})
        self.check_alive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
