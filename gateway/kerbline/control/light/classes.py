"""The floor of a stretch of road: below it nothing but safety dims a lamp while it is night.

It follows the lighting class of each hour (`kerbline.config.lighting_classes`).
"""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.control.light.programs import Night


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
