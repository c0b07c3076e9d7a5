# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events: each kind with its fields exactly, who is shown what, and who does not read them."""

from __future__ import annotations

import os
import re
import socket
import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client import Client, open_client
from daemon import SANITIZED, Daemon, Json, wait_until
from stack import VM, Stack, StackTest, read_exactly
from user import GID, UID, being, needs_root

ANY = object()


class EventTest(StackTest):
    def started(self) -> Stack:
        self.folder.chmod(0o755)
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("cat", exec=["/bin/cat"])
        return stack.start()

    def subscriber(self, daemon: Daemon, only: Sequence[str] = (), uid: int = 0) -> Client:
        client = open_client(self, daemon.socket, uid)
        answer = client.good("events", **({"only": list(only)} if only else {}))
        self.assertEqual(set(answer), {"ok", "daemon", "version"})
        return client

    def check(self, client: Client, event: str, **fields: Any) -> Json:
        """The next event is that, with these fields and no other. ANY: whatever it is."""
        came = client.event()
        expected = {key: came.get(key) if value is ANY else value
                    for key, value in fields.items()}
        self.assertEqual(came, {"event": event, **expected})
        return came

    def caller(self, uid: int = 0, gid: int | None = None) -> Json:
        program = Path("/proc/self/comm").read_text().strip()
        return {"uid": uid, "gid": os.getgid() if gid is None else gid, "program": program}


class Kinds(EventTest):
    def test_services(self) -> None:
        """The same change is an offer on one side and a service on the other."""
        stack = self.started()
        for daemon, other, link in ((stack.host, stack.guest, "host"),
                                    (stack.guest, stack.host, VM)):
            ours, theirs = self.subscriber(daemon), self.subscriber(other)
            offer: Json = {"service": "svc", "description": "", "properties": {}}
            remote = {"name": "svc" if link == "host" else f"{VM}/svc", "link": link}
            daemon.service("svc", exec=["/bin/cat"])
            self.check(ours, "offer-added", **offer)
            self.check(theirs, "service-added", **remote, **offer)
            offer |= {"description": "d", "properties": {"a": "b"}}
            daemon.service("svc", exec=["/bin/cat"], description="d", properties={"a": "b"})
            self.check(ours, "offer-changed", **offer)
            self.check(theirs, "service-changed", **remote, **offer)
            # What nobody is told of is no change.
            daemon.service("svc", connect="unix:/x", description="d", properties={"a": "b"})
            wait_until(lambda: daemon.ask("services")["services"][1].get(  # noqa: B023
                "connect"), "it is read")
            (daemon.services / "svc.json").unlink()
            self.check(ours, "offer-removed", **offer)
            self.check(theirs, "service-removed", **remote, **offer)
            registrant = Client(daemon.socket)
            registrant.good("register", service="svc", accept="fd")
            offer |= {"description": "", "properties": {}}
            self.check(ours, "offer-added", **offer)
            self.check(theirs, "service-added", **remote, **offer)
            registrant.close()
            self.check(ours, "offer-removed", **offer)
            self.check(theirs, "service-removed", **remote, **offer)

    def test_links(self) -> None:
        stack = self.started()
        client = self.subscriber(stack.host)
        app = stack.open("cat", side="host")
        client.event("channel-opened")
        stack.guest.kill()
        came = [client.event() for _ in range(3)]
        self.assertEqual(came[0]["event"], "channel-closed")
        self.assertEqual(came[0]["code"], "link-down")
        self.assertEqual({one["event"] for one in came[1:]}, {"service-removed", "link-down"})
        (down,) = [one for one in came if one["event"] == "link-down"]
        self.assertEqual(set(down), {"event", "link", "reason", "channels"})
        self.assertEqual((down["link"], down["channels"]), (VM, 1))
        self.assertIn("the port went down", down["reason"])
        self.assert_eof(app)
        stack.guest.start()
        up = self.check(client, "link-up", link=VM, session=ANY,
                        peer={"daemon": "guestmux", "version": "0.1.0"})
        self.assertRegex(up["session"], r"^[0-9a-f]{16}$")
        self.assertEqual(up["session"], stack.host.link()["session"]["id"])
        client.event("service-added")
        stack.close_apps()

    def test_links_come_and_go(self) -> None:
        stack = self.started()
        client = self.subscriber(stack.host)
        stack.host.config.write_text('{"vms": {"y": {"port": "listen:%s/y"}}}' % self.folder)
        stack.host.reload()
        self.check(client, "link-added", link="y")
        stack.host.config.write_text("{}")
        stack.host.reload()
        self.check(client, "link-removed", link="y")

    def test_channels(self) -> None:
        stack = self.started()
        for side in ("guest", "host"):
            ours, theirs = (stack.guest, stack.host) if side == "guest" else (stack.host,
                                                                              stack.guest)
            clients = [(self.subscriber(daemon), "host" if daemon is stack.guest else VM, way)
                       for daemon, way in ((ours, "out"), (theirs, "in"))]
            app = stack.open("cat:argument", b"12345", side=side)
            self.assertEqual(read_exactly(app, 5), b"12345")
            number = ours.channels()[0]["id"]
            app.shutdown(socket.SHUT_WR)
            self.assert_eof(app)
            for client, link, way in clients:
                common = {"link": link, "id": number, "service": "cat:argument",
                          "direction": way}
                self.check(client, "channel-opened", caller=self.caller(), **common)
                self.check(client, "channel-closed", code="done", sent=5, received=5, **common)
                client.close()

    def test_refused(self) -> None:
        stack = self.started()
        stack.host.service("few", connect="unix:/nowhere")
        stack.host.reload()
        guest, host = (self.subscriber(daemon, ["channels"]) for daemon in stack.daemons)
        for name, code, both in (("nobody:arg", "no-service", True), ("few", "refused", True),
                                 ("@other", "bad-name", False)):
            self.assert_refused(code, stack, name)
            for client, link, way in ((guest, "host", "out"), (host, VM, "in"))[:1 + both]:
                self.check(client, "channel-refused", link=link, service=name, direction=way,
                           code=code, caller=self.caller())
        stack.guest.stop()
        self.assert_refused("link-down", stack, "cat", "host")
        self.check(host, "channel-refused", link=VM, service="cat", direction="out",
                   code="link-down", caller=self.caller())
        stack.guest.start()
        stack.wait_up()

    def test_reset(self) -> None:
        """The code says that it was not done."""
        stack = self.started()
        client = self.subscriber(stack.host, ["channels"])
        app = stack.open("cat")
        client.event("channel-opened")
        for pid in stack.host.children():
            os.kill(pid, 9)
        self.assert_eof(app)
        app.close()
        closed = client.event("channel-closed")
        self.assertEqual((closed["sent"], closed["received"]), (0, 0))

    def test_only(self) -> None:
        stack = self.started()
        topics = {"services": "offer-added", "links": "link-added", "channels": "channel-opened"}
        clients = {only: self.subscriber(stack.host, only.split()) for only in
                   (*topics, "services links", "channels links channels")}
        again = self.subscriber(stack.host)
        again.good("events", only=["links"])  # the last request counts
        clients["links "] = again
        nothing = Client(stack.host.socket)
        self.addCleanup(nothing.close)
        stack.host.config.write_text('{"vms": {"y": {"port": "listen:%s/y"}}}' % self.folder)
        stack.host.service("new", exec=["/bin/cat"])
        stack.host.reload()
        stack.open("cat")
        for only, client in clients.items():
            self.assertEqual({event["event"] for event in client.pending()},
                             {topics[topic] for topic in only.split()}, only)
        self.assertEqual(nothing.pending(), [])
        stack.host.config.write_text("{}")
        stack.host.reload()
        for wrong in (["nothing"], [], "links", ["links", "x"], [1], None, {}):
            code, text = nothing.error("events", only=wrong)
            self.assertEqual(code, "bad-request")
            self.assertIn('"only"', text)
        self.assertEqual(nothing.error("events", more=1)[0], "bad-request")


@needs_root
class Arguments(EventTest):
    def test_hidden_from_others(self) -> None:
        """Only root and who opened it are shown the argument: in events and in status."""
        stack = self.started()
        users = (0, UID, UID + 1)
        for daemon in stack.daemons:
            clients = {uid: self.subscriber(daemon, ["channels"], uid) for uid in users}
            with being(UID):
                app = stack.open("cat:secret", b"x")
            read_exactly(app, 1)
            with self.assertRaises(Exception), being(UID):
                stack.open("nobody:secret")
            opener = UID if daemon is stack.guest else None
            for uid, client in clients.items():
                shown = uid in (0, opener)
                (channel,) = client.good("status")["links"][0]["channels"]
                events = client.pending()
                self.assertEqual([event["event"] for event in events],
                                 ["channel-opened", "channel-refused"])
                for what in (channel, *events):
                    self.assertEqual("secret" in str(what), shown, (daemon.name, uid, what))
                    self.assertEqual(what["caller"], self.caller(UID, GID))
                self.assertEqual(channel["service"], "cat:secret" if shown else "cat")
            stack.close_apps()
            wait_until(lambda: not daemon.channels(), "it is closed")  # noqa: B023
            for uid, client in clients.items():
                (closed,) = client.pending()
                self.assertEqual("secret" in str(closed), uid in (0, opener))
                client.close()


class Deaf(EventTest):
    def test_lost(self) -> None:
        """What is kept for one who does not read is bounded; he is told how many were dropped."""
        stack = self.started()
        deaf, good = (self.subscriber(stack.host, ["services"]) for _ in range(2))
        registrant = Client(stack.host.socket)
        self.addCleanup(registrant.close)
        memory = stack.host.memory()
        rounds, seen = 3000, 0
        for n in range(rounds):
            registrant.good("register", service="x", accept="fd", description="y" * 200)
            registrant.good("unregister", service="x")
            if n % 100 == 99:
                seen += len(good.pending())
        self.assertEqual(seen, 2 * rounds)
        if not SANITIZED:
            self.assertLess(stack.host.memory() - memory, 3 << 20)
        self.assertLess(stack.host.cpu_over(0.3), 0.1)
        events = deaf.until("lost")
        lost = events.pop()
        self.assertEqual(set(lost), {"event", "count"})
        self.assertEqual(len(events) + lost["count"], 2 * rounds)
        self.assertEqual([event["event"] for event in events],
                         [f"offer-{('added', 'removed')[n % 2]}" for n in range(len(events))])
        registrant.good("register", service="last", accept="fd")
        self.assertEqual([event["service"] for event in deaf.pending()], ["last"])

    def test_goes(self) -> None:
        """Subscribers that go in the middle of it leave nothing."""
        stack = self.started()
        registrant = Client(stack.host.socket)
        self.addCleanup(registrant.close)
        for n in range(60):
            client = self.subscriber(stack.host, ["services"])
            for _ in range(20):
                registrant.good("register", service="x", accept="fd")
                registrant.good("unregister", service="x")
            if n % 2:
                client.sock.shutdown(socket.SHUT_RD)
                registrant.good("register", service="x", accept="fd")
                registrant.good("unregister", service="x")
            client.close()
        self.assertTrue(re.search("ready", stack.host.log()))


if __name__ == "__main__":
    unittest.main()
