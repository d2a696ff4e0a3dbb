"""How bright lamps behind one feeder may be, lest their power goes over what it may carry.

Each lamp has the same ceiling, and the sum holds even where all of them are at it: nobody needs to
know how bright the others are, so it holds with no gateway, too. A class's floor goes before: where
floors alone want more than the cap, they get it, and the gateway's log says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerbline.control.light.programs import Absolute, Interval, Night

FULL_PCT = 100


@dataclass(frozen=True, slots=True)
class Cap:
    """Lamps that together may draw at most so much, all night or between two local times.

    `from_min` and `to_min` are minutes of the local day; the same one twice: always. `watts`: what
    each lamp draws at full light; power counts as linear in the level.
    """

    name: str
    watts: Mapping[str, float]  # by lamp
    cap_w: float
    from_min: int = 0
    to_min: int = 0

    def hours(self, night: Night) -> list[Interval]:
        """When it holds between two noons."""
        return list(Absolute(self.from_min, self.to_min).intervals(night))


def ceiling_pct(cap: Cap, floors_pct: Mapping[str, int]) -> int:
    """The highest common level at which the lamps keep the cap, whole percents rounded down.

    Lamps whose floor lies above stay at their floor, and the others pay for it; 0 where the floors
    alone use it up.
    """
    for lamps in _rising(cap.watts, floors_pct):
        held_w = sum(cap.watts[lamp] * floors_pct.get(lamp, 0) / FULL_PCT for lamp in lamps)
        free_w = sum(watts for lamp, watts in cap.watts.items() if lamp not in lamps)
        if free_w <= 0:
            return 0
        level = math.floor((cap.cap_w - held_w) / free_w * FULL_PCT + 1e-9)
        others = [floors_pct.get(lamp, 0) for lamp in cap.watts if lamp not in lamps]
        if level >= max(others):  # none of those that pay has a floor above it
            return min(level, FULL_PCT)
    return 0


def _rising(watts: Mapping[str, float], floors_pct: Mapping[str, int]) -> Sequence[frozenset[str]]:
    """Which lamps are held at their floors: none, then those with the highest floor, and so on."""
    heights = sorted({floors_pct.get(lamp, 0) for lamp in watts}, reverse=True)
    return [
        frozenset(),
        *(frozenset(lamp for lamp in watts if floors_pct.get(lamp, 0) >= at) for at in heights),
    ]
