# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Python module, blocking and with asyncio, on both sides of a stack."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from daemon import PATIENCE, wait_until
from stack import VM, Stack, StackTest, muxctl, read_exactly

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients" / "python"))
import guestmux  # noqa: E402
from guestmux import aio  # noqa: E402


class Module(StackTest):
    def setUp(self) -> None:
        super().setUp()
        self.before = len(os.listdir("/proc/self/fd"))
        # Cleanups run last first: this one looks when the stack's and the test's are done.
        self.addCleanup(self.check_descriptors)

    def check_descriptors(self) -> None:
        self.assertEqual(len(os.listdir("/proc/self/fd")), self.before, "descriptors are left")

    def start(self) -> Stack:
        stack = self.stack(start=False)
        stack.host.service("echo", exec=["/bin/cat"], description="gives back",
                           properties={"version": "2"})
        stack.guest.service("echo", exec=["/bin/cat"])
        return stack.start()


class Connect(Module):
    def test_both_sides(self) -> None:
        stack = self.start()
        for path, name in ((stack.guest.socket, "echo"), (stack.host.socket, f"{VM}/echo:x")):
            with guestmux.connect(name, socket=path, timeout=PATIENCE) as channel:
                self.assertIsNone(channel.gettimeout())
                self.assertFalse(channel.get_inheritable())
                channel.sendall(b"hello")
                channel.shutdown(socket.SHUT_WR)
                self.assertEqual(read_exactly(channel, 5), b"hello")
                self.assertEqual(channel.recv(1), b"")

    def test_environment(self) -> None:
        stack = self.start()
        os.environ["GUESTMUX_SOCKET"] = str(stack.guest.socket)
        self.addCleanup(os.environ.pop, "GUESTMUX_SOCKET")
        guestmux.connect("echo").close()

    def test_refused(self) -> None:
        stack = self.start()
        cases: list[tuple[str | bytes, str]] = [
            ("nothing", "no-service"), ("a b", "bad-name"), ("", "bad-name"),
            ("a\nb", "bad-name"), (b"\xff", "bad-name")]
        for name, code in cases:
            with self.assertRaises(guestmux.Refused) as caught:
                guestmux.connect(name, socket=stack.guest.socket)
            self.assertEqual(caught.exception.code, code)
            self.assertIn(code, str(caught.exception))

    def test_no_daemon(self) -> None:
        with self.assertRaises(FileNotFoundError):
            guestmux.connect("echo", socket=self.folder / "none")

    def test_timeout(self) -> None:
        stack = self.start()
        os.kill(stack.guest.pid, signal.SIGSTOP)
        try:
            with self.assertRaises(TimeoutError):
                guestmux.connect("echo", socket=stack.guest.socket, timeout=0.2)
            with self.assertRaises(TimeoutError):
                asyncio.run(aio.services(socket=stack.guest.socket, timeout=0.2))
        finally:
            os.kill(stack.guest.pid, signal.SIGCONT)


class Listen(Module):
    def test_both_sides(self) -> None:
        stack = self.start()
        sides = ((stack.host.socket, stack.guest.socket, "", VM),
                 (stack.guest.socket, stack.host.socket, f"{VM}/", "host"))
        for here, there, prefix, link in sides:
            with guestmux.listen("svc", description="d", properties={"k": "v"},
                                 socket=here) as listener:
                found = guestmux.wait(f"{prefix}svc", socket=there, timeout=PATIENCE)
                self.assertEqual((found.name, found.service, found.description),
                                 (f"{prefix}svc", "svc", "d"))
                self.assertEqual(found.properties, {"k": "v"})
                self.join(listener, there, f"{prefix}svc", link)
            self.gone(there, f"{prefix}svc")

    def gone(self, there: Path, name: str) -> None:
        wait_until(lambda: name not in {one.name for one in guestmux.services(socket=there)},
                   f"{name} is gone")
        with self.assertRaises(guestmux.Refused) as caught:
            guestmux.connect(name, socket=there)
        self.assertEqual(caught.exception.code, "no-service")

    def join(self, listener: guestmux.Listener, there: Path, name: str, link: str) -> None:
        with self.assertRaises(TimeoutError):
            listener.accept(0)
        with guestmux.connect(f"{name}:an argument", socket=there) as app:
            with listener.accept(PATIENCE) as channel:
                self.assertEqual((channel.service, channel.argument, channel.link),
                                 ("svc", "an argument", link))
                self.assertGreater(channel.id, 0)
                assert channel.caller is not None
                self.assertEqual((channel.caller.uid, channel.caller.gid),
                                 (os.getuid(), os.getgid()))
                comm = Path("/proc/self/comm").read_text().strip()
                self.assertEqual(channel.caller.program, comm)
                self.assertFalse(channel.socket.get_inheritable())
                app.sendall(b"to")
                self.assertEqual(read_exactly(channel.socket, 2), b"to")
                channel.socket.sendall(b"fro")
            self.assertEqual(read_exactly(app, 3), b"fro")
            self.assertEqual(app.recv(1), b"")

    def test_argument_of_any_bytes(self) -> None:
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket) as listener:
            name = b"svc:\xff\x01\xc3\xa4"
            with guestmux.connect(name, socket=stack.guest.socket):
                with listener.accept(PATIENCE) as channel:
                    self.assertEqual(os.fsencode(channel.argument), name[4:])

    def test_many_channels(self) -> None:
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket) as listener:
            apps = [guestmux.connect(f"svc:{n}", socket=stack.guest.socket) for n in range(20)]
            for app, channel in zip(apps, listener):
                channel.socket.sendall(channel.argument.encode())
                channel.close()
            for n, app in enumerate(apps):
                with app:
                    self.assertEqual(app.recv(10), str(n).encode())

    def test_refused(self) -> None:
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket):
            for name, code in (("svc", "taken"), ("a b", "bad-request")):
                with self.assertRaises(guestmux.Refused) as caught:
                    guestmux.listen(name, socket=stack.host.socket)
                self.assertEqual(caught.exception.code, code, str(caught.exception))

    def test_a_file_takes_the_name(self) -> None:
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket) as listener:
            stack.host.service("svc", exec=["/bin/cat"])
            with self.assertRaises(guestmux.Refused) as caught:
                listener.accept(PATIENCE)
            self.assertEqual(caught.exception.code, "unregistered")
            self.assertTrue(caught.exception.text)

    def test_the_daemon_ends(self) -> None:
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket) as listener:
            stack.host.kill()
            with self.assertRaises(ConnectionError):
                listener.accept(PATIENCE)
        stack.host.start()  # it takes its predecessor's socket away
        stack.wait_up()


class Discover(Module):
    def test_services(self) -> None:
        stack = self.start()
        guestmux.wait("echo", socket=stack.guest.socket, timeout=PATIENCE)
        found = guestmux.services(socket=stack.guest.socket)
        self.assertEqual(found, [guestmux.Service("echo", "host", "echo", "gives back",
                                                  {"version": "2"})])
        guestmux.wait(f"{VM}/echo:x", socket=stack.host.socket, timeout=PATIENCE)
        self.assertEqual([one.name for one in guestmux.services(socket=stack.host.socket)],
                         [f"{VM}/echo"])

    def test_wait_in_vain(self) -> None:
        stack = self.start()
        before = time.monotonic()
        with self.assertRaises(TimeoutError):
            guestmux.wait("svc", socket=stack.guest.socket, timeout=0.2)
        self.assertGreaterEqual(time.monotonic() - before, 0.2)

    def test_wait_on_the_other_side(self) -> None:
        """A name of the other daemon's kind can never be there: muxctl and the module say so."""
        stack = self.start()
        for daemon, name in ((stack.guest, f"{VM}/svc"), (stack.host, "svc")):
            with self.assertRaises(guestmux.Refused) as caught:
                guestmux.wait(name, socket=daemon.socket, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, "bad-name")
            self.assertEqual(muxctl(daemon, "wait", name).returncode, 17)

    def test_wait_for_no_name(self) -> None:
        """What is no name is not waited for."""
        stack = self.start()
        for name in ("", ".x", "-x", "bad name", "a\nb", "@control", "x" * 129, f"{VM}/", "/x"):
            with self.assertRaises(guestmux.Refused, msg=name) as caught:
                guestmux.wait(name, socket=stack.host.socket, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, "bad-name")
            self.assertEqual(muxctl(stack.host, "wait", "--", name).returncode, 17)

    def test_wait_first(self) -> None:
        stack = self.start()
        found: list[guestmux.Service] = []
        waiter = threading.Thread(target=lambda: found.append(
            guestmux.wait("late", socket=stack.guest.socket, timeout=PATIENCE)))
        waiter.start()
        time.sleep(0.1)  # it should be waiting; nothing is wrong if it is not
        with guestmux.listen("late", properties={"n": "1"}, socket=stack.host.socket):
            waiter.join()
        self.assertEqual(found[0].properties, {"n": "1"})

    def test_events(self) -> None:
        stack = self.start()
        with guestmux.events(socket=stack.guest.socket) as events:
            with guestmux.listen("svc", socket=stack.host.socket) as listener:
                added = events.next(PATIENCE)
                self.assertEqual(added.kind, "service-added")
                assert added.service is not None
                self.assertEqual(added.service.name, "svc")
                with guestmux.connect("svc:x", socket=stack.guest.socket):
                    listener.accept(PATIENCE).close()
                opened = events.next(PATIENCE)
                self.assertEqual((opened.kind, opened.link, opened["direction"]),
                                 ("channel-opened", "host", "out"))
                assert opened.caller is not None
                self.assertEqual(opened.caller.uid, os.getuid())
                self.assertEqual(events.next(PATIENCE).kind, "channel-closed")
            self.assertEqual(events.next(PATIENCE).kind, "service-removed")
            with self.assertRaises(TimeoutError):
                events.next(0)

    def test_events_of_a_link(self) -> None:
        stack = self.start()
        with guestmux.events("links", socket=stack.guest.socket) as events:
            stack.host.stop()
            self.assertEqual(events.next(PATIENCE).kind, "link-down")
            stack.host.start()
            up = events.next(PATIENCE)
            self.assertEqual((up.kind, up["peer"]["daemon"]), ("link-up", "hostmux"))
            stack.wait_up()
            stack.guest.kill()
            self.assertEqual(list(events), [])
        stack.guest.start()
        stack.wait_up()


class Asyncio(Module):
    def test_all(self) -> None:
        asyncio.run(asyncio.wait_for(self.all(self.start()), PATIENCE * 2))

    async def all(self, stack: Stack) -> None:
        guest, host = stack.guest.socket, stack.host.socket
        waiting = asyncio.create_task(aio.wait("svc", socket=guest))
        async with await aio.events("services", socket=guest) as events, \
                await aio.listen("svc", socket=host) as listener:
            serving = asyncio.create_task(self.shout(listener))
            self.assertEqual((await waiting).link, "host")
            async for event in events:
                if event.service and event.service.name == "svc":
                    break
            said = await asyncio.gather(*(self.talk(guest, f"svc:{n}") for n in range(10)))
            self.assertEqual(said, [f"HELLO {n}".encode() for n in range(10)])
            found = await aio.services(socket=guest)
            self.assertEqual(sorted(one.name for one in found), ["echo", "svc"])
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        with self.assertRaises(aio.Refused):
            await aio.connect("svc", socket=guest)
        # It is the host that refuses; the guest hears a little later that there is none any more.
        while "svc" in [one.name for one in await aio.services(socket=guest)]:
            await asyncio.sleep(0.01)
        with self.assertRaises(TimeoutError):
            await aio.wait("svc", socket=guest, timeout=0.1)

    async def shout(self, listener: aio.Listener) -> None:
        async for channel in listener:
            said = await channel.reader.read()
            channel.writer.write(said.upper() + b" " + channel.argument.encode())
            channel.writer.close()
            await channel.writer.wait_closed()

    async def talk(self, path: Path, name: str) -> bytes:
        reader, writer = await aio.connect(name, socket=path)
        writer.write(b"hello")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    def test_cancelled(self) -> None:
        """A call that is given up leaves nothing behind."""
        async def give_up(path: Path) -> None:
            async with await aio.listen("svc", socket=path) as listener:
                for call in (listener.accept(), aio.wait(f"{VM}/svc2", socket=path)):
                    task = asyncio.create_task(call)
                    await asyncio.sleep(0.05)
                    task.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await task
        asyncio.run(give_up(self.start().host.socket))


class Fake(Module):
    """A daemon that says what it should not."""

    def play(self, answer: bytes, fds: tuple[int, ...] = (), *, after: bytes = b"") -> Path:
        path = self.folder / f"test-fake-{time.monotonic_ns()}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen()

        def run() -> None:
            with listening, listening.accept()[0] as client:
                client.recv(100)
                client.sendall(b"OK\n")
                client.recv(1000)
                with contextlib.suppress(ConnectionError):  # the module had enough of it
                    client.sendall(answer)
                    if after:
                        socket.send_fds(client, [after], list(fds))
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1000):
                        pass

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return path

    def test_nonsense(self) -> None:
        for answer in (b"", b"x\n", b"[]\n", b'{"ok":false}\n', b'{"ok":false,"error":1}\n',
                       b"\xff\n", b"[" * 100000 + b"\n", b"{" + b" " * (1 << 19) + b"}\n"):
            with self.assertRaises(ConnectionError):
                guestmux.listen("svc", socket=self.play(answer))

    def test_odd_services(self) -> None:
        remote: list[object] = [
            1, None, {}, {"name": "a"}, {"name": 1, "link": "b", "service": "c"},
            {"name": "a", "link": "b", "service": "c", "properties": [1]},
            {"name": "d", "link": "b", "service": "c", "properties": {"x": 1, "y": "z"}}]
        answer = json.dumps({"ok": True, "remote": remote}).encode() + b"\n"
        self.assertEqual(guestmux.services(socket=self.play(answer)),
                         [guestmux.Service("a", "b", "c"),
                          guestmux.Service("d", "b", "c", "", {"y": "z"})])

    def test_a_storm_of_events(self) -> None:
        """A time limit holds, though there is always something to read."""
        storm = b'{"event":"service-changed"}\n' * 2_000_000
        calls: list[Callable[[Path], object]] = [
            lambda path: guestmux.wait("svc", socket=path, timeout=0.2),
            lambda path: asyncio.run(aio.wait("svc", socket=path, timeout=0.2))]
        for call in calls:
            path = self.play(b'{"ok":true}\n{"ok":true,"remote":[]}\n' + storm)
            before = time.monotonic()
            with self.assertRaises(TimeoutError):
                call(path)
            self.assertLess(time.monotonic() - before, PATIENCE / 2)

    def test_surplus_descriptors(self) -> None:
        line = b'{"event":"channel","service":"s","link":"l","id":1}\n'
        pair = socket.socketpair()
        numbers = (pair[0].fileno(), pair[1].fileno(), 0, 1)
        for event, fds, good in ((line, numbers, True), (line, (), False), (line, (0,), False),
                                 (b'{"event":"x"}\n' + line, numbers, False),
                                 (b'{"event":"channel"}\n', numbers, False)):
            path = self.play(b'{"ok":true}\n', fds, after=event)
            with guestmux.listen("s", socket=path) as listener:
                if good:
                    listener.accept(PATIENCE).close()
                else:
                    with self.assertRaises(ConnectionError):
                        listener.accept(PATIENCE)
        for sock in pair:
            sock.close()

    def test_no_number_left(self) -> None:
        """That a process has no descriptor left costs it that channel, and no other."""
        import resource
        stack = self.start()
        with guestmux.listen("svc", socket=stack.host.socket) as listener:
            lost = guestmux.connect("svc", socket=stack.guest.socket)
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            wait_until(lambda: self.readable(listener), "the channel is there")
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                with self.assertRaises(OSError) as caught:
                    listener.accept(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            self.assertEqual(caught.exception.strerror, os.strerror(24))
            with lost:
                self.assertEqual(lost.recv(1), b"")
            with guestmux.connect("svc", socket=stack.guest.socket):
                listener.accept(PATIENCE).close()

    def readable(self, listener: guestmux.Listener) -> bool:
        import select
        return bool(select.select([listener], [], [], 0)[0])


if __name__ == "__main__":
    unittest.main()
