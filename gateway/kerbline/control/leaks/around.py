"""What a district has in common with others: its neighbours' inflows, and the weather.

For `inflow`, whose `inflow_common` learns how far the district follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.grid import Row
from kerbline.control.leaks.kept import State, part_of, restore, saved, under
from kerbline.control.leaks.mains import Mains

USUAL_DAYS = 30
HOLDS_H = 3  # the last temperature, where none was read
TENTH = 0.1  # of the degrees beyond what is usual
SAVED = ("usual_c", "days", "last_c", "age")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another district: its mains' signs, and steps in which water is let out there on purpose."""

    signs: tuple[int, ...]
    planned: Callable[[int], bool]


class Around:
    """Of one district. In a Row its own mains come first, then the neighbours', then degrees."""

    def __init__(
        self, own: int, neighbours: Sequence[Neighbour], *, warmth: bool, step_min: int
    ) -> None:
        """`own`: how many mains; `warmth`: is a temperature told?"""
        self._day_steps = 1440 // step_min
        self._warmth = warmth
        self._near: list[tuple[Neighbour, Mains]] = []
        for one in neighbours:
            self._near.append((one, Mains(one.signs, step_min * 60_000, own)))
            own += len(one.signs)
        self._column = own
        self.usual_c = np.zeros(self._day_steps)  # at this time of the day,
        self.days = np.zeros(self._day_steps)  # which was seen so often
        self.last_c, self.age = float("nan"), 0

    def flows_lph(self, row: Row, at: int) -> Iterator[float]:
        """The neighbours' inflows; NaN where one says nothing."""
        for one, mains in self._near:
            lph = mains.step(row, at).lph
            yield float("nan") if one.planned(at) else lph

    def warmer(self, row: Row, at: int) -> float:
        """Tens of degrees that it is warmer than at this time of a month's days; 0 if unknown."""
        if not self._warmth:
            return 0.0
        degrees = float(row.mains_l[self._column])
        self.age += 1
        if degrees == degrees:
            self.last_c, self.age = degrees, 0
        if self.last_c != self.last_c or self.age * 24 > HOLDS_H * self._day_steps:
            return 0.0
        place = at % self._day_steps
        self.days[place] = min(self.days[place] + 1, USUAL_DAYS)
        self.usual_c[place] += (self.last_c - self.usual_c[place]) / self.days[place]
        return TENTH * (self.last_c - float(self.usual_c[place]))

    def saved(self) -> State:
        """The whole state."""
        state = saved(self, SAVED)
        for number, (_, mains) in enumerate(self._near):
            state |= under(f"near{number}", mains.saved())
        return state

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of others."""
        restore(self, SAVED, state)
        for number, (_, mains) in enumerate(self._near):
            mains.restore(part_of(f"near{number}", state))
