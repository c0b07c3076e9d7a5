#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Open a channel from Python: the smallest use of the module guestmux.

    open_channel.py [--socket PATH] NAME TEXT     send TEXT, print what comes back until the end
"""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))  # if it is not installed
import guestmux  # noqa: E402


def open_channel(name: str, path: str | None = None) -> socket.socket:
    """Open a channel to "service[:argument]"; on the host "VM/service[:argument]"."""
    return guestmux.connect(name, socket=path)


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a text to a service.")
    parser.add_argument("--socket", help="the daemon's; if not given, it is looked for")
    parser.add_argument("name")
    parser.add_argument("text")
    options = parser.parse_args()
    try:
        with open_channel(options.name, options.socket) as channel:
            channel.sendall(options.text.encode())
            channel.shutdown(socket.SHUT_WR)  # no more from here; the answer still comes
            while data := channel.recv(65536):
                sys.stdout.buffer.write(data)
    except OSError as error:  # guestmux.Refused is one
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
