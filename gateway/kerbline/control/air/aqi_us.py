"""The US Air Quality Index of May 2024, and NowCast, by which an hour of particles is told.

Sources: 40 CFR 58 appendix G as amended on 6 May 2024 (89 FR 16202), with the breakpoints of PM2.5
that follow the annual standard of 9.0 ug/m3; EPA-454/B-24-002 for truncation and NowCast. Above
500 the last line goes on, as the rule of 2024 has it. Means are of 24 hours for particles, of eight
for ozone and CO, of one for NO2, SO2 and high ozone. AirNow tells hours of particles and ozone by
their NowCasts, of NO2 and SO2 as they are, and none of CO.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

CATEGORIES = (
    "Good",
    "Moderate",
    "Unhealthy for Sensitive Groups",
    "Unhealthy",
    "Very Unhealthy",
    "Hazardous",
)
_INDEX = ((0, 50), (51, 100), (101, 150), (151, 200), (201, 300), (301, 500))
_WORST = len(CATEGORIES) - 1

NOWCAST_HOURS = 12
_LEAST_WEIGHT = 0.5  # for particles
_LATEST_HOURS = 3  # of which NowCast wants two


@dataclass(frozen=True, slots=True)
class Breakpoints:
    """A pollutant's lines: for each category from `first` on the concentrations it spans."""

    unit: str
    step: Decimal  # a concentration is cut to whole steps before it is looked up
    spans: tuple[tuple[Decimal, Decimal], ...]
    first: int = 0


def _breakpoints(unit: str, step: str, tops: Sequence[str], first: int = 0) -> Breakpoints:
    """From the upper ends of the spans; each begins a step above the one before it."""
    wide = Decimal(step)
    ends = [Decimal(top) for top in tops]
    starts = [Decimal(0) if not first else ends.pop(0), *(end + wide for end in ends)]
    return Breakpoints(unit, wide, tuple(zip(starts, ends, strict=False)), first)


# Upper ends in the order of the categories. With `first` the list begins with the lower end.
BREAKPOINTS: Mapping[str, Breakpoints] = {
    "pm2_5": _breakpoints("ug/m3", "0.1", ("9.0", "35.4", "55.4", "125.4", "225.4", "325.4")),
    "pm10": _breakpoints("ug/m3", "1", ("54", "154", "254", "354", "424", "604")),
    "o3": _breakpoints("ppm", "0.001", ("0.054", "0.070", "0.085", "0.105", "0.200")),
    "o3_1h": _breakpoints("ppm", "0.001", ("0.125", "0.164", "0.204", "0.404", "0.604"), first=2),
    "co": _breakpoints("ppm", "0.1", ("4.4", "9.4", "12.4", "15.4", "30.4", "50.4")),
    "so2": _breakpoints("ppb", "1", ("35", "75", "185", "304", "604", "1004")),
    "no2": _breakpoints("ppb", "1", ("53", "100", "360", "649", "1249", "2049")),
}


MOST_SO2_1H_PPB = 304  # above it the lines of SO2 are those of 24 hours


@dataclass(frozen=True, slots=True)
class Level:
    """0 to 500 and above, its category, and the pollutant that it comes from."""

    index: int
    category: str
    pollutant: str


def level(pollutant: str, concentration: float) -> Level | None:
    """The index of a concentration in the unit of `BREAKPOINTS`; None where it has none.

    It has none where it is negative or no number, and where ozone is outside of the averaging
    time's table: 8-hour means tell nothing above 0.200 ppm, 1-hour means nothing below 0.125.
    A KeyError says that the index knows no such pollutant.
    """
    table = BREAKPOINTS[pollutant]
    if not math.isfinite(concentration) or concentration < 0:
        return None
    # By way of `repr`: 35.4 is 35.4 and not the binary fraction a little below it.
    steps = (Decimal(repr(concentration)) / table.step).to_integral_value(ROUND_FLOOR)
    value = steps * table.step
    if value < table.spans[0][0]:
        return None
    for number, (low, high) in enumerate(table.spans, table.first):
        last = number == _WORST
        if value <= high or last:
            index = _on_line(value, low, high, *_INDEX[number])
            return Level(index, CATEGORIES[number], pollutant)
    return None


def _on_line(value: Decimal, low: Decimal, high: Decimal, index: int, top: int) -> int:
    """Equation 1 of appendix G, rounded to the nearest whole number."""
    exact = (top - index) / (high - low) * (value - low) + index
    return int(exact.to_integral_value(ROUND_HALF_UP))


def nowcast(hours: Sequence[float | None]) -> float | None:
    """NowCast of particles from up to 12 hourly means, newest first; None is an hour without one.

    None where fewer than two of the latest three hours have a value. In the unit of the hours,
    not rounded (EPA-454/B-24-002, "How the NowCast is calculated").
    """
    told = [
        (age, value)
        for age, value in enumerate(hours[:NOWCAST_HOURS])
        if value is not None and math.isfinite(value)
    ]
    if sum(age < _LATEST_HOURS for age, _ in told) < _LATEST_HOURS - 1:
        return None
    most = max(value for _, value in told)
    least = min(value for _, value in told)
    weight = max(least / most, _LEAST_WEIGHT) if most > 0 else _LEAST_WEIGHT
    weights = [(weight**age, value) for age, value in told]
    return sum(w * value for w, value in weights) / sum(w for w, _ in weights)
