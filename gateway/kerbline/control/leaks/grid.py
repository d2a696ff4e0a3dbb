"""Totalisers of a district by time step: a window of the last days, whatever order reads come in.

A step's read is the newest that was observed within it. So the window is a function of the set of
reads alone: late, repeated and unordered ones give the same. What falls behind the window is too
late and is counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NONE = -1  # no read in this step


class Row(NamedTuple):
    """A step: counts of the meters where `present`, and the mains' litres, NaN where not read.

    `mains_at_ms` is when these were read, from the step's begin on. Mains may be those of `Around`,
    too, and no totaliser: here they are columns.
    """

    reads: NDArray[np.uint32]
    present: NDArray[np.bool_]
    mains_l: NDArray[np.float64]
    mains_at_ms: NDArray[np.int32]


class Grid:
    """Totalisers of `meters` and `mains` over `steps` steps of `step_ms`, from `first` on.

    Steps are numbered from 1970-01-01 UTC.
    """

    def __init__(self, meters: int, mains: int, steps: int, step_ms: int, first: int) -> None:
        self.step_ms = step_ms
        self.first = first  # the oldest step of the window
        self.too_late = 0
        self._steps = steps
        self._reads = np.zeros((steps, meters), np.uint32)
        self._at_ms = np.full((steps, meters), NONE, np.int32)  # within the step
        self._mains_l = np.full((steps, mains), np.nan)
        self._mains_at_ms = np.full((steps, mains), NONE, np.int32)

    @property
    def end(self) -> int:
        """One after the newest step of the window."""
        return self.first + self._steps

    def take(self, meter: int, at_ms: int, litres: int, *, at_most: bool = False) -> int | None:
        """A meter's read; the step that it changed, None where it changed nothing.

        `at_most`: it was not more at that step's end; of such reads the least is the truest, and it
        stands before others of the step. A read after the window has to wait until `advance` made
        room for it: ValueError.
        """
        step, within = self._place(at_ms)
        if step < self.first:
            self.too_late += 1
            return None
        slot, count = step % self._steps, litres & 0xFFFF_FFFF
        within = self.step_ms - 1 if at_most else min(within, self.step_ms - 2)
        known, before = int(self._at_ms[slot, meter]), int(self._reads[slot, meter])
        is_less = within == known and count >= before
        if is_less if at_most else (within, count) <= (known, before):
            return None
        self._at_ms[slot, meter] = within
        self._reads[slot, meter] = count
        return step

    def take_main(self, main: int, at_ms: int, litres: float) -> int | None:
        """The same of a main's."""
        step, within = self._place(at_ms)
        if step < self.first:
            self.too_late += 1
            return None
        slot = step % self._steps
        known = int(self._mains_at_ms[slot, main])
        if known != NONE and (within, litres) <= (known, float(self._mains_l[slot, main])):
            return None
        self._mains_at_ms[slot, main] = within
        self._mains_l[slot, main] = litres
        return step

    def advance(self, first: int) -> None:
        """Move the window on; what falls out of it is forgotten. It never goes back."""
        gone = min(max(first - self.first, 0), self._steps)
        for step in range(self.first, self.first + gone):
            slot = step % self._steps
            self._at_ms[slot] = NONE
            self._reads[slot] = 0
            self._mains_at_ms[slot] = NONE
            self._mains_l[slot] = np.nan
        self.first = max(first, self.first)

    def row(self, step: int) -> Row:
        """What is known of a step of the window."""
        slot = step % self._steps
        mains = self._mains_l[slot], self._mains_at_ms[slot]
        return Row(self._reads[slot], self._at_ms[slot] >= 0, *mains)

    def _place(self, at_ms: int) -> tuple[int, int]:
        step, within = divmod(at_ms, self.step_ms)
        if step >= self.end:
            raise ValueError(f"step {step} is after the window, which ends at {self.end}")
        return step, within
