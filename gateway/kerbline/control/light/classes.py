"""Lighting classes of EN 13201-2:2015, and the level below which a lamp may not be dimmed.

A street's lamps are made for its normal class; at hours of less traffic a lower class is enough
(adaptive lighting, CEN/TR 13201-1:2014, clause 6 and annex A). Uniformity and glare do not change
where all lamps are dimmed alike, so the level follows the maintained mean: luminance of the M
classes (table 1), horizontal illuminance of C and P (tables 2 and 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerbline.control.light.programs import Night

MEAN: Mapping[str, float] = {
    # cd/m2
    "M1": 2.0,
    "M2": 1.5,
    "M3": 1.0,
    "M4": 0.75,
    "M5": 0.5,
    "M6": 0.3,
    # lx
    "C0": 50.0,
    "C1": 30.0,
    "C2": 20.0,
    "C3": 15.0,
    "C4": 10.0,
    "C5": 7.5,
    "P1": 15.0,
    "P2": 10.0,
    "P3": 7.5,
    "P4": 5.0,
    "P5": 3.0,
    "P6": 2.0,
    "P7": 0.0,  # no performance determined
}


@dataclass(frozen=True, slots=True)
class Floor:
    """From a local time of day on (minutes from 00:00) no lamp goes below this level."""

    from_min: int
    level_pct: int
    class_name: str = ""  # empty where the level itself was given


OPEN = Floor(0, 0)  # by day nothing is asked
Line = tuple[tuple[int, Floor], ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of road that has a class, and its floors through the night."""

    name: str
    floors: tuple[Floor, ...]

    def line(self, night: Night) -> Line:
        """Its floors between the two noons, OPEN while the sun is up: [(since, floor)]."""
        dusk, dawn = night.dark(night.night_deg)
        if dusk >= dawn:
            return ((night.begin_s, OPEN),)
        dusk, dawn = max(dusk, night.begin_s), min(dawn, night.end_s)
        times = [floor.from_min for floor in self.floors]
        begins = {at for minute in times for at in night.local(minute) if dusk < at < dawn}
        dark = [(at, self.floors[night.latest(times, at)]) for at in sorted({dusk, *begins})]
        before = () if dusk == night.begin_s else ((night.begin_s, OPEN),)
        after = () if dawn == night.end_s else ((dawn, OPEN),)
        return (*before, *dark, *after)


def level_pct(normal: str, wanted: str, normal_pct: int = 100) -> int:
    """The least whole level in percent that gives `wanted` with lamps made for `normal`.

    `normal_pct`: the level at which they give `normal`; less than 100 where they were made too
    bright. ValueError where the two can't be compared, or the wanted class is the higher one and
    the lamps have not that much light.
    """
    if wanted == normal:
        return normal_pct
    has, needs = _comparable(normal, wanted)
    if has == 0:
        raise ValueError(f"{normal} says nothing of the light that there is")
    share = normal_pct * needs / has
    if share > 100:
        raise ValueError(f"lamps of {normal} do not give {wanted}: that is {share:.0f} % of them")
    return math.ceil(share - 1e-9)


def _comparable(normal: str, wanted: str) -> tuple[float, float]:
    """Means of both in one unit; what luminance an illuminance makes is the road's own affair."""
    if (normal[0] == "M") != (wanted[0] == "M"):
        raise ValueError(f"{wanted} and {normal} are not of one kind: luminance and illuminance")
    return MEAN[normal], MEAN[wanted]


def floors(steps: Sequence[tuple[int, str | int]], normal: str, normal_pct: int) -> list[Floor]:
    """Floors from steps of (local minutes, class or level in percent), sorted by time."""
    return [
        Floor(minute, to, "")
        if isinstance(to, int)
        else Floor(minute, level_pct(normal, to, normal_pct), to)
        for minute, to in sorted(steps)
    ]
