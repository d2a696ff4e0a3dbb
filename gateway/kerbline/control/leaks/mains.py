"""What flows into a district: the totalisers of its mains, each followed for itself, as one.

A main that was not read leaves its step without a total, and what flowed stands in the next one. A
register that begins again at zero is flow, another meter is none; what flows back is taken away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerbline.control.leaks.grid import Row
from kerbline.control.leaks.kept import State, restore, saved

HOUR_MS = 3_600_000
MOST_LPH = 1e8  # more did not flow through a district's meter: it is another one
ROLLED = 3.0  # of the most that flowed; more than that beyond zero is no roll-over
SMALLEST_REGISTER_L = 100_000
SAVED = (
    *("read_l", "at_ms", "most_lph", "passed_l", "total_l", "told_l", "steps", "broken", "lph"),
)


@dataclass(frozen=True, slots=True)
class Flow:
    """Of a step: litres that ever entered, NaN where no total is known, and the mean since the step
    before in litres an hour, NaN where a main was not read in both.

    With a `broken` one nobody knows what flowed since the total before. None is below the one
    before: where meters round, or water goes back, there is none until it is more again. `mains_l2`
    is what passed each main since then, squared and by the step: meters err by shares of that.
    """

    total_l: float
    broken: bool
    lph: float
    mains_l2: float = 0.0


class Mains:
    """Those of one district by their `signs`: 1 for an inlet, -1 for an outlet.

    In a Row they stand from `first` on.
    """

    def __init__(self, signs: Sequence[int], step_ms: int, first: int = 0) -> None:
        self._signs = signs
        self._places = slice(first, first + len(signs))
        self._step_ms = step_ms
        self.read_l = np.full(len(signs), np.nan)
        self.at_ms = np.full(len(signs), -1, np.int64)
        self.most_lph = np.zeros(len(signs))
        self.passed_l = np.zeros(len(signs))  # since the last total
        self.total_l = self.told_l = 0.0
        self.steps = 0
        self.broken = True
        self.lph = float("nan")

    def step(self, row: Row, at: int) -> Flow:
        """The step `at` since 1970."""
        self.lph = 0.0
        self.steps += 1
        reads_l = row.mains_l[self._places].tolist()
        times_ms = row.mains_at_ms[self._places].tolist()
        for main, sign in enumerate(self._signs):
            at_ms = at * self._step_ms + times_ms[main]
            self.lph += sign * self._follow(main, reads_l[main], at_ms, at)
        if abs(self.lph) > MOST_LPH:
            self.lph = float("nan")
        is_less = self.total_l < self.told_l and not self.broken
        if is_less or not all(map(math.isfinite, reads_l)):
            return Flow(float("nan"), False, self.lph)
        broken, self.broken = self.broken, False
        self.told_l = self.total_l
        mains_l2 = float(self.passed_l @ self.passed_l) / self.steps
        self.passed_l[:], self.steps = 0.0, 0
        return Flow(self.total_l, broken, self.lph, mains_l2)

    def _follow(self, main: int, litres: float, at_ms: int, at: int) -> float:
        """Adds what passed a main; its mean flow since the step before."""
        if litres != litres:
            return float("nan")
        before_l, before_ms = float(self.read_l[main]), int(self.at_ms[main])
        self.read_l[main], self.at_ms[main] = litres, at_ms
        hours = (at_ms - before_ms) / HOUR_MS
        more_l = self._passed(main, before_l, litres, hours)
        if more_l is None:
            self.broken = True
            return float("nan")
        self.total_l += self._signs[main] * more_l
        self.passed_l[main] += more_l
        lph = more_l / hours
        self.most_lph[main] = max(self.most_lph[main], lph)
        return lph if before_ms >= (at - 1) * self._step_ms else float("nan")

    def _passed(self, main: int, before_l: float, after_l: float, hours: float) -> float | None:
        """Litres; None where the meter is another one, or the first."""
        more_l, most_l = after_l - before_l, float(self.most_lph[main]) * hours
        if 0 <= more_l <= MOST_LPH * hours:
            return more_l
        if not more_l < 0:
            return None
        for register_l in registers(before_l):
            if 0 <= more_l + register_l <= ROLLED * most_l:
                return more_l + register_l
        return more_l if -more_l <= most_l else None

    def saved(self) -> State:
        """The whole state."""
        return saved(self, SAVED)

    def restore(self, state: State) -> None:
        """Goes on from what `saved` gave; ValueError where it is of other mains."""
        restore(self, SAVED, state)


def registers(litres: float) -> Iterator[int]:
    """After how many litres a totaliser that has so many may begin again."""
    for register_l in (10 ** len(str(int(litres))), 1 << 32):
        if litres < register_l >= SMALLEST_REGISTER_L:
            yield register_l
