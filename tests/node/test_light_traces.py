"""Dusks and dawns under clouds, with the lamp's own light and headlights on its cell: no hunting.

A few thousand traces in `make test`; with KERBLINE_NIGHTLY set 10^6 on CPython and 10^4 under
MicroPython, which go on where they were stopped.
"""

import os
import sys

from kerbnode import sun
from kerbnode.schedule import DAY_AFTER_S, DAY_LUX, LAMPS_LUX, LATER_S, NIGHT_LUX, Schedule
from kerbnode.sim.world import SKY
from node.played import left
from node.street_night import Dice, elevation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Place = tuple[float, float]

NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
CPYTHON = sys.implementation.name == "cpython"
BLOCK = 100  # traces
BLOCKS = (10_000 if NIGHTLY else 20) if CPYTHON else (100 if NIGHTLY else 1)
SHARDS = 4
STEP_S = 10
SPAN_S = 5400
BEFORE_S = 600  # what a cell needs to know what it is
FIRST_S = 1_735_689_600  # 2025
DAY_S = 86_400
BRIGHTEST_OWN = 300  # lx that the lamp throws on its own cell


def twilight(dice: Dice) -> "tuple[Place, int, float, float]":
    """A place, when a twilight begins there, and its sun: degrees then, and each second."""
    while True:
        place = dice.between(-6000, 6000) / 100, dice.between(-18_000, 18_000) / 100
        middle_s = sun.midnight(FIRST_S + DAY_S * dice.below(9000), place[1])
        sense = 1 - 2 * dice.below(2)
        cross_s = sun.crossing(middle_s, place[0], place[1], -2.5, sense)
        if 3600 < abs(cross_s - middle_s) < 12 * 3600:
            begin_s = cross_s - dice.between(SPAN_S // 4, SPAN_S * 3 // 4)
            first = elevation(begin_s, place[0], place[1])
            last = elevation(begin_s + SPAN_S, place[0], place[1])
            return place, begin_s, first, (last - first) / SPAN_S


def clear_lux(degrees: float) -> float:
    low = SKY[0]
    for high in SKY[1:]:
        if degrees < high[0]:
            part = max(0.0, (degrees - low[0]) / (high[0] - low[0]))
            return low[1] + part * (high[1] - low[1])
        low = high
    return SKY[-1][1]


class Trace:
    """What a cell sees in a twilight; `sky` is that without lamp and headlights."""

    def __init__(self, seed: int):
        dice = self._dice = Dice(seed)
        self.place, self.begin_s, self._degrees, self._each_s = twilight(dice)
        self.own = dice.below(2) * dice.between(0, BRIGHTEST_OWN)
        self.has_sun = dice.below(4) > 0
        self._cars = dice.below(3)
        self._from = self._to = dice.between(15, 100) / 100
        self._since_s, self._until_s = -BEFORE_S, -BEFORE_S
        self._light_s = 0  # a headlight's end
        self._glare = 0
        self.sky = 0.0

    def lux(self, at_s: int, lit_pct: int) -> int:
        """At a time that never goes back, with the lamp so bright."""
        dice = self._dice
        while at_s >= self._until_s:
            self._from, self._to = self._to, dice.between(15, 100) / 100
            self._since_s, self._until_s = self._until_s, self._until_s + dice.between(30, 1200)
        part = (at_s - self._since_s) / (self._until_s - self._since_s)
        cloud = self._from + part * (self._to - self._from)
        self.sky = cloud * clear_lux(self._degrees + self._each_s * at_s)
        if at_s >= self._light_s:
            self._glare = 0
            if self._cars and dice.below(60) < self._cars:
                self._glare = dice.between(20, 2000)
                self._light_s = at_s + dice.between(1, 20)
        noise = dice.below(3) if self.sky > 200 else 0
        return int(self.sky) + noise + self._glare + self.own * lit_pct // 100


def hunts(seed: int, kind: type = Schedule) -> str:
    """What a schedule did wrong in a trace, or "".

    It goes off no more than once an hour, unless it was clearly day for two minutes; and where it
    knows the sun it is lit all its night, and under a sound cell whenever the sky is dark.
    """
    trace = Trace(seed)
    schedule = kind(trace.place if trace.has_sun else None, 0)
    schedule.configure(((-720, 100),), (-2.5, 0, 0))
    lit_pct = 100
    off_s = bright_s = None
    for at_s in range(-BEFORE_S, SPAN_S, STEP_S):
        before_pct = lit_pct
        lux = trace.lux(at_s, lit_pct)
        utc_s = trace.begin_s + at_s if trace.has_sun else None
        lit_pct = schedule.step(at_s + BEFORE_S, utc_s, lux)
        if trace.sky < LAMPS_LUX - 2 * BRIGHTEST_OWN:
            bright_s = None
        elif bright_s is None:
            bright_s = at_s
        if at_s < 0:
            continue
        if lux < NIGHT_LUX and not lit_pct:
            return "dark with {} lx at {} s".format(lux, at_s)
        if before_pct and not lit_pct:
            is_day = bright_s is not None and at_s - bright_s >= DAY_AFTER_S
            if off_s is not None and at_s - off_s < LATER_S and not is_day:
                return "off at {} s and at {} s".format(off_s, at_s)
            off_s = at_s
    return ""


def traces(shard: int) -> None:
    blocks: Iterable[int] = range(shard, BLOCKS, SHARDS)
    for block in left("traces", blocks) if NIGHTLY else blocks:
        for seed in range(BLOCK * block, BLOCK * (block + 1)):
            wrong = hunts(seed)
            assert not wrong, "seed {}: {}".format(seed, wrong)


def test_first_quarter_of_the_traces() -> None:
    traces(0)


def test_second_quarter_of_the_traces() -> None:
    traces(1)


def test_third_quarter_of_the_traces() -> None:
    traces(2)


def test_last_quarter_of_the_traces() -> None:
    traces(3)


class Naive:
    """The bug: no hysteresis that knows of the lamp itself."""

    def __init__(self, position: "Place | None", lead_s: int):
        self._lit = True

    def configure(self, profile: object, night: object) -> None:
        """There is nothing to set."""

    def step(self, uptime_s: int, utc_s: "int | None", lux: int) -> int:
        self._lit = lux < (DAY_LUX if self._lit else NIGHT_LUX)
        return 100 if self._lit else 0


class Impatient(Schedule):
    """The bug: each day comes after two minutes, also that of the lamp's own light."""

    def step(self, uptime_s: int, utc_s: "int | None", lux: "int | None") -> int:
        if self._cell.dark is not False:
            self._cell._bright_s = uptime_s - DAY_S
        return Schedule.step(self, uptime_s, utc_s, lux)


def test_hunting_would_be_seen() -> None:
    for bug in (Naive, Impatient):
        assert [seed for seed in range(400) if hunts(seed, bug)], bug.__name__
