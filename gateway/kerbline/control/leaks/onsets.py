"""When a district's balance changed, and by what: a likelihood for each onset of the last days.

Willsky and Jones (1976): each hypothesis carries what its change would have done to the estimate,
so that what the baseline has already swallowed is counted back. Two kinds of changes are told
apart by their course: a flow that is the same at all hours, and use that is no longer counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.states import ERROR, ERROR_BEFORE, LEAK, STATES

Floats = NDArray[np.float64]

OLDEST_DAYS = 12  # a change longer ago is no longer asked for
THIN = 0.16  # hypotheses lie so far apart, share of their age
SLOTS = 96
FLOW, UNCOUNTED, BOTH = 0, 1, 2  # kinds of changes, and the two together
SAVED = ("age", "effect", "weight", "score", "certain", "slots")


@dataclass(frozen=True, slots=True)
class Shift:
    """The most likely change: its sureness in sigma, in litres a step, `age` steps ago.

    `uncounted` is of use that is no longer counted, in units of the use's pattern.
    """

    sigma: float
    size_l: float
    slot: int
    age: int
    uncounted: float = 0.0


NOTHING = Shift(0.0, 0.0, 0, 0)


class Onsets:
    """Hypotheses from now to some days ago and ever sparser."""

    def __init__(self, day_steps: int) -> None:
        self.day_steps = day_steps
        self.age = np.zeros(SLOTS, np.int64)
        self.effect = np.zeros((2, SLOTS, STATES))  # of a change by one unit, on the estimate
        self.weight = np.zeros((3, SLOTS))
        self.score = np.zeros((2, SLOTS))
        self.certain = np.zeros(SLOTS)  # a flow's weight as if no innovation had been clipped
        self.slots = 0

    def open(self, steps: int, stays: float) -> None:
        """One more, as of now; `stays` of the totals' error is still there."""
        n = self.slots
        self.effect[:, :n, ERROR_BEFORE] = self.effect[:, :n, ERROR]
        self.effect[:, :n, ERROR] *= stays
        self.age[:n] += steps
        self._thin()
        n = self.slots
        self.age[n] = self.certain[n] = 0
        self.effect[:, n] = self.weight[:, n] = self.score[:, n] = 0
        self.slots = n + 1

    def learn(
        self,
        units: tuple[float, float],
        h: Floats,
        gain: Floats,
        surprise_l: float,
        variance_l2: float,
        trust: float,
    ) -> None:
        """An innovation and what of each kind is one unit in it, in litres."""
        n = self.slots
        seen = np.array(units)[:, None] - self.effect[:, :n] @ h
        weighed = seen * (trust / variance_l2)
        self.certain[:n] += seen[FLOW] * seen[FLOW] / variance_l2
        self.weight[:2, :n] += weighed * seen
        self.weight[BOTH, :n] += weighed[FLOW] * seen[UNCOUNTED]
        self.score[:, :n] += weighed * surprise_l
        self.effect[:, :n] += seen[:, :, None] * gain

    def _thin(self) -> None:
        """Drops a hypothesis that is too old, or too close to its neighbours."""
        n = self.slots
        ages = self.age[:n]
        if n and ages[0] > OLDEST_DAYS * self.day_steps:
            gone = 0
        else:
            close = np.flatnonzero(ages[:-2] - ages[2:] < np.maximum(THIN * ages[2:], 1.5))
            if not close.size and n < SLOTS:
                return
            gone = int(close[0]) + 1 if close.size else 0
        for array in (self.age, self.effect, self.weight, self.score, self.certain):
            rows = array if array.ndim == 1 else np.moveaxis(array, 1, 0)
            rows[gone : n - 1] = rows[gone + 1 : n]
        self.slots = n - 1

    def surest(self, sign: float) -> Shift:
        """The surest increase (`sign` 1) or decrease (-1) of flow."""
        n = self.slots
        if not n:
            return NOTHING
        sigmas = sign * self.score[FLOW, :n] / np.sqrt(np.maximum(self.certain[:n], 1e-12))
        slot = int(np.argmax(sigmas))
        size_l = float(self.score[FLOW, slot] / max(self.weight[FLOW, slot], 1e-12))
        return Shift(float(sigmas[slot]), size_l, slot, int(self.age[slot]))

    def flow(self) -> float:
        """How sure any change of flow is, as `uncounted` counts it: without Huber."""
        n = self.slots
        weight = np.maximum(self.weight[FLOW, :n], 1e-12)
        return float(np.sqrt((self.score[FLOW, :n] ** 2 / weight).max(initial=0.0)))

    def gone(self, leak_l: float, size_l: float | None) -> Shift:
        """The likeliest entry since which `size_l` of the leak is gone, all of `leak_l` if None.

        The size is known, so a jump of another size is no repair.
        """
        n = self.slots
        if not n:
            return NOTHING
        was_l = self._was(leak_l) if size_l is None else np.full(n, size_l)
        odds = -was_l * self.score[FLOW, :n] - was_l * was_l * self.weight[FLOW, :n] / 2
        return self._likeliest(odds, -was_l, np.zeros(n))

    def uncounted(self, least: float, most: float, leak_l: float, age: int) -> Shift:
        """The likeliest entry since which other use is not counted, and `leak_l` was none."""
        n = self.slots
        if not n:
            return NOTHING
        was_l = self._was(leak_l)
        score = self.score[UNCOUNTED, :n] + was_l * self.weight[BOTH, :n]
        weight = np.maximum(self.weight[UNCOUNTED, :n], 1e-12)
        share = np.where(self.age[:n] >= age, np.clip(score / weight, least, most), 0.0)
        odds = -was_l * self.score[FLOW, :n] - was_l * was_l * self.weight[FLOW, :n] / 2
        odds += share * score - share * share * weight / 2
        odds[self.age[:n] < age] = 0.0
        return self._likeliest(odds, -was_l, share)

    def _was(self, leak_l: float) -> Floats:
        """What a leak was before each onset: the estimate has followed a part of the way."""
        return leak_l / np.maximum(1 - self.effect[FLOW, : self.slots, LEAK], 0.3)

    def _likeliest(self, odds: Floats, sizes_l: Floats, shares: Floats) -> Shift:
        slot = int(np.argmax(odds))
        sigma = float(np.sqrt(2 * max(odds[slot], 0.0)))
        age = int(self.age[slot])
        return Shift(sigma, float(sizes_l[slot]), slot, age, float(shares[slot]))
