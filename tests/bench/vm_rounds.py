# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the part "vm" measures, in rounds: contenders one after the other, each in the same thing.

On the host `load` measures, with the host's clock; for what happens in the guest alone, it runs
there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from measure import Measure, Round, Values, rtt, worse_rtt
from peers import Contender
from setting import Setting
from sides import SHARED

#: Bytes of a piece.
BULK = {"guestmux_bulk": 256 << 10, "guestmux_bulk_64k": 64 << 10}
#: Contenders whose blocks are also measured with each byte made and looked at.
TOUCHED = ("raw", "socketpair", "guestmux", "guestmux_inline")
DIRECTIONS = {"source": "g2h", "sink": "h2g"}
MESSAGES = ("-n", "1000")
LOADED_MESSAGES = ("-n", "500")
OPENS = ("-n", "500", "-c", "16")

#: How `load` is run for a contender: what, and options.
Run = Callable[..., Values]


class Rounds:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._contenders = setting.contenders

    def all(self) -> list[Round]:
        return [
            Round("RTT", self._each(self._rtt, socketpair=self._pair, bulk=self._notices)),
            *(self._throughput(what) for what in DIRECTIONS),
            Round("RTT beside a load", self._loaded()),
            Round("opens", self._opens()),
        ]

    def _each(
        self, measure: Callable[[Run], Values], bulk: Callable[[int], Values], **in_guest: Run
    ) -> list[Measure]:
        """In the order in which they were asked for. measure: what is found with a `load`; bulk:
        the same of pieces of so many bytes; in_guest: how the others run it."""
        found = []
        for name in self._setting.wanted:
            if name in self._contenders:
                run = partial(self._on, self._contenders[name])
                found.append(Measure(name, partial(measure, run)))
            elif name in BULK:
                found.append(Measure(name, partial(bulk, BULK[name])))
            elif name in in_guest:
                found.append(Measure(name, partial(measure, in_guest[name])))
        return found

    # ---- how load is run ----

    def _on(self, contender: Contender, what: str, *options: str) -> Values:
        return self._setting.on_host(what, contender.connections[:1], *options)

    def _pair(self, what: str, *options: str) -> Values:
        return self._setting.in_guest(what, *options, what, "pair")

    def _both_ways(self, what: str, *options: str) -> Values:
        """A socket pair. It has no direction, but two ends that are scheduled differently."""
        rates = [self._pair(one, *options)["MBps"] for one in DIRECTIONS]
        return {"MBps": 2 / sum(1 / rate for rate in rates), "runs": 4}  # each warms up

    def _memcpy(self, what: str, *options: str) -> Values:
        """Nor has this one."""
        return self._setting.in_guest("memcpy", *options, "memcpy")

    def _bulk_options(self, size: int) -> list[str]:
        return ["-k", str(self._setting.host.socket), "-l", SHARED, "-w", str(size)]

    # ---- what is measured ----

    @staticmethod
    def _rtt(run: Run) -> Values:
        return rtt(run("rtt", *MESSAGES))

    def _notices(self, size: int) -> Values:
        with self._setting.open(SHARED) as channel:
            options = [*MESSAGES, *self._bulk_options(size)]
            return rtt(self._setting.on_host("notices", [channel], *options))

    def _throughput(self, what: str) -> Round:
        direction = DIRECTIONS[what]

        def plain(run: Run) -> Values:
            before = self._setting.cpu_ms()
            values = run(what)
            cpu_ms = (self._setting.cpu_ms() - before) / values.get("runs", 1)
            return {f"{direction}_MBps": values["MBps"], f"{direction}_cpu_ms": cpu_ms}

        def touched(run: Run) -> Values:
            return {f"{direction}_touched_MBps": run(what, "-t")["MBps"]}

        def bulk(size: int) -> Values:
            with self._setting.open(SHARED) as channel:
                options = self._bulk_options(size)
                rate = self._setting.on_host(f"bulk-{what}", [channel], *options)["MBps"]
            return {f"{direction}_MBps": rate, f"{direction}_touched_MBps": rate}

        in_guest = {"socketpair": self._both_ways, "memcpy": self._memcpy}
        measures = self._each(plain, bulk, **in_guest)
        again = [one for one in self._each(touched, bulk, **in_guest) if one.contender in TOUCHED]
        return Round(f"throughput {direction}", measures + again)

    def _loaded(self) -> list[Measure]:
        found = []
        for name in self._setting.wanted:
            if name in self._contenders:
                found.append(Measure(name, partial(self._beside_blocks, self._contenders[name])))
            elif name in BULK:
                found.append(Measure(name, partial(self._beside_bulk, BULK[name])))
        return found

    def _beside_blocks(self, contender: Contender) -> Values:
        def one(what: str) -> Values:
            pair = contender.connections
            return self._setting.on_host(f"loaded-{what}", pair, *LOADED_MESSAGES)

        return worse_rtt(one("source"), one("sink"))

    def _beside_bulk(self, size: int) -> Values:
        """A channel's messages; the bulk stream is a new one each time."""

        def one(what: str) -> Values:
            with self._setting.open(SHARED) as messages, self._setting.open(SHARED) as bulk:
                options = [*LOADED_MESSAGES, *self._bulk_options(size)]
                return self._setting.on_host(f"loaded-bulk-{what}", [messages, bulk], *options)

        return worse_rtt(one("source"), one("sink"))

    def _opens(self) -> list[Measure]:
        def one(contender: Contender) -> Values:
            return {"opens_per_s": self._setting.opens(contender, *OPENS)["opens_per_s"]}

        return [
            Measure(name, partial(one, self._contenders[name]))
            for name in self._setting.wanted
            if name in self._contenders and self._contenders[name].opens_at
        ]
