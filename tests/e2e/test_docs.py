# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/control.md is right: what it shows of each verb and event is what the daemons say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from client import Client
from daemon import Daemon, Json, wait_until
from memory_stack import MemoryTest
from stack import VM, Stack, read_exactly

ROOT = Path(__file__).resolve().parents[2]
FREE = "properties"  # whose keys are anybody's


def paragraphs() -> list[str]:
    """What is indented, up to the next empty line each."""
    found: list[list[str]] = [[]]
    for line in (ROOT / "docs/control.md").read_text().splitlines():
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif found[-1]:
            found.append([])
    return ["\n".join(lines) for lines in found if lines]


def read(text: str) -> Json | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def examples() -> list[tuple[Json, Json]]:
    """Each request, with the answer that is in the next paragraph."""
    texts = paragraphs()
    pairs = []
    for text, following in zip(texts, texts[1:] + [""], strict=True):
        if text.startswith('{"verb":'):
            request, answer = read(text), read(following)
            assert request and answer and "ok" in answer, f"no answer is shown to {text}"
            pairs.append((request, answer))
    return pairs


def event_examples() -> dict[str, Json]:
    values = [read(text) for text in paragraphs() if text.startswith('{"event":')]
    assert None not in values, "an event that is no JSON"
    return {value["event"]: value for value in values if value}


def shape(value: Any, key: str = "") -> Any:
    """Keys and types; a list has the shapes of its items, each once."""
    if key == FREE:
        return {type(one).__name__ for one in value.values()} <= {"str"}
    if isinstance(value, dict):
        return {one: shape(value[one], one) for one in sorted(value)}
    if isinstance(value, list):
        return sorted({json.dumps(shape(one)) for one in value})
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "string"


def known_verbs() -> set[str]:
    return set(re.findall(r'^    \{"([a-z]+)", verb_', (ROOT / "relay/verbs.c").read_text(), re.M))


class DocsTest(MemoryTest):
    #: As in the examples.
    BUFFER: Json = {"read_only_for": "host", "properties": {"application": "clipboard"}}

    def start(self, stack: Stack) -> None:
        stack.host.start()
        self.wait_qmp(stack)
        stack.guest.start()
        stack.wait_up()

    def client(self, daemon: Daemon) -> Client:
        client = Client(daemon.socket)
        self.addCleanup(client.close)
        return client


class Verbs(DocsTest):
    def setting(self) -> Stack:
        """What the examples show: services of each kind, channels both ways, a buffer."""
        stack = self.memory_stack(start=False)
        stack.host.service("echo", exec=["/bin/cat"], description="gives back what it gets")
        stack.host.service("redis", connect="tcp:127.0.0.1:6379")
        stack.guest.service("uptime", exec=["/bin/cat"], description="d",
                            properties={"version": "1"})
        self.start(stack)
        self.create(stack.guest, **self.BUFFER)
        self.client(stack.host).good("register", service="clip", accept="fd")
        wait_until(lambda: all(daemon.ask("services")["remote"] and daemon.link()["peer"]
                               for daemon in stack.daemons), "each knows the other's services")
        for side, name in (("guest", "echo"), ("host", "uptime")):
            read_exactly(stack.open(name, b"x", side=side), 1)
        return stack

    def test_examples(self) -> None:
        stack = self.setting()
        clients = {daemon.kind: self.client(daemon) for daemon in stack.daemons}
        for request, documented in examples():
            with self.subTest(request=request):
                if "buffer" in request:
                    request = request | {"buffer": f"{VM}/clip"}
                answer = clients[documented["daemon"]].ask(request)
                self.assertEqual(shape(answer), shape(documented), f"the answer is {answer}")
                self.assertEqual(answer["version"], documented["version"])
        error = clients["guestmux"].ask({"verb": "vms"})
        self.assertIn(error, [read(text) for text in paragraphs()])

    def test_all_are_there(self) -> None:
        verbs = known_verbs()
        self.assertIn("status", verbs)
        self.assertEqual({request["verb"] for request, _ in examples()}, verbs)
        stack = self.stack()
        code, text = self.client(stack.host).error("nothing")
        self.assertEqual(code, "no-verb")
        for verb in verbs:
            self.assertRegex(text, rf"\b{verb}\b")

    def test_codes(self) -> None:
        """Each code of an error is in the table."""
        code = "".join((ROOT / "relay" / name).read_text() for name in ("verbs.c", "control.c"))
        codes = set(re.findall(r'mux_verb_error\(\s*"([a-z-]+)"', code))
        self.assertIn("bad-request", codes)
        text = (ROOT / "docs/control.md").read_text()
        for one in codes:
            self.assertIn(f"| `{one}` |", text)


class Events(DocsTest):
    def live(self) -> dict[str, Json]:
        """One of each kind, as the host tells it."""
        stack = self.memory_stack(start=False)
        stack.guest.service("cat", exec=["/bin/cat"])
        self.start(stack)
        client, registrant, deaf = (self.client(stack.host) for _ in range(3))
        for one in (client, deaf):
            one.good("events")
        came = self.channels(stack, registrant)
        for text in ("first", "second"):
            stack.host.service("file", exec=["/bin/cat"], description=text)
            stack.guest.service("cat", exec=["/bin/cat"], description=text)
            for daemon in stack.daemons:
                daemon.reload()
            wait_until(lambda: text in str(stack.host.ask("services")["remote"]),  # noqa: B023
                       "it is told")
        stack.host.service("clip", exec=["/bin/cat"])
        came.append(registrant.event("unregistered"))
        self.create(stack.guest, **self.BUFFER).set(rows="3")
        wait_until(lambda: "rows" in str(stack.host.ask("buffers")), "it is told")
        self.close_handles()
        before = stack.host.config.read_text()
        config = json.loads(before)
        config["vms"]["y"] = {"port": f"listen:{self.folder}/y"}
        for text in (json.dumps(config), before):
            stack.host.config.write_text(text)
            stack.host.reload()
        came += client.until("buffer-removed")
        stack.guest.stop()
        stack.guest.start()
        stack.wait_up()
        for n in range(3000):
            registrant.good("register", service="s", accept="fd", description="x" * 200)
            registrant.good("unregister", service="s")
            if n % 50 == 0:
                came += client.pending()
        came += deaf.until("lost")
        return {event["event"]: event for event in came}

    def channels(self, stack: Stack, registrant: Client) -> list[Json]:
        registrant.good("register", service="clip", accept="fd")
        app = stack.open("clip:primary")
        event, sock = registrant.channel()
        sock.close()
        self.assert_eof(app)
        app.close()
        self.assert_refused("no-service", stack, "nothing", "host")
        return [event]

    def test_examples(self) -> None:
        live, documented = self.live(), event_examples()
        self.assertEqual(sorted(live), sorted(documented))
        for kind, event in live.items():
            with self.subTest(event=kind):
                self.assertEqual(shape(event), shape(documented[kind]), f"it is {event}")

    def test_program(self) -> None:
        """The program that is shown runs as it is."""
        (code,) = re.findall(r"(    import json, socket\n(?:    .*\n|\n)+)",
                             (ROOT / "docs/control.md").read_text())
        stack = self.stack()
        text = "\n".join(line[4:] for line in code.splitlines())
        self.assertIn('"/run/guestmux.sock"', text)
        text = text.replace("/run/guestmux.sock", str(stack.guest.socket))
        process = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        wait_until(lambda: stack.guest.ask("services")["services"], "it has registered")
        for _ in range(3):
            said = stack.open("clip", side="host").makefile().readline()
            self.assertRegex(said, r"^hello \{'uid': \d+, 'gid': \d+, 'program': '.*'\}$")
        self.assertIn(VM, str(stack.host.ask("links")))


if __name__ == "__main__":
    unittest.main()
