# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Much at once: 64 MiB each way, readers that never read beside a hundred that do, and memory."""

from __future__ import annotations

import json
import select
import socket
import time
import unittest

from daemon import PATIENCE, SANITIZED, Daemon, wait_until
from stack import VM, Stack, StackTest, read_to_end
from traffic import Receiver, Sender, echo_all, pattern

BUDGET = 8 << 20
MARGIN = 6 << 20  # buffers of the session, allocator, code that is paged in
BUSY = 100


class Bulk(StackTest):
    def test_64_mib_each_way(self) -> None:
        """At the same time, over one channel, with the checksums of both directions."""
        size = 64 << 20
        stack = self.stack(start=False)
        listener = self.serve(stack)
        stack.start()
        app, peer = stack.join(listener, "svc")
        begin = time.monotonic()
        senders = [Sender(app, size, 1), Sender(peer, size, 2)]
        receivers = [Receiver(peer), Receiver(app)]
        for thread in (*senders, *receivers):
            thread.join(4 * PATIENCE)
            self.assertFalse(thread.is_alive(), "it takes too long")
        took = time.monotonic() - begin
        for sender, receiver in zip(senders, receivers):
            self.assertEqual((sender.error, receiver.error), (None, None))
            self.assertEqual(receiver.size, size)
            self.assertEqual(receiver.digest, sender.digest)
        print(f"64 MiB each way at once: {2 * size / took / 1e6:.0f} MB/s")
        stack.check_settled()
        for daemon in stack.daemons:
            link = daemon.link()
            self.assertGreater(link["session"]["received"], size)
            self.assertEqual(link["lost_steps"], 0)

    def test_both_sides_open(self) -> None:
        """Channels of both directions share the link, each with its own bytes."""
        stack = self.stack(start=False)
        echo = self.echo()
        for daemon in stack.daemons:
            daemon.service("echo", connect=echo)
        stack.start()
        pairs = [(stack.open("echo", side=side), pattern(n, 100_000 + n))
                 for n in range(50) for side in ("guest", "host")]
        echo_all(pairs, 2 * PATIENCE)


class NeverRead(StackTest):
    """One that nobody reads costs the others nothing, and no more memory than was granted."""

    def start(self) -> Stack:
        stack = self.stack(start=False)
        self.stuck = self.serve(stack, "stuck")
        echo = self.echo()
        stack.host.service("echo", connect=echo)
        for daemon in stack.daemons:
            daemon.config.write_text(json.dumps({"limits": {"channels": 1024,
                                                            "budget_bytes": BUDGET}}))
        return stack.start()

    def run_busy(self, stack: Stack) -> None:
        echo_all([(stack.open("echo"), pattern(n, 200_000)) for n in range(BUSY)], 2 * PATIENCE)

    def check_memory(self, before: dict[Daemon, int]) -> None:
        for daemon, was in before.items():
            grown = daemon.memory() - was
            print(f"{daemon.name} grew by {grown >> 10} KiB; its budget is {BUDGET >> 10} KiB")
            if not SANITIZED:
                self.assertLess(grown, BUDGET + MARGIN)

    def fill(self, writers: list[socket.socket]) -> int:
        """Writes to all until none takes any more; how much that was."""
        sent = 0
        for sock in writers:
            sock.setblocking(False)
        idle = time.monotonic()
        while time.monotonic() - idle < 0.3:  # no more room for so long: they are full
            _, ready, _ = select.select([], writers, [], 0.05)
            for sock in ready:
                try:
                    sent += sock.send(b"u" * 65536)
                    idle = time.monotonic()
                except BlockingIOError:
                    pass
        return sent

    def test_handlers(self) -> None:
        stack = self.start()
        before = {daemon: daemon.memory() for daemon in stack.daemons}
        pairs = [stack.join(self.stuck, "stuck") for _ in range(20)]
        self.fill([app for app, _ in pairs])
        self.run_busy(stack)
        self.check_memory(before)
        stuck = [c for c in stack.host.channels() if c["service"] == "stuck"]
        self.assertEqual(len(stuck), 20)
        for channel in stuck:
            self.assertGreater(channel["unread"], 0)
            self.assertEqual(channel["direction"], "in")
            self.assertEqual(channel["state"], "open")
        self.assertLessEqual(sum(channel["unread"] for channel in stuck), BUDGET)
        self.assertLessEqual(stack.host.link(VM)["session"]["budget_used"], BUDGET)
        for channel in stack.guest.channels():
            if channel["service"] == "stuck":
                self.assertEqual((channel["credit"], channel["direction"]), (0, "out"))

    def test_apps(self) -> None:
        stack = self.start()
        before = {daemon: daemon.memory() for daemon in stack.daemons}
        pairs = [stack.join(self.stuck, "stuck") for _ in range(20)]
        sent = self.fill([peer for _, peer in pairs])
        self.run_busy(stack)
        self.check_memory(before)
        stuck = [c for c in stack.guest.channels() if c["service"] == "stuck"]
        self.assertEqual(len(stuck), 20)
        for channel in stuck:
            self.assertGreater(channel["unread"], 0)
        # It was only waiting: whoever reads at last gets all of it.
        for _, peer in pairs:
            peer.settimeout(PATIENCE)
            peer.shutdown(socket.SHUT_WR)
        got = 0
        for app, _ in pairs:
            got += len(read_to_end(app))
        self.assertEqual(got, sent)

    def test_memory_comes_back(self) -> None:
        """What was held for the stuck is free once they are gone."""
        stack = self.start()
        self.run_busy(stack)
        stack.close_apps()
        stack.check_settled()
        before = {daemon: daemon.memory() for daemon in stack.daemons}
        # What the daemons' own channel has of it.
        used = {daemon: daemon.link()["session"]["budget_used"] for daemon in stack.daemons}
        for _ in range(3):
            pairs = [stack.join(self.stuck, "stuck") for _ in range(20)]
            self.fill([app for app, _ in pairs])
            for app, peer in pairs:
                peer.close()
                app.close()
            stack.close_apps()
            stack.check_settled()
        for daemon, was in before.items():
            wait_until(lambda d=daemon: (  # type: ignore[misc]
                d.link()["session"]["budget_used"] <= used[d]), "the budget is free")
            if not SANITIZED:
                self.assertLess(daemon.memory() - was, BUDGET + MARGIN)

    def test_victim_latency(self) -> None:
        """A small question beside bulk and stuck ones is answered soon."""
        stack = self.start()
        bulk_app, bulk_peer = stack.join(self.stuck, "stuck")
        stuck = [stack.join(self.stuck, "stuck") for _ in range(5)]
        self.fill([app for app, _ in stuck])
        sender, receiver = Sender(bulk_app, 256 << 20, 1), Receiver(bulk_peer)
        question = stack.open("echo")
        times = []
        for n in range(100):
            begin = time.monotonic()
            question.sendall(b"%3d" % n)
            self.assertEqual(question.recv(3), b"%3d" % n)
            times.append(time.monotonic() - begin)
        times.sort()
        print(f"questions beside bulk: median {times[50] * 1e3:.2f} ms, worst "
              f"{times[-1] * 1e3:.2f} ms, bulk still running: {sender.is_alive()}")
        self.assertLess(times[50], 0.1 if SANITIZED else 0.05)
        bulk_app.close()
        bulk_peer.close()
        sender.join(PATIENCE)
        receiver.join(PATIENCE)


if __name__ == "__main__":
    unittest.main()
