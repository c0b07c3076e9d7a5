#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Open a channel from Python, with nothing but the standard library.

    open_channel.py [--socket PATH] NAME TEXT     send TEXT, print what comes back until the end

The name ends with a newline, so one line is answered: "OK", or "ERR <code> <text>". Then the socket
is the channel.
"""

from __future__ import annotations

import argparse
import socket
import sys


class Refused(Exception):
    """The channel was not opened. args: the code ("no-service", "link-down", …) and a text."""


def open_channel(name: str, path: str = "/run/guestmux.sock") -> socket.socket:
    """Open a channel to "service[:argument]"; on the host "VM/service[:argument]"."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(path)
        channel.sendall(name.encode() + b"\n")
        answer = _read_line(channel)
    except BaseException:
        channel.close()
        raise
    if answer == "OK":
        return channel
    channel.close()
    word, code, text = (answer.split(" ", 2) + ["", ""])[:3]
    raise Refused(code, text) if word == "ERR" else ConnectionError("no answer from the daemon")


def _read_line(channel: socket.socket) -> str:
    """Byte by byte, since what follows the line is the channel's."""
    line = b""
    while (byte := channel.recv(1)) not in (b"\n", b""):
        line += byte
    return line.decode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a text to a service.")
    parser.add_argument("--socket", default="/run/guestmux.sock")
    parser.add_argument("name")
    parser.add_argument("text")
    options = parser.parse_args()
    try:
        with open_channel(options.name, options.socket) as channel:
            channel.sendall(options.text.encode())
            channel.shutdown(socket.SHUT_WR)  # no more from here; the answer still comes
            while data := channel.recv(65536):
                sys.stdout.buffer.write(data)
    except Refused as refused:
        print(f"{options.name}: {': '.join(refused.args)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
