"""Seeded nights of a whole streetlight node, with faults; and that a fault of ours is seen there.

Few runs in `make test`; with KERBLINE_NIGHTLY set 10,000 of 36 h on CPython and 200 under
MicroPython, and 100 of 30 days on both; those go on where they were stopped.
"""

import os
import sys

from kerbnode.instruments.lamp_head import LampHead
from kerbnode.schedule import ASTRAY, DAY_LUX
from kerbwire import messages as m
from node.played import left
from node.street_night import DAY_MS, HOUR_MS, Dice, Pole, Sky
from node.test_clock import ABSURD_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.street_night import Fault

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
CPYTHON = sys.implementation.name == "cpython"
NIGHTS = (10_000 if NIGHTLY else 60) if CPYTHON else (200 if NIGHTLY else 6)
MONTHS = 100 if NIGHTLY else 2 if CPYTHON else 0
SHARDS = 4  # tests that run beside one another


def played(proof: str, seeds: range) -> "Iterable[int]":
    """Every seed, by night those that were not played yet."""
    return left(proof, seeds) if NIGHTLY else seeds


def nights(shard: int) -> None:
    for seed in played("nights", range(shard, NIGHTS, SHARDS)):
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
    for seed in played("months", range(shard, MONTHS, 2)):
        pole = Pole(1_000_000 + seed, 30 * DAY_MS)
        pole.run()
        assert not pole.broken, "seed {}: {}".format(seed, pole.broken[0])


def test_odd_months() -> None:
    months(1)


def test_even_months() -> None:
    months(0)


class MovedSky(Sky):
    """A sky far from Greenwich, so that a longitude's sign matters."""

    def choose(self, dice: Dice) -> "tuple[float, float]":
        return dice.between(-4500, 4500) / 100, dice.between(3000, 15_000) / 100


class Astray(Pole):
    """A longitude with the wrong sign; for so many days the cell is sound, then it is silent."""

    SOUND_DAYS = 4
    sky_of = MovedSky

    def _plan(self, span_ms: int) -> "list[Fault]":
        return [("astray", -1, span_ms + 1), ("silent_cell", self.SOUND_DAYS * DAY_MS, span_ms + 1)]

    def _must_be_lit(self) -> bool:
        if self._cell_is_sound():
            return Pole._must_be_lit(self)
        return self._settled(1000)


def test_a_wrong_longitude_is_found_out_before_the_cell_fails() -> None:
    for seed in range(4):
        pole = Astray(seed, 7 * DAY_MS)
        pole.run()
        assert not pole.broken, "seed {}: {}".format(seed, pole.broken[0])
        told = [value for code, value in pole.records.events if code == m.EV_SENSOR_FAULT]
        assert told[-1] & ASTRAY


class Absurd(Pole):
    """A gateway whose clock no node can live by, and no cell: nothing is known."""

    def _plan(self, span_ms: int) -> "list[Fault]":
        return [("no_cell", -1, span_ms + 1), ("power", 5 * HOUR_MS, 5 * HOUR_MS + 1000)]

    def _offer(self) -> None:
        absurd = ABSURD_MS[self._dice.below(len(ABSURD_MS))]
        self.clock.offer(absurd, 20, self.monotonic_ms())

    def _must_be_lit(self) -> bool:
        return not self.has("power")


def test_an_absurd_clock_is_none_and_the_lamp_is_lit() -> None:
    for seed in range(6):
        pole = Absurd(seed, 36 * HOUR_MS)
        pole.run()
        assert not pole.broken, "seed {}: {}".format(seed, pole.broken[0])


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


class Obedient(LampHead):
    """The bug: too many orders at once, and none is carried out."""

    told_ms = 0

    def tick(self, uptime_ms: int, street_ms: "int | None") -> "list[tuple[int, int]]":
        if self.asset._override_until_ms != self.told_ms:
            self.told_ms = self.asset._override_until_ms
            self._dimmer.show(0)
            return []
        return LampHead.tick(self, uptime_ms, street_ms)


def test_a_bug_would_be_seen() -> None:
    for bug in (ClockBound, Credulous, Late, Fragile, Nervous, Obedient):
        found = ""
        for seed in range(300):
            pole = Pole(seed, 36 * HOUR_MS, bug)
            pole.run()
            if pole.broken:
                found = pole.broken[0]
                break
        assert found, bug.__name__
