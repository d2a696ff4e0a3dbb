"""Meters that show the same count for longer than their homes rest.

Nobody is in, or they no longer count: one of them alone does not tell. What all that stand drew
before is told with each entry, so that the balance may say whether water still flows there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.totaliser import FIRST, SWAPPED, Volumes

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

STANDS_NATS = 25.0  # against chance, and a meter stands
RESTS_NATS = 8.0  # and it may
OFTENEST = 0.98  # share of the steps in which a meter turns
DRAW_RATE = 0.05  # of a draw, into what is usual
CAUGHT_UP, CAUGHT_UP_DRAWS = 0.3, 5  # of what would have been drawn meanwhile, at once
LARGE = 0.02  # of the district's use: a customer who is looked at for himself,
LARGE_NATS = 6.0  # if his meter turned all the time
LARGE_DAYS = 5  # so far
RESTS_DAYS = 30.0  # after which a longer rest is forgotten
SAVED = ("draw_l", "nats", "most", "unit_l", "entries")


@dataclass(frozen=True, slots=True)
class Standing:
    """What meters that stand drew before, in units of the use's pattern: shares of `total`.

    One unit is `unit_l` litres in this entry and varies by `unit_l2`. `rests` is of all that may
    stand, `share` of those that do so for sure; `moved2` of those that came to a stand or left it
    the sum of squares, `large2` of large customers. Of `caught_up` the count jumped ahead to
    where it would have been: they had not been read anew.
    """

    total: float = 1.0
    unit_l: float = 0.0
    unit_l2: float = 0.0
    rests: float = 0.0
    share: float = 0.0
    moved2: float = 0.0
    large2: float = 0.0
    caught_up: float = 0.0


NONE = Standing()


@dataclass(frozen=True, slots=True)
class Before:
    """Of each meter, as a step begins: is it a large customer's, did it stand, is it caught up?"""

    large: Mask
    stood: Mask
    caught_up: Mask


class Stands:
    """Which of a district's meters stand, 12 bytes a meter."""

    def __init__(self, meters: int, day_steps: int) -> None:
        self.day_steps = day_steps
        self.draw_l = np.zeros(meters, np.float32)  # in a step in which it turned
        self.nats = np.zeros(meters, np.float32)  # against the home's merely resting
        self.most = np.zeros(meters, np.float32)  # that it has had and turned again
        self.entries = 0
        self.unit_l = 0.0  # litres of a unit in a mean step

    def before(self, drawn_l: Floats, mean: Floats) -> Before:
        """Looks at a step's volumes before it is known how much is usual in it."""
        large = (mean > LARGE * mean.sum()) & (self.most < LARGE_NATS / 2)
        large &= self.entries > LARGE_DAYS * self.day_steps
        stood = self.nats >= np.where(large, LARGE_NATS, STANDS_NATS)
        backlog = np.maximum(CAUGHT_UP * self.nats, CAUGHT_UP_DRAWS) * self.draw_l
        return Before(large, stood, stood & (drawn_l > backlog))

    def step(
        self, before: Before, volumes: Volumes, drawn_l: Floats, mean: Floats, pattern: float
    ) -> Mask:
        """Takes a step in which one unit drew `pattern` litres; which meters stand after it."""
        turned = drawn_l > 0
        same = ~turned & (volumes.spans > 0)
        usual_l = np.where(before.large, self.draw_l, mean * pattern)[same]
        often = np.minimum(usual_l / np.maximum(self.draw_l[same], 0.5), OFTENEST)
        self.nats[same] -= np.log1p(-often) * volumes.spans[same]
        another = (volumes.marks == SWAPPED) | (volumes.marks == FIRST)
        rested = turned & ~before.stood
        self.most[rested] = np.maximum(self.most[rested], self.nats[rested])
        self.most *= 1 - 1 / (RESTS_DAYS * self.day_steps)
        self.nats[turned | another] = 0
        self.entries += 1
        single = turned & (volumes.spans == 1)
        was_l = self.draw_l[single]
        self.draw_l[single] += np.where(was_l > 0, DRAW_RATE, 1.0) * (drawn_l[single] - was_l)
        self.unit_l += (pattern - self.unit_l) / (self.day_steps if self.unit_l else 1)
        return self.nats >= np.where(before.large, LARGE_NATS, STANDS_NATS)

    def told(
        self, before: Before, stands: Mask, mean: Floats, unit_l: float, unit_l2: float
    ) -> Standing:
        """What stands now, and what has changed."""
        moved = (before.stood != stands) & ~before.caught_up
        other, large = mean[moved & ~before.large], mean[moved & before.large]
        return Standing(
            float(mean.sum()),
            unit_l,
            unit_l2,
            float(mean[stands | (self.nats >= RESTS_NATS)].sum()),
            float(mean[stands].sum()),
            float(other @ other),
            float(large @ large),
            float(mean[before.caught_up].sum()),
        )
