# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What guestmux does with the devices that its host names."""

from __future__ import annotations

import secrets
import unittest

from daemon import Json, wait_until
from guest_memory import MIB, MemoryTest


class Devices(MemoryTest):
    def test_proof(self) -> None:
        """The right one of several is found, there before or later; nothing else is written."""
        others = [self.device().plug() for _ in range(3)]
        larger = self.device(2 * MIB)
        larger.mark = others[0].mark
        larger.plug()
        self.prove(self.device().plug())
        late = self.device()
        self.host.say(late.line)
        late.plug()
        self.assertEqual(self.hear()["proof"], late.proof.hex())
        reader = self.device().plug()
        reader.line["write"] = False
        self.prove(reader)
        for other in others:
            self.assertEqual(other.read(0, MIB), other.mark + other.proof + bytes(MIB - 32))

    def test_again(self) -> None:
        """The host may have the same one proved again, with another mark."""
        device = self.prove(self.device().plug())
        device.mark = secrets.token_bytes(16)
        with device.path.open("r+b") as file:
            file.write(device.mark + device.proof)
        device.line["mark"] = device.mark.hex()
        self.prove(device)

    def test_not_found(self) -> None:
        self.device().plug()
        device = self.device()
        self.host.say(device.line)
        said = self.hear()
        self.assertEqual(said["device"], device.id)
        self.assertIn("none of the 1", said["error"])
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_gone(self) -> None:
        device = self.prove(self.device().plug())
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        # Of what it does not know, it has nothing; unless it is there.
        self.host.say({"gone": device.id}, {"gone": device.id, "address": "../../etc/passwd"})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_held(self) -> None:
        """By a process that has it mapped, until it does not; of an earlier life as well."""
        device = self.prove(self.device().plug())
        keeper = self.keeper(device)
        self.host.say({"gone": device.id})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 1})
        self.guest.wait_for_log(f"process {keeper.pid} ")
        self.new_session()
        self.host.say({"gone": device.id, "address": device.path.name})
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 1})
        keeper.kill()
        self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})

    def test_may(self) -> None:
        """Nothing may be plugged while a process maps what was unplugged."""
        device = self.prove(self.device().plug())
        self.host.say({"may": "0" * 15 + "1"})
        self.assertEqual(self.hear(), {"may": "0" * 15 + "1"})
        keeper = self.keeper(device)
        device.path.unlink()
        said: Json = {}

        def refused() -> bool:
            self.host.say({"may": "0" * 15 + "2"})
            said.update(self.hear())
            return "error" in said

        wait_until(refused, "it is noticed")
        self.assertRegex(said["error"], f"^process {keeper.pid} .* still maps memory")
        keeper.kill()
        keeper.wait()
        self.host.say({"may": "0" * 15 + "3"})
        self.assertEqual(self.hear(), {"may": "0" * 15 + "3"})

    def test_region(self) -> None:
        """Both are attached, and taken away; nonsense is refused."""
        size = 16 * MIB
        out, into = (self.prove(self.device(size).plug()) for _ in range(2))
        slots = [[65536, 64]]
        for name, device in (("out", out), ("in", into)):
            self.host.say({"region": name, "device": device.id, "epoch": 7, "slots": slots})
            self.assertEqual(self.hear(), {"region": name, "epoch": 7})
        for bad in ([[65536, 1024]], [[1 << 31, 1 << 31]]):
            self.host.say({"region": "in", "device": into.id, "epoch": 8, "slots": bad})
            self.assertIn("error", self.hear())
        self.host.say({"region": "in", "device": "f" * 16, "epoch": 8, "slots": slots})
        self.assertIn("error", self.hear())
        for device in (out, into):
            self.host.say({"gone": device.id})
            self.assertEqual(self.hear(), {"gone": device.id, "holders": 0})
        self.check_alive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
