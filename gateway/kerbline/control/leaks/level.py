"""The size of a leak that runs: what lies beyond a tight district, half day by half day."""

from __future__ import annotations

import numpy as np

HALF_DAYS = 16
FEWEST = 3
RISES = 2.5  # of a slope's squared sigma, that tells nothing
SAVED = ("at", "level_l", "end", "count", "open_l", "open_steps")


class Levels:
    """Means of half days, the newest last; so long that imputation and clock errors even out."""

    def __init__(self, day_steps: int) -> None:
        self.length = max(day_steps // 2, 1)
        self.at = np.zeros(HALF_DAYS)  # its middle, steps
        self.level_l = np.zeros(HALF_DAYS)  # a step
        self.end = np.zeros(HALF_DAYS, np.int64)  # the step after it
        self.count = 0
        self.open_l = 0.0
        self.open_steps = 0

    def add(self, off_l: float, steps: int, at: int) -> None:
        """`off_l` litres beyond a tight district in `steps` steps, the last of them `at`."""
        self.open_l += off_l
        self.open_steps += steps
        if self.open_steps < self.length:
            return
        for array in (self.at, self.level_l, self.end):
            array[:-1] = array[1:]
        self.at[-1] = at + 1 - self.open_steps / 2
        self.level_l[-1] = self.open_l / self.open_steps
        self.end[-1] = at + 1
        self.count = min(self.count + 1, HALF_DAYS)
        self.open_l, self.open_steps = 0.0, 0

    def since(self, start: int, at: int, more_l: float) -> None:
        """Keeps what began at step `start` or later, seen from a baseline lower by `more_l`.

        `at` is the last step that was added.
        """
        self.count = min(self.count, int((self.at - self.length / 2 >= start - 1).sum()))
        self.level_l += more_l
        if at + 1 - self.open_steps < start:
            self.open_l, self.open_steps = 0.0, 0
        self.open_l += more_l * self.open_steps

    def clear(self) -> None:
        """Another leak: what was no longer counts."""
        self.count = 0
        self.open_l, self.open_steps = 0.0, 0

    def size_l(self, until: int, sd_l: float) -> float | None:
        """Litres a step just before step `until`, None of too few half days.

        The mean, or the end of a line so far as it rises or falls for sure; `sd_l` is the least
        that a half day errs by.
        """
        counts = (np.arange(HALF_DAYS) >= HALF_DAYS - self.count) & (self.end <= until)
        number = int(counts.sum())
        if number < FEWEST:
            return None
        at, level_l = self.at[counts], self.level_l[counts]
        apart = at - at.mean()
        mean_l = float(level_l.mean())
        spread = float(apart @ apart)
        slope = float(apart @ level_l) / spread
        left_l = level_l - mean_l - slope * apart
        sd_l = max(sd_l, float(np.sqrt(left_l @ left_l / max(number - 2, 1))))
        sure = slope * slope * spread / (sd_l * sd_l)
        trust = max(0.0, 1 - RISES / sure) if sure > 0 else 0.0
        return mean_l + trust * slope * (until - float(at.mean()))
