# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services whose files change are there, changed, or gone, without a signal."""

from __future__ import annotations

import time
import unittest

from daemon import Daemon, wait_until
from stack import Listener, Stack, StackTest


class Watch(StackTest):
    def start(self) -> tuple[Stack, Listener]:
        stack = self.stack(start=False)
        listener = self.serve(stack)
        return stack.start(), listener

    def names(self, daemon: Daemon) -> set[str]:
        return {service["service"] for service in daemon.ask("services")["services"]}

    def wait_names(self, daemon: Daemon, *names: str) -> None:
        wait_until(lambda: self.names(daemon) == set(names),
                   f"{names}, but {self.names(daemon)}\n{daemon.log()}")

    def test_both_sides(self) -> None:
        stack, listener = self.start()
        sides: list[tuple[Daemon, str, list[str]]] = [
            (stack.host, "guest", ["svc"]), (stack.guest, "host", [])]
        for daemon, side, own in sides:
            self.wait_names(daemon, *own)
            daemon.service("new", connect=listener.connect)
            self.wait_names(daemon, "new", *own)
            app, handler = stack.join(listener, "new", b"x", side=side)
            self.assertEqual(handler.recv(1), b"x")
            (daemon.services / "new.json").unlink()
            self.wait_names(daemon, *own)
            self.assert_refused("no-service", stack, "new", side)
            handler.send(b"y")
            self.assertEqual(app.recv(1), b"y", "an open channel goes on")

    def test_bad_file(self) -> None:
        """One line, and what was in force stays."""
        stack, listener = self.start()
        file = stack.host.services / "svc.json"
        good = file.read_text()
        file.write_text('{"service": "svc", "colour": "red"}')
        stack.host.wait_for_log("svc.json")
        time.sleep(0.3)
        self.assertEqual(stack.host.log().count("svc.json"), 1)
        stack.join(listener, "svc")
        # Another file's change does not bring it up again; SIGHUP does, and so does another mistake.
        stack.host.service("other", connect=listener.connect)
        self.wait_names(stack.host, "other", "svc")
        self.assertEqual(stack.host.log().count("svc.json"), 1)
        self.assertEqual(stack.host.reload().count("svc.json"), 1)
        file.write_text('{"service": "svc", "exec": []}')
        stack.host.wait_for_log('"exec" must')
        (stack.host.services / "other.json").unlink()
        file.unlink()
        self.wait_names(stack.host)
        file.with_name(".new").write_text(good)
        file.with_name(".new").rename(file)
        self.wait_names(stack.host, "svc")

    def test_folder_moves(self) -> None:
        stack, listener = self.start()
        hidden = stack.host.services.rename(self.folder / "hidden")
        stack.host.wait_for_log("services not reloaded: ")
        stack.join(listener, "svc")
        (hidden / "svc.json").rename(hidden / "other.json")
        (hidden / "other.json").write_text(
            (hidden / "other.json").read_text().replace('"svc"', '"other"'))
        hidden.rename(stack.host.services)
        self.wait_names(stack.host, "other")
        stack.join(listener, "other")

    def test_storm(self) -> None:
        """It costs little, and the last state counts."""
        stack, listener = self.start()
        before = stack.host.cpu()
        begin = time.monotonic()
        for n in range(1000):
            stack.host.service(f"s{n % 10}", connect=listener.connect, description=f"{n}")
        took = time.monotonic() - begin
        wait_until(lambda: "999" in {service["description"] for service in
                                      stack.host.ask("services")["services"]}, "the last one")
        self.assertLess(stack.host.cpu() - before, 0.5 + took / 2)
        self.assertLess(stack.host.cpu_over(0.5), 0.1)


if __name__ == "__main__":
    unittest.main()
