# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon tells, as Python has it. None of this does any I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class Refused(ConnectionError):
    """The daemon will not. `code` is a word ("no-service", …), `text` is for people."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Caller:
    """Who opened a channel, as far as the other side says."""

    uid: int | None = None
    gid: int | None = None
    program: str | None = None

    @staticmethod
    def read(value: object) -> Caller | None:
        if not isinstance(value, dict):
            return None
        return Caller(_number(value, "uid"), _number(value, "gid"), _text(value, "program"))


@dataclass(frozen=True)
class Service:
    """Something that can be opened from here, by its `name`."""

    name: str
    link: str
    service: str
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(value: object) -> Service | None:
        """None if it is none."""
        if not isinstance(value, dict):
            return None
        name, link, service = (_text(value, key) for key in ("name", "link", "service"))
        if name is None or link is None or service is None:
            return None
        return Service(name, link, service, _text(value, "description") or "",
                       strings(value.get("properties")))


@dataclass(frozen=True)
class BufferInfo:
    """What is known of a buffer, which is opened by its `name`: "clip", on a host "web1/clip"."""

    name: str
    link: str
    buffer: str
    id: str = ""  # 16 hexadecimal digits, never used again
    size: int = 0  # bytes
    state: str = ""  # "making", "ready", "going", "held" by a program of a guest
    owner_side: str = ""  # "guest", "host", or the name of the VM that shares it
    owner: Caller | None = None  # the program that made it
    read_only_for: str | None = None  # "guest" or "host"
    properties: Mapping[str, str] = field(default_factory=dict)
    handles: int = 0  # programs of this side that have it open
    notices: int = 0
    node: str | None = None  # on a host: a file that is this memory

    @staticmethod
    def read(value: object, host: bool) -> BufferInfo | None:
        """None if it is none. `host`: hostmux says it."""
        if not isinstance(value, dict):
            return None
        buffer, link, owner = _text(value, "name"), _text(value, "link"), value.get("owner")
        if buffer is None or link is None:
            return None
        return BufferInfo(
            f"{link}/{buffer}" if host else buffer, link, buffer, _text(value, "id") or "",
            _number(value, "size") or 0, _text(value, "state") or "",
            (_text(owner, "side") or "") if isinstance(owner, dict) else "", Caller.read(owner),
            _text(value, "read_only_for"), strings(value.get("properties")),
            _number(value, "handles") or 0, _number(value, "notices") or 0, _text(value, "node"))


@dataclass(frozen=True)
class Notice:
    """Another program has changed bytes of a buffer. `sequence` counts the buffer's notices; the
    range is that of all that were left out since the last one that was taken."""

    sequence: int
    offset: int
    length: int


@dataclass(frozen=True)
class Properties:
    """A buffer's properties were changed: these are all that it has."""

    values: Mapping[str, str]


class Gone(ConnectionError):
    """A buffer has ended; `reason` is "owner", "released", …"""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the buffer has ended: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` is "service-added", "link-down", …; docs/control.md has all.

    `fields` are all of the event's, as the daemon wrote them; event["reason"] is one of them.
    """

    kind: str
    fields: Mapping[str, Any]
    host: bool = False  # hostmux says it

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    @property
    def link(self) -> str:
        return _text(self.fields, "link") or ""

    @property
    def caller(self) -> Caller | None:
        return Caller.read(self.fields.get("caller"))

    @property
    def service(self) -> Service | None:
        """What can be opened, in service-added, service-changed and service-removed."""
        return Service.read(self.fields)

    @property
    def buffer(self) -> BufferInfo | None:
        """In buffer-added, buffer-changed and buffer-removed."""
        return BufferInfo.read(self.fields.get("buffer"), self.host)


@dataclass(frozen=True)
class Opened:
    """What is said of a channel that arrives."""

    service: str
    argument: str  # bytes that are no UTF-8 are in it as os.fsdecode() has them
    link: str
    id: int
    caller: Caller | None

    @staticmethod
    def read(value: Json) -> Opened | None:
        service, link, number = _text(value, "service"), _text(value, "link"), _number(value, "id")
        argument = _argument(value)
        if service is None or link is None or number is None or argument is None:
            return None
        return Opened(service, argument, link, number, Caller.read(value.get("caller")))


def strings(value: object) -> dict[str, str]:
    """Those of an object's values that are strings."""
    if not isinstance(value, dict):
        return {}
    return {key: one for key, one in value.items() if isinstance(one, str)}


def _argument(value: Json) -> str | None:
    encoded = _text(value, "argument_base64")
    if encoded is None:
        return _text(value, "argument") or ""
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return None


def _text(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
