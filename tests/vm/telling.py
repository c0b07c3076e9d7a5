# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the demo speaks."""

from __future__ import annotations


class DemoError(Exception):
    """Something did not do what it is there for."""


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def detail(text: str) -> None:
    for line in text.rstrip("\n").splitlines():
        print(f"   {line}", flush=True)


def check(condition: object, otherwise: str) -> None:
    if not condition:
        raise DemoError(otherwise)
