"""From a control program, a class and caps to what a node keeps of one night.

A node has no calendar and no zone: it knows dusk and dawn by the sun's height and two offsets, and
levels by minutes from the night's middle. What is worked out here holds until the next one comes,
with no gateway as well, so it stays good for as long as it can: the node's night is the sun's
unless the program counts from the sun itself, and what is off by the clock is a level of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kerbline.control.light.classes import OPEN, Floor, Segment
from kerbline.control.light.limits import Cap, ceiling_pct
from kerbline.control.light.programs import (
    FULL_PCT,
    MINUTE_S,
    AstroClock,
    Interval,
    Motion,
    Night,
    Program,
    joined,
)

STEPS = 16  # of a node's profile
HALF_DAY_MIN = 720
HOLD_S = 20  # of motion, as a node has it by itself

Profile = tuple[tuple[int, int], ...]  # (minutes from the night's middle, percent from then on)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a node keeps of a night.

    `night_deg` and two offsets in minutes (later is positive) bound its night by the sun; `motion`
    is None where it is left to the node. `coarse`: the program has more than STEPS levels, so some
    are brighter than it asks.
    """

    profile: Profile
    night_deg: float
    dusk_min: int
    dawn_min: int
    motion: Motion | None = None
    coarse: bool = False

    def level_pct(self, night: Night, at_s: int) -> int:
        """The level at a time of that night (UTC), as a node has it by itself."""
        dusk, dawn = night.dark(self.night_deg)
        if not dusk + MINUTE_S * self.dusk_min <= at_s < dawn + MINUTE_S * self.dawn_min:
            return 0
        begun = [
            pct for minute, pct in self.profile if night.midnight_s + MINUTE_S * minute <= at_s
        ]
        return begun[-1] if begun else self.profile[0][1] if self.profile else FULL_PCT


@dataclass(frozen=True, slots=True)
class Bound:
    """Between which levels a lamp is kept, from `since_s` (UTC) on; the floor beats the ceiling."""

    since_s: int
    floor: Floor
    ceiling_pct: int = FULL_PCT
    cap: str = ""  # whose ceiling it is

    def keep(self, level_pct: int) -> int:
        """The nearest level within."""
        return max(self.floor.level_pct, min(self.ceiling_pct, level_pct))


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a lamp whatever is asked of it: its segment's class, and caps.

    `segments`: of each lamp behind the caps, where it has one.
    """

    segment: Segment | None = None
    caps: tuple[Cap, ...] = ()
    segments: Mapping[str, Segment] = field(default_factory=dict)

    def bounds(self, night: Night) -> tuple[Bound, ...]:
        """In order, from noon to noon."""
        own = self.segment.line(night) if self.segment else ((night.begin_s, OPEN),)
        lines = {lamp: segment.line(night) for lamp, segment in self.segments.items()}
        hours = [(cap, cap.hours(night)) for cap in self.caps]
        times = {at for line in (own, *lines.values()) for at, _ in line}
        times |= {at for _, intervals in hours for interval in intervals for at in interval}
        found: list[Bound] = []
        for at in sorted(each for each in times if night.begin_s <= each < night.end_s):
            floors = {lamp: _at(line, at).level_pct for lamp, line in lines.items()}
            ceilings = [
                (ceiling_pct(cap, floors), cap.name)
                for cap, intervals in hours
                if _within(at, intervals)
            ]
            found.append(Bound(at, _at(own, at), *min(ceilings, default=(FULL_PCT, ""))))
        return tuple(found)


def compiled(program: Program, limits: Limits, night: Night) -> Stored:
    """What a node is to keep of a program for a night."""
    bounds = limits.bounds(night)
    active = program.active(night)
    by_sun = [each for each in program.periods if isinstance(each, AstroClock)]
    if limits.segment is not None or not program.periods:
        by_sun.append(AstroClock(elevation_deg=night.night_deg))
    by_sun.sort(key=lambda each: -each.elevation_deg)  # the one that most nights reach
    elevation_deg = by_sun[0].elevation_deg if by_sun else night.night_deg
    sunny = joined([each for period in by_sun for each in period.intervals(night)])
    whole = joined([*active, *sunny])
    begin_s = whole[0][0] if whole else night.end_s
    end_s = whole[-1][1] if whole else night.end_s
    cell_from_s = night.begin_s if sunny and sunny[0][0] <= begin_s else begin_s
    cell_to_s = night.end_s if sunny and sunny[-1][1] >= end_s else end_s

    def level(at_s: int) -> int:
        """Before a dusk and after a dawn the next level: the cell may see night there."""
        if not whole:  # a polar day: the cell alone may see a night
            return _bound(bounds, at_s).keep(program.level_pct(night, at_s))
        within_s = max(night.begin_s, begin_s, min(at_s, end_s - 1))
        if not cell_from_s <= at_s < cell_to_s:
            within_s = at_s
        asked = program.level_pct(night, within_s) if _within(within_s, active) else 0
        return _bound(bounds, within_s).keep(asked)

    times = {night.begin_s, begin_s, end_s, *program.changes(night), *(b.since_s for b in bounds)}
    times |= {at for interval in sunny for at in interval}
    levels = [(at, level(at)) for at in sorted(times) if night.begin_s <= at < night.end_s]
    profile = _steps(levels, night)
    dusk_min, dawn_min = _offsets(by_sun, sunny, whole, elevation_deg, night)
    motion = _motion(program, limits, bounds)
    fitted = _fitted(profile)
    return Stored(fitted, elevation_deg, dusk_min, dawn_min, motion, len(fitted) < len(profile))


def _offsets(
    by_sun: Sequence[AstroClock],
    sunny: Sequence[Interval],
    whole: Sequence[Interval],
    elevation_deg: float,
    night: Night,
) -> tuple[int, int]:
    """How far dusk and dawn are from the sun's at that height: exact, and early rather than late.

    Where the sun does not set or rise what the program says of dusk and dawn is left to the node.
    """
    dusk, dawn = night.dark(elevation_deg)
    if not whole or dusk >= dawn:
        first = by_sun[0] if by_sun else AstroClock()
        return first.dusk_min, first.dawn_min
    begin_s, end_s = (sunny[0][0], sunny[-1][1]) if sunny else (dusk, dawn)
    begin_s, end_s = min(begin_s, whole[0][0]), max(end_s, whole[-1][1])
    return (begin_s - dusk) // MINUTE_S, -((dawn - end_s) // MINUTE_S)


def _motion(program: Program, limits: Limits, bounds: Sequence[Bound]) -> Motion | None:
    """A node has one level for the whole night: the lowest ceiling, unless a floor is above it."""
    if program.motion is None and not limits.caps:
        return None
    asked = program.motion or Motion(FULL_PCT, HOLD_S)
    level = min(asked.level_pct, *(each.ceiling_pct for each in bounds))
    return Motion(max(level, *(each.floor.level_pct for each in bounds)), asked.hold_s)


def _steps(levels: Sequence[tuple[int, int]], night: Night) -> Profile:
    """A level for each minute from the middle, the brightest within it, as steps."""
    shown = [0] * (2 * HALF_DAY_MIN)
    ends = [at for at, _ in levels[1:]] + [night.end_s]
    for (at, level), end in zip(levels, ends, strict=True):
        first, last = (at - night.begin_s) // MINUTE_S, -((night.begin_s - end) // MINUTE_S)
        for minute in range(first, last):
            shown[minute] = max(shown[minute], level)
    found: list[tuple[int, int]] = []
    for minute, level in enumerate(shown):
        if not found or found[-1][1] != level:
            found.append((minute - HALF_DAY_MIN, level))
    return tuple(found)


def _fitted(profile: Profile) -> Profile:
    """At most STEPS of them: those that differ least are one, at the brighter level."""
    steps = list(profile)
    while len(steps) > STEPS:
        ends = [minute for minute, _ in steps[1:]] + [HALF_DAY_MIN]
        costs = []
        for which in range(1, len(steps)):
            rise = steps[which][1] - steps[which - 1][1]
            lower = which - 1 if rise > 0 else which
            costs.append((abs(rise) * (ends[lower] - steps[lower][0]), which))
        _, which = min(costs)
        steps[which - 1] = (steps[which - 1][0], max(steps[which - 1][1], steps[which][1]))
        del steps[which]
    return tuple(steps)


def _at(line: Sequence[tuple[int, Floor]], at_s: int) -> Floor:
    return [floor for since, floor in line if since <= at_s][-1]


def _bound(bounds: Sequence[Bound], at_s: int) -> Bound:
    return [each for each in bounds if each.since_s <= at_s][-1]


def _within(at_s: int, intervals: Iterable[Interval]) -> bool:
    return any(begin <= at_s < end for begin, end in intervals)
