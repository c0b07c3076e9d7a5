# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that knows nothing of guestmux: redis on the host, for programs in the guest, at a
socket that looks like its own."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import unittest
from pathlib import Path

from daemon import PATIENCE, wait_until
from parts import environment, part
from stack import Stack, StackTest

REQUESTS = 20000
CLIENTS = 20
PIPELINE = 16
TESTS = "ping_mbulk,set,get,incr,lpush,lrange_100"


class Redis(StackTest):
    def redis(self) -> Path:
        """Starts a redis that has a unix socket and nothing else."""
        path = self.folder / "test-redis"
        process = subprocess.Popen(
            [part("usr/bin/redis-server"), "--port", "0", "--unixsocket", str(path), "--dir",
             str(self.folder), "--save", "", "--daemonize", "no", "--logfile",
             str(self.folder / "redis.log")], env=environment(), stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        wait_until(path.exists, "redis listens")
        return path

    def exposed(self) -> tuple[Stack, Path]:
        """A stack, and redis's socket in the guest."""
        real, path = self.redis(), self.folder / "guest/redis.sock"
        stack = self.stack(start=False)
        stack.host.service("redis", connect=f"unix:{real}")
        stack.guest.config.write_text(json.dumps(
            {"expose": [{"socket": str(path), "service": "redis", "mode": "0600"}]}))
        return stack.start(), path

    def run_program(self, program: str, path: Path, *arguments: str, data: str = "") -> str:
        run = subprocess.run([part(f"usr/bin/{program}"), "-s", str(path), *arguments],
                             input=data, env=environment(), capture_output=True, text=True,
                             timeout=4 * PATIENCE, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        return run.stdout

    def test_cli(self) -> None:
        _, path = self.exposed()
        self.assertEqual(self.run_program("redis-cli", path, "PING"), "PONG\n")
        value = "".join(f"{n:08x}" for n in range(1 << 17))  # a megabyte
        self.assertEqual(self.run_program("redis-cli", path, "-x", "SET", "big", data=value),
                         "OK\n")
        self.assertEqual(self.run_program("redis-cli", path, "STRLEN", "big"), f"{len(value)}\n")
        self.assertEqual(self.run_program("redis-cli", path, "GET", "big"), value + "\n")

    def test_pipe(self) -> None:
        """Many requests in one go, counted at the end."""
        _, path = self.exposed()
        commands = "".join(f"SET key:{n} {n}\r\n" for n in range(REQUESTS))
        said = self.run_program("redis-cli", path, "--pipe", data=commands)
        self.assertIn(f"errors: 0, replies: {REQUESTS}\n", said)
        self.assertEqual(self.run_program("redis-cli", path, "DBSIZE"), f"{REQUESTS}\n")
        self.assertEqual(self.run_program("redis-cli", path, "GET", "key:777"), "777\n")

    def test_benchmark(self) -> None:
        """Clients at once, alone and with requests behind one another."""
        stack, path = self.exposed()
        for pipeline in (1, PIPELINE):
            said = self.run_program("redis-benchmark", path, "-n", str(REQUESTS), "-c",
                                    str(CLIENTS), "-P", str(pipeline), "-t", TESTS, "--csv")
            rates = re.findall(r'^"([^"]+)","([0-9.]+)"', said, re.MULTILINE)
            self.assertGreaterEqual(len(rates), len(TESTS.split(",")), said)
            for name, rate in rates:
                self.assertGreater(float(rate), 0, name)
        # INCR was sent so often, and has happened so often.
        counted = self.run_program("redis-cli", path, "GET", "counter:__rand_int__")
        self.assertEqual(counted, f"{2 * REQUESTS}\n")
        self.assertGreater(stack.guest.link()["opened"], 2 * CLIENTS)

    def test_subscriber(self) -> None:
        """Somebody who only listens, while others come and go."""
        _, path = self.exposed()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(path))
            sock.sendall(b"SUBSCRIBE news\r\n")
            self.assertTrue(sock.recv(100).endswith(b":1\r\n"))
            for n in range(10):
                self.assertEqual(self.run_program("redis-cli", path, "PUBLISH", "news", f"n{n}"),
                                 "1\n")
                self.assertEqual(sock.recv(100),
                                 b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nn%d\r\n" % n)


if __name__ == "__main__":
    unittest.main()
