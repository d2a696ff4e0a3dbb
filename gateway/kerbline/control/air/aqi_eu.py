"""The European Air Quality Index in its bands of 2024, by the hour for all five pollutants.

Source: EEA, European Air Quality Index; the bands are those of ETC HE Report 2024/17. A band ends
with its upper bound: 5.0 ug/m3 of PM2.5 is good, anything above it is fair.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

CATEGORIES = ("Good", "Fair", "Moderate", "Poor", "Very poor", "Extremely poor")
# The upper bounds of the first five bands, in ug/m3 as hourly means.
BOUNDS_UG_M3: Mapping[str, tuple[float, ...]] = {
    "pm2_5": (5, 15, 50, 90, 140),
    "pm10": (15, 45, 120, 195, 270),
    "no2": (10, 25, 60, 100, 150),
    "o3": (60, 100, 120, 160, 180),
    "so2": (20, 40, 125, 190, 275),
}


@dataclass(frozen=True, slots=True)
class Level:
    """1 (good) to 6 (extremely poor), and the pollutant that it comes from."""

    index: int
    pollutant: str

    @property
    def category(self) -> str:
        """The level's name in the index."""
        return CATEGORIES[self.index - 1]


def level(pollutant: str, ug_m3: float) -> Level | None:
    """The level of an hourly mean; None where it is negative or no number.

    A KeyError says that the index knows no such pollutant.
    """
    bounds = BOUNDS_UG_M3[pollutant]
    if not math.isfinite(ug_m3) or ug_m3 < 0:
        return None
    return Level(bisect_left(bounds, ug_m3) + 1, pollutant)


def worst(hour_ug_m3: Mapping[str, float]) -> Level | None:
    """The index of an hour: the worst level of its pollutants; None without one of them."""
    levels = [
        found
        for name, value in hour_ug_m3.items()
        if name in BOUNDS_UG_M3 and (found := level(name, value)) is not None
    ]
    return max(levels, key=lambda found: found.index, default=None)
