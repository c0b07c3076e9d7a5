# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Of the part "scale": readers that stop, and what the daemons hold for them then."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from types import TracebackType

from crowd import Crowd
from measure import BenchError, Values
from pair import CROWD, Pair

#: How many a direction, and after how many bytes.
STUCK, STUCK_AFTER = 1000, 1_000_000


class Watch(threading.Thread):
    """Asks both daemons again and again, until the `with` block ends: the most that either had set
    aside for what is unread or may still come, and how much each had grown."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(daemon=True)
        self._sides = pair.sides()
        self._before = {side: daemon.memory() for side, daemon in self._sides}
        self._over = threading.Event()
        self.used = 0
        self.grew = dict.fromkeys(self._before, 0)

    def run(self) -> None:
        while not self._over.wait(0.02):
            # A daemon may have ended. If so, look() at the end fails, in the thread that counts.
            with suppress(BenchError, OSError, ValueError):
                self.look()

    def look(self) -> None:
        for side, daemon in self._sides:
            self.grew[side] = max(self.grew[side], daemon.memory() - self._before[side])
            for link in daemon.ask("links"):
                if link["session"]:
                    self.used = max(self.used, link["session"]["budget_used"])

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()


def unread(pair: Pair) -> int:
    """Of what either daemon has for those that do not read, the larger."""
    found = [daemon.ask("status")[0]["channels"] for _, daemon in pair.sides()]
    return max(sum(int(channel["unread"]) for channel in channels) for channels in found)


def stuck(budget: int) -> Values:
    """The windows of all have grown when the readers stop, and so are as large as they get.

    status with all channels is asked for at the end, since it takes memory itself.
    """
    with Pair({"channels": 2048, "budget_bytes": budget}) as pair, ExitStack() as stack:
        pair.service("sip", [CROWD, "hold"], str(STUCK_AFTER))
        pair.start()
        pair.open("sip").close()
        with Watch(pair) as watch:
            # The first stays stuck while the second fills up.
            for socket, name in ((pair.guest.socket, "sip"), (pair.host.socket, "vm0/sip")):
                stack.enter_context(Crowd(pair, "fill", STUCK, socket, name))
        watch.look()
        found = {"held_max_bytes": watch.used, "unread_bytes": unread(pair), "budget_bytes": budget}
    return found | {f"{side}_grew_bytes": grew for side, grew in watch.grew.items()}
