"""Control programs: what level a lamp has when, in TALQ's terms (data model 2.7.1).

A ControlProgramOne there: active periods, fixed time controls, astro clock time controls and
dynamic controls. Two departures, since these lamps are a street's: a program without an active
period is active by night, not by day, too; and of dynamic controls there is the one that a lamp
can carry out by itself, motion that raises it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

SUNSET_DEG = -0.8333  # of the sun's centre at its rise and set, without refraction
PHOTOCELL_DEG = -6.0  # where a cell decides: it is night at the latest at the end of civil twilight
HALF_DAY_S = 43_200
MINUTE_S = 60
FULL_PCT = 100
DUSK, DAWN = -1, 1  # the sense of a crossing


class Sky(Protocol):
    """Where the sun is above the lamps."""

    def midnight(self, utc_s: int) -> int:
        """The solar midnight nearest to a time."""

    def crossing(self, midnight_s: int, elevation_deg: float, sense: int) -> int:
        """When the sun's centre passes a height before (-1) or after (1) a midnight.

        The midnight itself where it stays above, half a day from there where it stays below.
        """


@dataclass(frozen=True, slots=True)
class Night:
    """One day of the lamps, from solar noon to solar noon, and the place where they stand.

    `night_deg`: the sun's height below which it is night for classes and plain programs.
    """

    midnight_s: int
    sky: Sky
    zone: tzinfo
    night_deg: float

    @property
    def begin_s(self) -> int:
        """The noon before."""
        return self.midnight_s - HALF_DAY_S

    @property
    def end_s(self) -> int:
        """The noon after."""
        return self.midnight_s + HALF_DAY_S

    @property
    def date(self) -> date:
        """The local date on which it begins."""
        return datetime.fromtimestamp(self.begin_s, self.zone).date()

    def dark(self, elevation_deg: float) -> Interval:
        """While the sun is below a height."""
        dusk, dawn = (
            self.sky.crossing(self.midnight_s, elevation_deg, sense) for sense in (DUSK, DAWN)
        )
        return dusk, dawn

    def local(self, minute: int) -> list[int]:
        """When it is so late by local time, in UTC seconds, between the two noons.

        What spring skips comes as long after the jump; what autumn has twice counts once, first.
        """
        return [at for at in self._local(minute) if self.begin_s <= at < self.end_s]

    def latest(self, minutes: Sequence[int], utc_s: int) -> int:
        """Which of some local times of day came last at a time between the noons.

        Before the first of them since noon it is the last one of the day before, as TALQ lets a
        program go round.
        """
        return max(
            (at, which)
            for which, minute in enumerate(minutes)
            for at in self._local(minute)
            if at <= utc_s
        )[1]

    def _local(self, minute: int) -> Iterator[int]:
        """From a day before to a day after."""
        hour, rest = divmod(minute, 60)
        for more in (-1, 0, 1, 2):
            day = self.date + timedelta(days=more)
            wall = datetime(day.year, day.month, day.day, hour, rest, tzinfo=self.zone)
            yield round(wall.astimezone(UTC).timestamp())


Interval = tuple[int, int]  # UTC seconds, the end excluded; empty where they are one


@dataclass(frozen=True, slots=True)
class Absolute:
    """Active between two local times of day in minutes; the same one twice: all day."""

    from_min: int
    to_min: int

    def intervals(self, night: Night) -> Iterator[Interval]:
        """Between the two noons."""
        if self.from_min == self.to_min:
            yield night.begin_s, night.end_s
            return
        begins, ends = night.local(self.from_min), night.local(self.to_min)
        if not begins or (ends and ends[0] < begins[0]):
            begins.insert(0, night.begin_s)  # since before the noon
        for begin in begins:
            yield begin, min((end for end in ends if end >= begin), default=night.end_s)


@dataclass(frozen=True, slots=True)
class AstroClock:
    """Active from dusk to dawn, each with an offset in minutes; later is positive."""

    dusk_min: int = 0
    dawn_min: int = 0
    elevation_deg: float = SUNSET_DEG

    def intervals(self, night: Night) -> Iterator[Interval]:
        """None where the sun does not set; before the noon already where it does not rise."""
        dusk, dawn = night.dark(self.elevation_deg)
        if dusk < dawn:
            yield dusk + MINUTE_S * self.dusk_min, dawn + MINUTE_S * self.dawn_min


Period = Absolute | AstroClock


@dataclass(frozen=True, slots=True)
class FixedTime:
    """From a local time of day on, this level (TALQ's FixedTimeControl)."""

    from_min: int
    level_pct: int


@dataclass(frozen=True, slots=True)
class AstroTime:
    """From so many minutes after sunset (DUSK) or sunrise (DAWN) on, `operation` over the level.

    Until the next one of the program (TALQ's AstroClockTimeControl).
    """

    sense: int
    offset_min: int
    operation: str
    level_pct: int


@dataclass(frozen=True, slots=True)
class Motion:
    """A lamp's own sensor raises it to a level, and for so long after it is quiet again."""

    level_pct: int
    hold_s: int


@dataclass(frozen=True, slots=True)
class Program:
    """A control program; without fixed times the level is full while it is active."""

    name: str
    periods: tuple[Period, ...] = ()
    fixed_times: tuple[FixedTime, ...] = ()
    astro_times: tuple[AstroTime, ...] = ()
    motion: Motion | None = None

    def active(self, night: Night) -> list[Interval]:
        """When it is active between the two noons, in order and apart."""
        periods = self.periods or (AstroClock(elevation_deg=night.night_deg),)
        return joined([each for period in periods for each in period.intervals(night)])

    def level_pct(self, night: Night, utc_s: int) -> int:
        """What it asks for at a time at which it is active."""
        level = self._fixed(night, utc_s)
        begun = [(at, each) for at, each in self._astro(night) if at <= utc_s]
        if begun:
            _, last = max(begun, key=lambda each: each[0])
            level = OPERATIONS[last.operation](level, last.level_pct)
        return max(0, min(FULL_PCT, level))

    def changes(self, night: Night) -> set[int]:
        """When it may ask for another level between the two noons, UTC seconds."""
        found = {at for each in self.fixed_times for at in night.local(each.from_min)}
        found |= {at for at, _ in self._astro(night)}
        return found | {at for interval in self.active(night) for at in interval}

    def _fixed(self, night: Night, utc_s: int) -> int:
        if not self.fixed_times:
            return FULL_PCT
        times = [each.from_min for each in self.fixed_times]
        return self.fixed_times[night.latest(times, utc_s)].level_pct

    def _astro(self, night: Night) -> Iterator[tuple[int, AstroTime]]:
        dusk, dawn = night.dark(SUNSET_DEG)
        if dusk >= dawn:
            return
        for each in self.astro_times:
            at = (dusk if each.sense == DUSK else dawn) + MINUTE_S * each.offset_min
            if night.begin_s <= at < night.end_s:
                yield at, each


OPERATIONS: dict[str, Callable[[int, int], int]] = {  # TALQ's EffectOperation
    "set": lambda _, new: new,
    "max": max,
    "min": min,
    "add": lambda level, new: level + new,
    "sub": lambda level, new: level - new,
    "mul": lambda level, new: level * new // FULL_PCT,
}


def joined(intervals: Sequence[Interval]) -> list[Interval]:
    """The union of intervals, in order and apart."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found
