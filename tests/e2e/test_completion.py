# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion of muxctl's command line in bash, and in zsh if that is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unittest

from daemon import BIN, PATIENCE, wait_until
from fake_buffers import FakeDaemon, listed
from running import RunningTest
from stack import HERE, VM, Stack
from terminal import Terminal

FOLDER = HERE.parent.parent / "clients" / "muxctl" / "completions"
BASH, ZSH = FOLDER / "muxctl.bash", FOLDER / "_muxctl"
COMMANDS = ("connect", "listen", "services", "wait", "buffer", "status", "top", "events", "vms")
BUFFER_COMMANDS = ("list", "create", "show", "cat", "fill", "notify", "wait", "watch", "set",
                   "release")

# As readline splits: at spaces, and at "=" and ":".
ASK = """
source "$0"
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
_muxctl muxctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def complete(*words: str) -> list[str]:
    """What bash would offer for the last word."""
    run = subprocess.run(["bash", "--norc", "-c", ASK, str(BASH), "muxctl", *words],
                         capture_output=True, timeout=PATIENCE, check=True, env=environment())
    assert run.stderr == b"", run.stderr
    return sorted(run.stdout.decode().split())


def options(command: str) -> list[str]:
    """What its --help has."""
    text = subprocess.run([BIN / "muxctl", *command.split(), "--help"], capture_output=True,
                          timeout=PATIENCE, check=True).stdout.decode()
    return sorted(re.findall(r"(?m)^  (?:-h, )?(--[a-z-]+)", text))


class Words(unittest.TestCase):
    def test_commands(self) -> None:
        self.assertEqual(complete(""), sorted(COMMANDS))
        self.assertEqual(complete("s"), ["services", "status"])
        self.assertEqual(complete("--socket", "x", "ev"), ["events"])
        self.assertEqual(complete("--socket", "=", "x", "--json", "ev"), ["events"])
        self.assertEqual(self.shown("--help"), sorted(COMMANDS))

    def test_buffer_commands(self) -> None:
        self.assertEqual(complete("buffer", ""), sorted(BUFFER_COMMANDS))
        self.assertEqual(complete("--socket", "=", "x", "buffer", "--json", "s"), ["set", "show"])
        self.assertEqual(self.shown("buffer", "--help"), sorted(BUFFER_COMMANDS))

    @staticmethod
    def shown(*arguments: str) -> list[str]:
        """The commands that the help has."""
        text = subprocess.run([BIN / "muxctl", *arguments], capture_output=True, timeout=PATIENCE,
                              check=True).stdout.decode()
        return sorted(re.findall(r"(?m)^  ([a-z]+)(?: .*)?  \S", text.split("Commands:")[1]))

    def test_options(self) -> None:
        """Those that there are, and no others; in both shells."""
        below = [f"buffer {command}" for command in BUFFER_COMMANDS]
        for command in ("", *COMMANDS, *below):
            self.assertEqual(complete(*command.split(), "--"), options(command), command)
        _, buffer, main = ZSH.read_text().split("case $words[1]")
        expected = {command: options(command) for command in COMMANDS if command != "buffer"}
        found = self.in_zsh(main)
        del found["buffer"]  # whose own are in the function that it calls
        self.assertEqual(found, expected)
        self.assertEqual(self.in_zsh(buffer.split("esac")[0]),
                         {command: options(f"buffer {command}") for command in BUFFER_COMMANDS})

    @staticmethod
    def in_zsh(text: str) -> dict[str, list[str]]:
        arms = re.split(r"(?m)^    ([a-z |]+)\)$", text)
        shared = ["--help", "--socket"]
        found = {}
        for names, arm in zip(arms[1::2], arms[2::2], strict=True):
            known = shared + re.findall(r"'\*?(--[a-z-]+)", arm) + ["--json"] * ("$json" in arm)
            found.update({name: sorted(known) for name in names.split(" | ")})
        return found

    def test_values(self) -> None:
        self.assertEqual(complete("events", "--only", "l"), ["links"])
        self.assertEqual(complete("events", "--only", "=", "l"), ["links"])
        self.assertEqual(complete("events", "--only", "="), ["buffers", "channels", "links",
                                                               "services"])
        self.assertEqual(complete("buffer", "create", "x", "--read-only-for", ""),
                         ["guest", "host"])
        self.assertEqual(complete("buffer", "create", "x", "--size", ""), [])
        self.assertEqual(complete("buffer", "create", ""), [])
        self.assertIn("basename", complete("buffer", "create", "x", "--", "basena"))
        self.assertEqual(complete("listen", "x", "--vms", ""), [])
        self.assertEqual(complete("connect", "--timeout", ""), [])
        self.assertIn("basename", complete("listen", "x", "--", "basena"))
        self.assertEqual(complete("--socket", "/et"), ["/etc"])
        self.assertEqual(complete("--socket", "=", "/et"), ["/etc"])

    def test_no_daemon(self) -> None:
        self.assertEqual(complete("--socket", "/nonexistent", "connect", ""), [])


class Names(RunningTest):
    def start(self) -> Stack:
        stack = self.stack(start=False)
        for name in ("alpha", "alps", "beta"):
            stack.host.service(name, exec=["/bin/cat"])
        stack.guest.service("uptime", exec=["/bin/cat"])
        stack.start()
        wait_until(lambda: len(self.names(stack.guest)) == 3 and self.names(stack.host),
                   "all are announced")
        return stack

    def test_names(self) -> None:
        stack = self.start()
        guest, host = (str(daemon.socket) for daemon in stack.daemons)
        for command in ("connect", "wait"):
            self.assertEqual(complete("--socket", guest, command, ""), ["alpha", "alps", "beta"])
            self.assertEqual(complete("--socket", "=", guest, command, "al"), ["alpha", "alps"])
            self.assertEqual(complete("--socket", host, command, VM), [f"{VM}/uptime"])
            self.assertEqual(complete(command, "--socket", guest, "b"), ["beta"])
        for command in ("listen", "status"):
            self.assertEqual(complete("--socket", guest, command, ""), [])

    def test_buffers(self) -> None:
        fake = FakeDaemon(self.folder / "fake.sock")
        self.addCleanup(fake.close)
        fake.answers["buffers"] = {"buffers": [listed("clip"), listed("clap"), listed("frames")]}
        for command in ("show", "cat", "fill", "notify", "wait", "watch", "set", "release"):
            self.assertEqual(complete("--socket", str(fake.socket), "buffer", command, "cl"),
                             ["clap", "clip"])
        self.assertEqual(complete("--socket", str(fake.socket), "buffer", "list", ""), [])

    def test_evil_names(self) -> None:
        """A name from the other side is not run when it is completed, nor when the line is."""
        fake = self.folder / "muxctl"
        touched = self.folder / "touched"
        names = f"'good' '$(touch {touched})' 'a;b' 'a b' '`x`'"
        fake.write_text(f"#!/bin/sh\nprintf '%s\\n' {names}\n")
        fake.chmod(0o755)
        words = ["bash", "--norc", "-c", ASK, str(BASH), "muxctl", "connect", ""]
        run = subprocess.run(words, capture_output=True, timeout=PATIENCE, check=True,
                             env=environment() | {"PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(run.stdout, b"good\n")
        self.assertFalse(touched.exists())

    def typed(self, shell: list[str], setup: str, stack: Stack) -> None:
        """In a real shell, with a real tab."""
        terminal = Terminal(["env", f"PATH={BIN}:{os.environ['PATH']}", *shell], width=200)
        self.addCleanup(terminal.end)
        # The marks are written so that the echo of what is typed does not have them.
        terminal.press(f"{setup}; echo rea''dy\r")
        terminal.wait_for(lambda: "ready" in terminal.text, "the shell")
        terminal.press(f"muxctl --socket {stack.guest.socket} conn\tbe\t</dev/null; "
                       "echo status=''$?\r")
        terminal.wait_for(lambda: re.search(r"status=\d", terminal.text), "the line is run")
        plain = re.sub("\x1b\\[[0-9;]*[a-zA-Z]|\x08", "", terminal.text)
        self.assertRegex(plain, "connect +beta +</dev/null")
        self.assertIn("status=0", terminal.text)
        terminal.press("exit\r")
        terminal.wait_for(lambda: terminal.process.poll() is not None, "the shell's end")

    def test_typed_in_bash(self) -> None:
        self.typed(["bash", "--norc", "--noprofile", "-i"], f"source {BASH}", self.start())

    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
    def test_typed_in_zsh(self) -> None:
        self.typed(["zsh", "-f", "-i"],
                   f"fpath=({FOLDER} $fpath); autoload -Uz compinit; compinit -u -D", self.start())


if __name__ == "__main__":
    unittest.main()
