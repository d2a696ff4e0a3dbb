"""Means of hours, of eight hours and of days, told only where enough of the time was seen.

A mean stands for its time where three quarters of it were seen (Directive 2008/50/EC, annex XI A):
45 minutes of an hour, 6 hours of eight, 18 of a day. What a sample stands for is marked by the
minute, so late, repeated and unordered samples give the same means. Hours and days are of UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
ENOUGH = 0.75
HOURS_A_DAY = 24
EIGHT_HOURS = 8  # of ozone and of CO


@dataclass(frozen=True, slots=True)
class Mean:
    """Of one value over a stretch of time; `value` is None where too little of it was seen."""

    value: float | None
    completeness: float  # 0..1, of the time


@dataclass(frozen=True, slots=True)
class Hour:
    """What of one value's hour was seen."""

    total: float = 0.0
    samples: int = 0
    minutes: int = 0  # a bit each

    def took(self, value: float, end_minute: int, lasted_minutes: int) -> Hour:
        """With a sample that stands for the minutes up to `end_minute` of this hour (1..60)."""
        if not math.isfinite(value):
            return self
        last = min(max(end_minute, 1), 60)
        first = max(last - max(lasted_minutes, 1), 0)
        seen = (1 << last) - (1 << first)
        return Hour(self.total + value, self.samples + 1, self.minutes | seen)

    @property
    def mean(self) -> Mean:
        """Of its samples."""
        completeness = self.minutes.bit_count() / 60
        if not self.samples or completeness < ENOUGH:
            return Mean(None, completeness)
        return Mean(self.total / self.samples, completeness)


def over(hours: Sequence[float | None], count: int) -> Mean:
    """The mean of the last `count` hourly means, in their order; None is an hour without one."""
    told = [value for value in hours[-count:] if value is not None]
    completeness = len(told) / count
    return Mean(sum(told) / len(told) if completeness >= ENOUGH else None, completeness)


# ug/m3 of a ppb at 293.15 K and 1013.25 hPa, the conditions of Directive 2008/50/EC, annex VI C:
# molar mass over 24.055 L/mol.
UG_M3_A_PPB: Mapping[str, float] = {
    "no2": 46.0055 / 24.055,
    "o3": 47.9982 / 24.055,
    "so2": 64.064 / 24.055,
    "co": 28.0101 / 24.055,
}


def pollutant(name: str, value: float) -> tuple[str, float] | None:
    """A station's value as the indices have it: (pollutant, ug/m3), by the unit in its name.

    None where it is no pollutant of an index, or in a unit that cannot be told.
    """
    base, _, unit = name.rpartition("_")
    if unit == "ugm3":
        return base, value
    if unit in ("ppb", "ppm") and base in UG_M3_A_PPB:
        return base, value * UG_M3_A_PPB[base] * (1000 if unit == "ppm" else 1)
    return None
