# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who calls, and for what: how a handler is told, whichever kind of handler it is."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import socket
import struct
import unittest
from pathlib import Path

from client import Client
from daemon import Daemon, Json, read_line, wait_until
from stack import VM, Listener, Stack, StackTest, read_exactly, read_to_end
from user import GID, UID, needs_root, talk

SIDES = ("guest", "host")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Any bytes but the two that end a name; not UTF-8.
RAW = bytes(n for n in range(256) if n not in (0, 10))
ARGUMENT_MAX = 1024
HEADER_MAX = 256  # with the JSON; lighttpd takes no more


def vm_address(vm: str, uid: int) -> str:
    """The address that stands for a VM's user."""
    return str(ipaddress.IPv6Address(b"\xfdmux" + hashlib.sha256(vm.encode()).digest()[:8]
                                     + struct.pack("!I", uid)))


def read_proxy(sock: socket.socket) -> tuple[str, int, dict[int, bytes]]:
    """Source's address and port, and TLVs, read as section 2.2 of the PROXY protocol has it."""
    signature, version, family, length = struct.unpack("!12sBBH", read_exactly(sock, 16))
    assert signature == SIGNATURE
    assert version == 0x21, "version 2, PROXY"
    assert family == 0x21, "AF_INET6, SOCK_STREAM"
    rest = read_exactly(sock, length)
    source, destination, port, to_port = struct.unpack("!16s16sHH", rest[:36])
    assert str(ipaddress.IPv6Address(destination)) == vm_address("", 0) and to_port == 0
    tlvs: dict[int, bytes] = {}
    rest = rest[36:]
    while rest:
        kind, size = struct.unpack("!BH", rest[:3])
        assert len(rest) >= 3 + size and kind not in tlvs
        tlvs[kind] = rest[3:3 + size]
        rest = rest[3 + size:]
    if 0xE0 in tlvs:
        assert 16 + length <= HEADER_MAX
    return str(ipaddress.IPv6Address(source)), port, tlvs


class CallerTest(StackTest):
    def other(self, stack: Stack, side: str) -> tuple[Daemon, str]:
        """Where the services are that this side opens, and what its link is named there."""
        return (stack.host, VM) if side == "guest" else (stack.guest, "host")

    def path(self, stack: Stack, side: str) -> tuple[Path, bytes]:
        """This side's socket, and what stands before a name there."""
        return ((stack.guest.socket, b"") if side == "guest" else
                (stack.host.socket, f"{VM}/".encode()))

    def me(self) -> Json:
        program = Path("/proc/self/comm").read_text().strip()
        return {"uid": os.geteuid(), "gid": os.getegid(), "program": program}

    def describe(self, stack: Stack, side: str, service: str, argument: bytes,
                 number: int) -> Json:
        """What the handler is to be told when this process calls."""
        try:
            shown = {"argument": argument.decode()}
        except UnicodeDecodeError:
            shown = {"argument_base64": base64.b64encode(argument).decode()}
        return {"service": service, **shown, "link": self.other(stack, side)[1], "id": number,
                "caller": self.me()}

    def number(self, stack: Stack, side: str) -> int:
        """The id of the only channel."""
        (channel,) = self.other(stack, side)[0].channels()
        return int(channel["id"])


class Environment(CallerTest):
    SHELL = ["/bin/sh", "-c", "env -0; cat"]

    def parse(self, said: bytes) -> dict[bytes, bytes]:
        pairs = [word.split(b"=", 1) for word in said.split(b"\0") if b"=" in word]
        ours = {key for key in os.environb if key.startswith(b"GUESTMUX_")}  # the test's own
        return {key[9:]: value for key, value in pairs
                if key.startswith(b"GUESTMUX_") and key not in ours}

    def test_environment(self) -> None:
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("env", exec=self.SHELL)
        stack.start()
        for side in SIDES:
            _, link = self.other(stack, side)
            for argument in (None, b"", b"one two", b"a:b", RAW, b"x" * ARGUMENT_MAX):
                name = b"env" if argument is None else b"env:" + argument
                app = stack.open(name, side=side)
                number = self.number(stack, side)
                app.shutdown(socket.SHUT_WR)
                me = self.me()
                self.assertEqual(self.parse(read_to_end(app)), {
                    b"SERVICE": b"env", b"ARGUMENT": argument or b"", b"LINK": link.encode(),
                    b"CHANNEL": b"%d" % number, b"UID": b"%d" % me["uid"],
                    b"GID": b"%d" % me["gid"], b"PROGRAM": me["program"].encode()})
                app.close()
                stack.check_settled()

    @needs_root
    def test_another_user(self) -> None:
        """A process of his own, with each way to open; what it writes at once comes as it was."""
        self.folder.chmod(0o755)
        stack = self.stack(start=False)
        for daemon in stack.daemons:
            daemon.service("env", exec=self.SHELL)
        stack.start()
        for side in SIDES:
            path, prefix = self.path(stack, side)
            for before, end, answer in ((b"", b"\n", b"OK\n"), (b"", b"\0", b""),
                                        (b"CONNECT ", b"\n", b"OK ")):
                said = talk(path, before + prefix + b"env" + end + b"\0data", UID, GID, [7])
                self.assertTrue(said.startswith(answer), said)
                self.assertTrue(said.endswith(b"\0data"), said)
                told = self.parse(said[said.find(b"\n") * bool(answer):])
                self.assertEqual((told[b"UID"], told[b"GID"]), (b"%d" % UID, b"%d" % GID))
                if before:
                    self.assertEqual(said.split(b"\n")[0], b"OK " + told[b"CHANNEL"])


class Preamble(CallerTest):
    ARGUMENTS = (b"", b"one two", 'a:b "ü" \\ \x01\x7f\u2028'.encode(), RAW,
                 b"\x01" * ARGUMENT_MAX, b"\xff" * ARGUMENT_MAX)

    def listeners(self, stack: Stack, preamble: str, side: str) -> list[Listener]:
        """Handlers that connect services have: a unix socket and TCP, named s0 and s1."""
        listeners = [self.listener(), self.listener(socket.AF_INET)]
        for n, listener in enumerate(listeners):
            self.other(stack, side)[0].service(f"s{n}", connect=listener.connect,
                                               preamble=preamble)
        return listeners

    def test_json(self) -> None:
        """A line comes first, also when the app wrote with the name; nothing else is touched."""
        stack = self.stack(start=False)
        found = {side: self.listeners(stack, "json", side) for side in SIDES}
        stack.start()
        for side, listeners in found.items():
            for n, listener in enumerate(listeners):
                for argument in self.ARGUMENTS:
                    data = b"\n{}\0" + argument
                    app, peer = stack.join(listener, b"s%d:%s" % (n, argument), data, side)
                    number = self.number(stack, side)
                    line = read_line(peer)
                    self.assertLess(len(line), 8192)
                    self.assertEqual(json.loads(line),
                                     self.describe(stack, side, f"s{n}", argument, number))
                    self.assertEqual(read_exactly(peer, len(data)), data)
                    peer.sendall(b"reply")
                    self.assertEqual(read_exactly(app, 5), b"reply")
                    app.close()
                    peer.close()
                    stack.check_settled()

    def test_proxy(self) -> None:
        stack = self.stack(start=False)
        found = {side: self.listeners(stack, "proxy-v2", side) for side in SIDES}
        stack.start()
        for side, listeners in found.items():
            _, link = self.other(stack, side)
            for n, listener in enumerate(listeners):
                for argument in self.ARGUMENTS:
                    name = b"s%d:%s" % (n, argument)
                    app, peer = stack.join(listener, name, b"data", side)
                    number = self.number(stack, side)
                    source, port, tlvs = read_proxy(peer)
                    self.assertEqual(source, vm_address(link, os.geteuid()))
                    self.assertEqual(port, number)
                    self.assertEqual(tlvs[0x02], name)
                    self.assertEqual(set(tlvs), {0x02, 0xE0} if len(argument) < 30 else {0x02})
                    if 0xE0 in tlvs:
                        self.assertEqual(json.loads(tlvs[0xE0]),
                                         self.describe(stack, side, f"s{n}", argument, number))
                        self.assertNotIn(b"\n", tlvs[0xE0])
                    self.assertEqual(read_exactly(peer, 4), b"data")
                    app.close()
                    peer.close()
                    stack.check_settled()

    def test_exec(self) -> None:
        """It is on standard input; a program that ends without a look at it was heard."""
        stack = self.stack(start=False)
        stack.host.service("cat", exec=["/bin/cat"], preamble="json")
        stack.host.service("echo", exec=["/bin/echo", "hello"], preamble="proxy-v2")
        stack.start()
        app = stack.open("cat:x", b"data")
        number = self.number(stack, "guest")
        self.assertEqual(json.loads(read_line(app)),
                         self.describe(stack, "guest", "cat", b"x", number))
        self.assertEqual(read_exactly(app, 4), b"data")
        for _ in range(50):
            self.assertEqual(read_to_end(stack.open("echo")), b"hello\n")

    def test_handler_does_not_read(self) -> None:
        """The channel opens all the same."""
        stack = self.stack(start=False)
        found = self.listeners(stack, "proxy-v2", "guest")
        stack.start()
        for n in range(2):
            apps = [stack.open(b"s%d:%s" % (n, RAW * 4), b"x" * 1000) for _ in range(20)]
            for app in apps:
                peer = found[n].accept()
                _, _, tlvs = read_proxy(peer)
                self.assertEqual(read_exactly(peer, 1000), b"x" * 1000)
                app.close()


class Registrants(CallerTest):
    def test_event(self) -> None:
        """The event has the same fields; a preamble comes on the descriptor besides."""
        stack = self.stack()
        for side in SIDES:
            daemon, _ = self.other(stack, side)
            client = Client(daemon.socket)
            self.addCleanup(client.close)
            client.good("register", service="none", accept="fd")
            client.good("register", service="json", accept="fd", preamble="json")
            for service in ("none", "json"):
                for argument in (b"", b"one two", RAW, b"\x01" * ARGUMENT_MAX):
                    app = stack.open(service.encode() + b":" + argument, b"data", side=side)
                    number = self.number(stack, side)
                    event, sock = client.channel()
                    told = self.describe(stack, side, service, argument, number)
                    self.assertEqual(event, {"event": "channel", **told})
                    if service == "json":
                        self.assertEqual(json.loads(read_line(sock)), told)
                    self.assertEqual(read_exactly(sock, 4), b"data")
                    app.close()
                    sock.close()
                    wait_until(lambda: not any(d.channels() for d in stack.daemons), "it ends")

    @needs_root
    def test_another_user(self) -> None:
        self.folder.chmod(0o755)
        stack = self.stack()
        client = Client(stack.host.socket)
        self.addCleanup(client.close)
        client.good("register", service="clip", accept="fd")
        self.assertEqual(talk(stack.guest.socket, b"nobody\n", UID)[:14], b"ERR no-service")
        child = os.fork()
        if child == 0:
            said = talk(stack.guest.socket, b"clip\nhello", UID)
            os._exit(said != b"OK\nworld")
        event, sock = client.channel()
        self.assertEqual((event["caller"]["uid"], event["caller"]["gid"]), (UID, GID))
        shown = [daemon.channels()[0]["caller"] for daemon in stack.daemons]
        self.assertEqual(shown, [event["caller"]] * 2, "status shows the same on both sides")
        self.assertEqual(read_exactly(sock, 5), b"hello")
        sock.sendall(b"world")
        sock.close()
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        wait_until(lambda: not stack.host.channels(), "it is closed")


if __name__ == "__main__":
    unittest.main()
