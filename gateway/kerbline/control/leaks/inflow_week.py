"""The shape of a district's week, learned from two weeks and refined by what came weeks ago.

New weeks enter late: by then a leak that grew in them has been found, and they are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TRAINED_DAYS = 14
LATE_WEEKS = 3
MOST_WEEKS = 20.0  # a week weighs at least one in so many
NEAR_PART = 0.917  # of a normal variance that is left where squares end at their 95th percentile
NEEDED = 0.6  # of the values of the days that train
LEAST_SHAPE = 0.02
LEAST_TELLS = 1e-6  # of an even flow, to which a leak and a season are the same
SHAPE_SD = 4e-4  # the least leak that a shape may feign, as a share of the flow
SHAPE_DOUBT = 2.0  # times what noise alone makes it err: the level of those weeks was not known
USUAL_DAY_SD = 1e-3
NOISE_DAYS, DAY_DAYS = 28.0, 40.0  # how long noise is averaged
OUTLIER = 3.0


@dataclass(slots=True)
class Kept:
    """The state; series come last. Shares of the usual flow."""

    raw: Floats  # (trained, series): the last flows, m3/h
    slots: NDArray[np.int64]  # (trained,): their slots
    late: Floats  # (late, series): shapes of single values, NaN where there is none
    late_slots: NDArray[np.int64]  # (late,)
    shape: Floats  # (slots, series), of mean 1
    weeks: Floats  # (slots, series): how many values a slot's shape comes from
    scale: Floats  # (series,): m3/h of a level of 1
    noise: Floats  # (series,): variance of a value
    day: Floats  # (series,): variance of a day
    tells: Floats  # (series,): how much a week tells of a leak: the scatter of 1 / shape
    ready: Bools  # (series,)
    last: Floats  # (series,): the deviation of the value before
    day_sum: Floats  # (series,): deviations of today, from the level it began with
    day_count: Floats  # (series,)
    day_level: Floats  # (series,)
    day_level_var: Floats  # (series,)


@dataclass(frozen=True, slots=True)
class Start:
    """What the first weeks say of a series besides its shape."""

    slope: float  # a day
    noise: float
    day: float


class Week:
    """Shape and noise of all series."""

    def __init__(self, series: int, day_steps: int) -> None:
        self.day_steps = day_steps
        self.slots = 7 * day_steps
        trained, late = TRAINED_DAYS * day_steps, LATE_WEEKS * self.slots

        def each(value: float) -> Floats:
            return np.full(series, value)

        self.kept = Kept(
            np.full((trained, series), np.nan),
            np.zeros(trained, np.int64),
            np.full((late, series), np.nan),
            np.zeros(late, np.int64),
            np.ones((self.slots, series)),
            np.zeros((self.slots, series)),
            each(1.0),
            each(1e-4),
            each(USUAL_DAY_SD**2),
            each(1.0),
            np.zeros(series, np.bool_),
            each(np.nan),
            each(0.0),
            each(0.0),
            each(1.0),
            each(0.0),
        )

    def keep(self, flow: Floats, slot: int, at: int) -> None:
        """A step's flows, for training."""
        place = at % len(self.kept.raw)
        self.kept.raw[place] = flow
        self.kept.slots[place] = slot

    def train(self, at: int) -> list[tuple[int, Start]]:
        """Series whose last two weeks, the step `at` included, say enough to begin with."""
        kept = self.kept
        if kept.ready.all() or at + 1 < len(kept.raw):
            return []
        found = []
        for one in np.flatnonzero(~kept.ready).tolist():
            flow = np.roll(kept.raw[:, one], -(at + 1))
            if np.isfinite(flow).mean() >= NEEDED and np.nanmedian(flow) > 0:
                found.append((one, self._fit(one, flow, np.roll(kept.slots, -(at + 1)))))
        return found

    def shape_var(self) -> Floats:
        """(series,): variance of the leak that an inexact shape feigns."""
        weeks = np.maximum(self.kept.weeks.mean(axis=0), 1.0)
        found: Floats = SHAPE_DOUBT * self.kept.noise / (weeks * self.kept.tells) + SHAPE_SD**2
        return found

    def value_var(self, slot: int) -> Floats:
        """(series,): variance of y in a slot, the shape's own error included."""
        found: Floats = self.kept.noise * (1 + 1 / np.maximum(self.kept.weeks[slot], 0.5))
        return found

    def learn(self, y: Floats, level: Floats, day: Floats, slot: int, at: int, calm: Bools) -> None:
        """Noise at once, and the shape of some weeks ago, where `calm`: data and no alarm."""
        kept = self.kept
        level = np.maximum(level, 0.05)
        off = (y - day) / level - 1
        step = np.where(calm, off - kept.last, np.nan)
        known = np.isfinite(step)
        var = np.minimum(step**2 / 2, OUTLIER**2 * kept.noise)
        var /= 1 + 1 / np.maximum(kept.weeks[slot], 1.0)
        kept.noise += np.where(known, 1.03 * var - kept.noise, 0.0) / (NOISE_DAYS * self.day_steps)
        kept.last = np.where(calm, off, np.nan)
        today = np.clip(y / np.maximum(kept.day_level, 0.05) - 1, -0.5, 0.5)
        kept.day_sum += np.where(calm, today, 0.0)
        kept.day_count += calm
        place = at % len(kept.late)
        old, old_slot = kept.late[place], int(kept.late_slots[place])
        use = np.isfinite(old)
        weeks = np.minimum(kept.weeks[old_slot] + 1, MOST_WEEKS)
        kept.shape[old_slot] += np.where(use, (old - kept.shape[old_slot]) / weeks, 0.0)
        kept.weeks[old_slot] = np.where(use, weeks, kept.weeks[old_slot])
        usual = calm & (np.abs(off) < 5 * np.sqrt(kept.noise))
        kept.late[place] = np.where(usual, y * kept.shape[slot] / level, np.nan)
        kept.late_slots[place] = slot

    def end_day(self, level: Floats, slope: Floats, level_var: Floats, calm: Bools) -> None:
        """How far days deviate as a whole."""
        kept = self.kept
        mean = kept.day_sum / np.maximum(kept.day_count, 1.0) - slope / 2
        known = calm & (kept.day_count > self.day_steps / 2)
        sure = kept.noise / self.day_steps + kept.day_level_var
        extra = np.minimum(mean**2, OUTLIER**2 * (kept.day + sure)) - sure
        least = (0.3 * USUAL_DAY_SD) ** 2
        kept.day = np.where(
            known, np.maximum(kept.day + (extra - kept.day) / DAY_DAYS, least), kept.day
        )
        kept.day_sum[:] = 0.0
        kept.day_count[:] = 0.0
        kept.day_level = np.maximum(level, 0.05)
        kept.day_level_var = level_var.copy()

    def drop(self, one: int) -> None:
        """The late weeks of a series are not learned: something was wrong in them."""
        self.kept.late[:, one] = np.nan

    def shift(self, one: int, level: float, leak: float) -> None:
        """A constant flow `leak` has come to or gone from what is usual at `level`."""
        kept = self.kept
        shape = (kept.shape[:, one] * level + leak) / max(level + leak, 0.05)
        kept.shape[:, one] = np.maximum(shape, LEAST_SHAPE)
        kept.weeks[:, one] = np.minimum(kept.weeks[:, one], 2.0)
        self.drop(one)

    def _fit(self, one: int, flow: Floats, slots: NDArray[np.int64]) -> Start:
        """Shape, growth and noise of two weeks' flow, the oldest first."""
        kept, days = self.kept, TRAINED_DAYS
        usual = float(np.nanmedian(flow))
        flow = np.where(flow > 0, flow, np.nan) / usual
        halves = np.log(np.maximum(flow, 1e-3)).reshape(2, -1)
        change = halves[1] - halves[0]
        growth = float(np.nanmedian(change)) if np.isfinite(change).any() else 0.0
        flow = flow / np.exp(growth * (np.arange(len(flow)) - len(flow)) / self.slots)
        there = np.isfinite(flow)
        count = np.bincount(slots[there], minlength=self.slots).astype(np.float64)
        total = np.bincount(slots[there], flow[there], self.slots)
        by_day = count.reshape(7, -1).sum(axis=0)
        daily = total.reshape(7, -1).sum(axis=0) / np.maximum(by_day, 1.0)
        daily[by_day == 0] = flow[there].mean()
        shape = np.where(count > 0, total / np.maximum(count, 1.0), np.tile(daily, 7))
        mean = float(shape.mean())
        shape = np.maximum(shape / mean, LEAST_SHAPE)
        change -= growth
        known = np.isfinite(change)
        noise = USUAL_DAY_SD**2
        day = USUAL_DAY_SD**2
        if known.any():
            noise = _variance(change[known]) / 2
            of_day = np.where(known, change, 0.0).reshape(days // 2, -1).sum(axis=1)
            full = known.reshape(days // 2, -1).sum(axis=1)
            means = (of_day / np.maximum(full, 1.0))[full > self.day_steps / 2]
            if means.size > 2:
                seen = max(float(means.var(ddof=1)) / 2 - noise / self.day_steps, 0.0)
                day = (means.size - 1) / 12 * seen + (13 - means.size) / 12 * day
        kept.shape[:, one] = shape
        kept.weeks[:, one] = np.maximum(count, 0.5)
        kept.scale[one] = usual * mean
        kept.noise[one] = noise
        kept.day[one] = day
        inverse = 1 / shape
        scatter = float(((inverse - inverse.mean()) ** 2).sum())
        # An even flow's shape is noise alone, and its leak would be all of the flow.
        errs = noise * float((inverse**2 / np.maximum(count, 0.5)).sum())
        kept.tells[one] = max(scatter - SHAPE_DOUBT * errs, LEAST_TELLS)
        kept.ready[one] = True
        return Start(growth / 7, noise, day)


def _variance(change: Floats) -> float:
    """Of what is mostly normal: by the median, or without the extremes where values are coarse."""
    square = change**2
    near = np.minimum(square, np.quantile(square, 0.95)).mean() / NEAR_PART
    return max(float(np.median(np.abs(change)) * 1.4826) ** 2, float(near), 2e-6)
