# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is said on the control connection, for each call."""

from __future__ import annotations

import errno
import os
import re
import socket as sockets
import stat
from collections.abc import Iterable, Mapping, Sequence

from ._control import ANSWER_MAX, Control
from ._model import BufferInfo, Event, Json, Opened, Refused, Service
from ._steps import Steps

Path = str | os.PathLike[str] | None

_NAME = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_FULL_NAME = re.compile(f"(?:{_NAME}/)?{_NAME}")
_NAMES = ("a name is service, and on a host VM/service: each 1 to 128 of A-Z a-z 0-9 . _ -, "
          "not beginning with - or .")


def services(path: Path) -> Steps[list[Service]]:
    control = yield from Control.open(path, ANSWER_MAX)
    try:
        return (yield from _remote(control))
    finally:
        control.close()


def buffers(path: Path) -> Steps[list[BufferInfo]]:
    answer, daemon = yield from _ask(path, {"verb": "buffers"})
    listed = answer.get("buffers")
    read = (BufferInfo.read(one, daemon == "hostmux")
            for one in (listed if isinstance(listed, list) else []))
    return [one for one in read if one is not None]


def release_buffer(name: str, path: Path) -> Steps[None]:
    yield from _ask(path, {"verb": "release", "buffer": name})


def _ask(path: Path, request: Json) -> Steps[tuple[Json, str]]:
    """The answer, and which daemon it is."""
    control = yield from Control.open(path, ANSWER_MAX)
    try:
        return (yield from control.ask(request)), control.daemon
    finally:
        control.close()


def _remote(control: Control) -> Steps[list[Service]]:
    answer = yield from control.ask({"verb": "services"})
    listed = answer.get("remote")
    read = map(Service.read, listed if isinstance(listed, list) else [])
    return [service for service in read if service is not None]


def wait(name: str, path: Path) -> Steps[Service]:
    """First the subscription, then the list, so that nothing slips through between the two."""
    name = name.partition(":")[0]
    if not _FULL_NAME.fullmatch(name):  # it can never be there
        raise Refused("bad-name", _NAMES)
    control = yield from Control.open(path, ANSWER_MAX)
    try:
        answer = yield from control.ask({"verb": "events", "only": ["services"]})
        _check_side(name, answer.get("daemon"))
        found = _named(name, (yield from _remote(control)))
        while found is None:
            yield from control.pause()
            event = yield from control.next()
            if event.get("event") == "service-added":
                found = _named(name, [Service.read(event)])
            elif event.get("event") == "lost":
                found = _named(name, (yield from _remote(control)))
        return found
    finally:
        control.close()


def _check_side(name: str, daemon: object) -> None:
    """A name of the other kind of daemon can never be there."""
    if "/" not in name and daemon == "hostmux":
        raise Refused("bad-name", "on a host a name is VM/service")
    if "/" in name and daemon == "guestmux":
        raise Refused("bad-name", "in a guest a name is a service's, without VM/")


def _named(name: str, services: Iterable[Service | None]) -> Service | None:
    return next((one for one in services if one is not None and one.name == name), None)


def subscribe(only: Sequence[str], path: Path, application: str | None = None) -> Steps[Control]:
    request: Json = {"verb": "events"}
    if only:
        request["only"] = list(only)
    if application is not None:
        request["application"] = application
    return (yield from _begin(path, request))


def next_event(control: Control) -> Steps[Event]:
    while True:
        fields = yield from control.next()
        if isinstance(kind := fields.get("event"), str):
            return Event(kind, fields, control.daemon == "hostmux")
        yield from control.pause()


def register(service: str, path: Path, *, description: str, properties: Mapping[str, str] | None,
             vms: Sequence[str] | None, max_channels: int | None,
             max_opens_per_second: int | None) -> Steps[Control]:
    keys: Json = {"description": description or None, "properties": dict(properties or {}) or None,
                  "vms": None if vms is None else list(vms), "max_channels": max_channels,
                  "max_opens_per_second": max_opens_per_second}
    request = {"verb": "register", "service": service, "accept": "fd",
               **{key: value for key, value in keys.items() if value is not None}}
    return (yield from _begin(path, request))


def _begin(path: Path, request: Json) -> Steps[Control]:
    control = yield from Control.open(path)
    try:
        yield from control.ask(request)
        return control
    except BaseException:
        control.close()
        raise


def accept(control: Control) -> Steps[tuple[Opened, sockets.socket]]:
    """The next channel. Descriptors that belong to none are closed."""
    while True:
        event = yield from control.next()
        if event.get("event") == "unregistered":
            raise Refused("unregistered", str(event.get("reason", "")))
        if event.get("event") == "channel":
            return _channel(control, event)
        yield from control.pause()


def _channel(control: Control, event: Json) -> tuple[Opened, sockets.socket]:
    opened = Opened.read(event)
    if control.passed < 0 and control.cut:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if opened is None or control.passed < 0 or not stat.S_ISSOCK(os.fstat(control.passed).st_mode):
        raise ConnectionError("what the daemon says of a channel makes no sense")
    sock = sockets.socket(fileno=control.take_passed())
    if sock.family != sockets.AF_UNIX or sock.type != sockets.SOCK_STREAM:
        sock.close()
        raise ConnectionError("what the daemon says of a channel makes no sense")
    sock.setblocking(True)
    return opened, sock
