"""Lighting classes of EN 13201-2:2015, and the level that each of them needs of given lamps.

A street's lamps are made for its normal class; at hours of less traffic a lower one is enough
(adaptive lighting, CEN/TR 13201-1:2014, annex A). Uniformity and glare do not change where all
lamps are dimmed alike, so the level follows the maintained mean: luminance of the M classes (table
1), horizontal illuminance of the C and P classes (tables 2 and 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

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
