# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each daemon knows of the other one's services, and who is shown what of it."""

from __future__ import annotations

import json
import unittest
from typing import Any

from client import Client, open_client
from daemon import Daemon, wait_until
from stack import VM, Stack, StackTest, read_exactly
from user import UID, needs_root

VERSION = "0.1.0"


class DiscoveryTest(StackTest):
    def client(self, daemon: Daemon, uid: int = 0) -> Client:
        self.folder.chmod(0o755)
        return open_client(self, daemon.socket, uid)

    def remote(self, daemon: Daemon) -> list[dict[str, Any]]:
        remote: list[dict[str, Any]] = daemon.ask("services")["remote"]
        return remote

    def names(self, daemon: Daemon) -> list[str]:
        return [one["name"] for one in self.remote(daemon)]

    def wait_names(self, daemon: Daemon, *names: str) -> None:
        wait_until(lambda: self.names(daemon) == list(names),
                   f"{names}, but {daemon.name} has {self.names(daemon)}")

    def prefix(self, daemon: Daemon) -> str:
        return f"{VM}/" if daemon.kind == "hostmux" else ""


class Announced(DiscoveryTest):
    def test_fields(self) -> None:
        """On both sides, sorted by name, with all that a service says of itself and no more."""
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("b", exec=["/bin/cat"], description='a "cät"\n\t\x01',
                           properties={"version": "2", "ключ": "значение", "x": ""})
            daemon.service("a", connect="unix:/x", max_channels=3, preamble="json")
        stack.start()
        for daemon, link in ((stack.guest, "host"), (stack.host, VM)):
            self.wait_names(daemon, *(self.prefix(daemon) + name for name in "ab"))
            self.assertEqual(self.remote(daemon), [
                {"name": f"{self.prefix(daemon)}a", "link": link, "service": "a",
                 "description": "", "properties": {}},
                {"name": f"{self.prefix(daemon)}b", "link": link, "service": "b",
                 "description": 'a "cät"\n\t\x01',
                 "properties": {"version": "2", "ключ": "значение", "x": ""}}])

    def test_changes(self) -> None:
        """As they happen: a file that comes, changes and goes; a registration."""
        stack = self.stack()
        for daemon, other in ((stack.guest, stack.host), (stack.host, stack.guest)):
            name = self.prefix(other) + "svc"
            daemon.service("svc", exec=["/bin/cat"])
            self.wait_names(other, name)
            daemon.service("svc", exec=["/bin/cat"], description="new", properties={"a": "1"})
            wait_until(lambda: self.remote(other)[0]["properties"] == {  # noqa: B023
                "a": "1"}, "it has changed")
            self.assertEqual(self.remote(other)[0]["description"], "new")
            client = self.client(daemon)
            client.good("register", service="clip", accept="fd", description="registered")
            self.wait_names(other, self.prefix(other) + "clip", name)
            client.close()
            self.wait_names(other, name)
            (daemon.services / "svc.json").unlink()
            self.wait_names(other)

    def test_link(self) -> None:
        """What was announced is gone while the link is down, and is there again with it."""
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("svc", exec=["/bin/cat"])
        stack.start()
        self.wait_names(stack.guest, "svc")
        stack.host.stop()
        self.wait_names(stack.guest)
        stack.host.service("more", exec=["/bin/cat"])
        stack.host.start()
        self.wait_names(stack.guest, "more", "svc")
        self.wait_names(stack.host, f"{VM}/svc")
        stack.guest.kill()
        self.wait_names(stack.host)
        self.assertIsNone(stack.host.link()["peer"])
        stack.guest.start()
        self.wait_names(stack.host, f"{VM}/svc")
        self.wait_names(stack.guest, "more", "svc")

    def test_peer(self) -> None:
        stack = self.stack()
        wait_until(lambda: all(daemon.link()["peer"] for daemon in stack.daemons), "both know")
        self.assertEqual(stack.guest.link()["peer"], {"daemon": "hostmux", "version": VERSION})
        self.assertEqual(stack.host.link()["peer"], {"daemon": "guestmux", "version": VERSION})

    def test_own_channel(self) -> None:
        """The daemons' own is neither shown nor counted, and takes nobody's place."""
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.config.write_text(json.dumps({"limits": {"channels": 2}}))
            daemon.service("cat", exec=["/bin/cat"])
        stack.start()
        for daemon in stack.daemons:
            wait_until(lambda: daemon.link()["peer"], "they know each other")  # noqa: B023
            link = daemon.link()
            self.assertEqual((link["channels"], link["channels_open"], link["opened"],
                              link["refused"]), ([], 0, 0, 0))
        for daemon, side in ((stack.guest, "guest"), (stack.host, "host")):
            for _ in range(2):
                app = stack.open("cat", b"x", side=side)
                self.assertEqual(read_exactly(app, 1), b"x")
            self.assert_refused("limit", stack, "cat", side)
            self.assertEqual(daemon.link()["channels_open"], 2)
            stack.close_apps()
            stack.check_settled()
        stack.guest.kill()
        wait_until(lambda: stack.host.link()["last_end"], "the session ended")
        self.assertEqual(stack.host.link()["last_end"]["channels"], 0)
        stack.guest.start()
        for name in ("@services", "@other", "@"):
            self.assert_refused("bad-name", stack, name)
            self.assert_refused("bad-name", stack, name, "host")

    def test_a_thousand(self) -> None:
        stack = self.stack(start=False)
        names = [f"svc-{n:04}" for n in range(1000)]
        for daemon in stack.daemons:
            for name in names:
                daemon.service(name, connect="unix:/x", description=name * 5)
        stack.start()
        self.wait_names(stack.guest, *names)
        self.wait_names(stack.host, *(f"{VM}/{name}" for name in names))
        self.assertEqual({one["description"] for one in self.remote(stack.guest)},
                         {name * 5 for name in names})
        before = stack.host.cpu()
        for name in names[1:]:
            (stack.guest.services / f"{name}.json").unlink()
        self.wait_names(stack.host, f"{VM}/{names[0]}")
        self.assertLess(stack.host.cpu() - before, 1)


class Vms(DiscoveryTest):
    def test_each_sees_its_own(self) -> None:
        """Who may not open a service is not told of it, nor of its end."""
        host = self.daemon("hostmux", [word for vm in ("web1", "db1") for word in
                                       ("--vm", f"{vm}=listen:{self.folder}/{vm}")])
        host.service("all", exec=["/bin/cat"])
        host.service("web", exec=["/bin/cat"], vms=["web*"])
        host.service("db", exec=["/bin/cat"], vms=["db?", "other"])
        host.start()
        guests = {}
        for vm in ("web1", "db1"):
            guests[vm] = self.daemon("guestmux", ["--port", f"unix:{self.folder}/{vm}"], name=vm)
            guests[vm].service(f"of-{vm}", exec=["/bin/cat"])
            guests[vm].start()
        web, db = guests["web1"], guests["db1"]
        self.wait_names(web, "all", "web")
        self.wait_names(db, "all", "db")
        self.wait_names(host, "web1/of-web1", "db1/of-db1")
        clients = [self.client(guest) for guest in (web, db)]
        for client in clients:
            client.good("events", only=["services"])
        for vms in (["db1"], ["web1", "db1"], ["none"]):
            host.service("web", exec=["/bin/cat"], vms=vms)
            self.wait_names(web, *["all", *(["web"] if "web1" in vms else [])])
            self.wait_names(db, *["all", "db", *(["web"] if "db1" in vms else [])])
        kinds = [[(event["event"], event["name"]) for event in client.pending()]
                 for client in clients]
        self.assertEqual(kinds, [[(f"service-{what}", "web") for what in whats] for whats in (
            ("removed", "added", "removed"), ("added", "removed"))])
        registrant = self.client(host)
        registrant.good("register", service="reg", accept="fd", vms=["web1"])
        self.wait_names(web, "all", "reg")
        self.wait_names(db, "all", "db")
        web.stop()
        self.wait_names(host, "db1/of-db1")
        self.wait_names(db, "all", "db")


@needs_root
class Users(DiscoveryTest):
    def test_policy(self) -> None:
        """What a user may not open he does not see, neither in the list nor as an event."""
        stack = self.stack(start=False)
        stack.guest.config.write_text(json.dumps({"policy": {"hidden": {"users": []}}}))
        for name in ("hidden", "open"):
            stack.host.service(name, exec=["/bin/cat"])
        stack.start()
        self.wait_names(stack.guest, "hidden", "open")
        client, root = self.client(stack.guest, UID), self.client(stack.guest)
        self.assertEqual([one["name"] for one in client.good("services")["remote"]], ["open"])
        for one in (client, root):
            one.good("events", only=["services"])
        for name in ("hidden", "open"):
            stack.host.service(name, exec=["/bin/cat"], description="changed")
        wait_until(lambda: [one["description"] for one in self.remote(stack.guest)]
                   == ["changed"] * 2, "both have changed")
        self.assertEqual([event["name"] for event in client.pending()], ["open"])
        self.assertEqual({event["name"] for event in root.pending()}, {"hidden", "open"})

    def test_who_says_too_much(self) -> None:
        """All that one user may register, each as long as may be, takes nothing from the others."""
        stack = self.stack()
        for daemon, other in (stack.daemons, stack.daemons[::-1]):
            client = self.client(daemon, UID)
            prefix = self.prefix(other)
            names = [f"{prefix}s{n:02}" for n in range(64)]
            for n in range(64):
                client.good("register", service=f"s{n:02}", accept="fd",
                            properties={f"p{k}": "\x01" * (4000 // 32) for k in range(32)})
            daemon.service("svc", exec=["/bin/cat"], description="\x02" * 4096)
            self.wait_names(other, *names, f"{prefix}svc")
            self.assertEqual(self.remote(other)[-1]["description"], "\x02" * 4096)

    def test_policy_is_reloaded(self) -> None:
        stack = self.stack(start=False)
        stack.host.service("svc", exec=["/bin/cat"])
        stack.start()
        self.wait_names(stack.guest, "svc")
        client = self.client(stack.guest, UID)
        for policy, seen in (({"svc": {"users": []}}, []), ({"svc": {"users": [UID]}}, ["svc"]),
                             ({"*": {"users": []}}, []), ({}, ["svc"])):
            stack.guest.config.write_text(json.dumps({"policy": policy}))
            stack.guest.reload()
            self.assertEqual([one["name"] for one in client.good("services")["remote"]], seen)


if __name__ == "__main__":
    unittest.main()
