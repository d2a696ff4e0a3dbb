"""Seeded nights of a whole streetlight node, with faults; and that a fault of ours is seen there.

Few runs in `make test`; with KERBLINE_NIGHTLY set 10,000 of 36 h and 100 of 30 days on CPython,
200 of 36 h under MicroPython.
"""

import os
import sys

from kerbnode.instruments.lamp_head import LampHead
from kerbnode.schedule import DAY_LUX
from node.street_night import DAY_MS, HOUR_MS, Pole

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
CPYTHON = sys.implementation.name == "cpython"
NIGHTS = (10_000 if NIGHTLY else 60) if CPYTHON else (200 if NIGHTLY else 6)
MONTHS = (100 if NIGHTLY else 2) if CPYTHON else 0
SHARDS = 4  # tests that run beside one another


def nights(shard: int) -> None:
    for seed in range(shard, NIGHTS, SHARDS):
        pole = Pole(seed, 36 * HOUR_MS)
        pole.run()
        assert not pole.broken, "seed {}: {}".format(seed, pole.broken[0])


def test_first_quarter_of_the_nights() -> None:
    nights(0)


def test_second_quarter_of_the_nights() -> None:
    nights(1)


def test_third_quarter_of_the_nights() -> None:
    nights(2)


def test_last_quarter_of_the_nights() -> None:
    nights(3)


def months(shard: int) -> None:
    for seed in range(shard, MONTHS, 2):
        pole = Pole(1_000_000 + seed, 30 * DAY_MS)
        pole.run()
        assert not pole.broken, "seed {}: {}".format(seed, pole.broken[0])


def test_odd_months() -> None:
    months(1)


def test_even_months() -> None:
    months(0)


class ClockBound(LampHead):
    """The bug: no clock, no light."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        events = LampHead.tick(self, uptime_ms, street_ms)
        if street_ms is None:
            self._dimmer.show(0)
        return events


class Credulous(LampHead):
    """The bug: what the cell sees is day."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        events = LampHead.tick(self, uptime_ms, street_ms)
        lux = self._light.lux() if self._light else None
        if lux is not None and lux > DAY_LUX:
            self._dimmer.show(0)
        return events


class Late(LampHead):
    """The bug: local time, an hour off."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        return LampHead.tick(self, uptime_ms, street_ms and street_ms - HOUR_MS)


class Fragile(LampHead):
    """The bug: where a driver fails, the lamp stays as it was."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        return self._tick(uptime_ms, street_ms)


class Nervous(LampHead):
    """The bug: it flickers."""

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        events = LampHead.tick(self, uptime_ms, street_ms)
        if uptime_ms // 1000 % 2:
            self._dimmer.show(0)
        return events


def test_a_bug_would_be_seen() -> None:
    for bug in (ClockBound, Credulous, Late, Fragile, Nervous):
        found = ""
        for seed in range(20):
            pole = Pole(seed, 36 * HOUR_MS, bug)
            pole.run()
            if pole.broken:
                found = pole.broken[0]
                break
        assert found, bug.__name__
