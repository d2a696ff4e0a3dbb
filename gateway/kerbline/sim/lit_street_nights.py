"""The nights of a simulated street, and where a run may be cut: by day, when every lamp is off.

Seconds count from the street's start. The sun is the node's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import asin, cos, degrees, radians, sin

from kerbline.sim import node_code
from kerbline.sim.lit_street_files import DAY_S, Street

Spans = tuple[tuple[float, float], ...]

HORIZON_DEG = 0.0  # night is while the sun's centre is below
BRIGHT_DEG = 1.0  # from here on every lamp is off
AROUND_S = 900  # before and after the lit hours, those who are there are played too


@dataclass(frozen=True, slots=True)
class Night:
    """A part of the run that is played on its own: from a noon, or the start, to another.

    Where the sun does not come up at noon it goes on: a polar night is one.
    """

    begin_s: float
    end_s: float
    dark: Spans  # the sun is below the horizon
    lit_from_s: float  # before anything may be lit ...
    lit_to_s: float  # ... and after


def nights(street: Street) -> tuple[Night, ...]:
    """All that have a dark hour, in order."""
    found = []
    cuts = [0.0, *_noons(street), street.end_s]
    bright = _below(street, BRIGHT_DEG, 0.0, street.end_s)
    dark = _below(street, HORIZON_DEG, 0.0, street.end_s)
    for begin_s, end_s in pairwise(cuts):
        lit = cut(bright, begin_s, end_s)
        if lit and end_s > begin_s:
            first_s = max(begin_s, lit[0][0] - AROUND_S)
            last_s = min(end_s, lit[-1][1] + AROUND_S)
            found.append(Night(begin_s, end_s, cut(dark, begin_s, end_s), first_s, last_s))
    return tuple(found)


def turns(street: Street, night: Night, elevation_deg: float) -> list[float]:
    """When the sun passes an elevation in a night, or thereabouts."""
    around = _below(street, elevation_deg, night.begin_s, night.end_s)
    return [at_s for span in around for at_s in span]


def cut(spans: Spans, begin_s: float, end_s: float) -> Spans:
    """The parts of spans that are between two times."""
    return tuple(
        (max(start_s, begin_s), min(stop_s, end_s))
        for start_s, stop_s in spans
        if start_s < end_s and stop_s > begin_s
    )


def joined(spans: Iterator[tuple[float, float]]) -> Spans:
    """Sorted spans, those that touch made one."""
    found: list[tuple[float, float]] = []
    for start_s, stop_s in spans:
        if found and start_s <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop_s))
        else:
            found.append((start_s, stop_s))
    return tuple(found)


def _noons(street: Street) -> Iterator[float]:
    """The noons of the run at which the sun is well up."""
    sun = node_code.sun()
    for midnight_s in _midnights(street, 0.0, street.end_s):
        noon_s = midnight_s + DAY_S // 2
        if not 0 < noon_s - street.start_s < street.end_s:
            continue
        declination, hour_deg = sun.place(noon_s)
        hour = radians(hour_deg + street.longitude)
        north = radians(street.latitude)
        height = sin(north) * sin(declination) + cos(north) * cos(declination) * cos(hour)
        if degrees(asin(height)) > BRIGHT_DEG:
            yield noon_s - street.start_s


def _midnights(street: Street, begin_s: float, end_s: float) -> Iterator[int]:
    """Solar midnights in UTC, from before a time to after another."""
    sun = node_code.sun()
    at_s = sun.midnight(street.start_s + int(begin_s) - DAY_S, street.longitude)
    while at_s < street.start_s + end_s + DAY_S:
        yield at_s
        at_s = sun.midnight(at_s + DAY_S, street.longitude)  # never by a noon: which is nearest?


def _below(street: Street, elevation_deg: float, begin_s: float, end_s: float) -> Spans:
    """While the sun is below an elevation."""
    sun = node_code.sun()

    def each() -> Iterator[tuple[float, float]]:
        for midnight_s in _midnights(street, begin_s, end_s):
            dusk_s, dawn_s = (
                sun.crossing(midnight_s, street.latitude, street.longitude, elevation_deg, sense)
                for sense in (-1, 1)
            )
            if dusk_s < dawn_s:
                yield float(dusk_s - street.start_s), float(dawn_s - street.start_s)

    return cut(joined(each()), begin_s, end_s)
