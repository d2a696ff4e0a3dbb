"""A bank of Kalman filters that ask, for onsets of every age, whether a leak began there.

What enters is the flow over the week's shape: y = level + day + leak / shape + noise. The first
filter (BASE) knows no leak unless an alarm is up; each further one took its state over at an hour
of the past and has been free since to explain what came by a leak. After Willsky and Jones' (1976)
generalized likelihood ratio, with geometrically spaced onsets; all series and onsets in one array.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEVEL, SLOPE, DAY, LEAK = range(4)  # of a state; in shares of the usual flow, slope a day
BASE = 0
OLDEST = 11  # the last filter's onset is 2^11 to 2^12 hours past

LEVEL_DRIFT = 3e-4  # a square root of a day
LEVEL_SHARE = 0.3  # of a day's variance that the next day keeps for good
SLOPE_DRIFT = 2e-4
DAY_KEEPS_D = 0.5  # how long an odd day's deviation lasts
DAY_MAY = 0.02  # what any day may deviate, seen or not
LEAK_DRIFT = 7e-4  # of one that is sought
UP_DAYS = 0.15
UP_DRIFT, UP_SHARE = 5e-4, 0.02  # of one whose alarm is up: fixed, and a share of it
LEAK_MAY = 0.5
CLIP = 5.0  # sigma; a value further off is a wrong reading
BELIEVED = 3  # unless it is so many in a row
MISFIT_H = 12.0  # how long a filter's misfit is remembered
MISFIT_USUAL = 1.5
SLOPE_MAY = 1e-3  # a day, after a leak
PRESSURE = 0.03  # of a leak: by so much it lowers the pressure and with it the level
MENDED = 0.2  # of a leak: how ill the level is known when it was just stopped


@dataclass(slots=True)
class Kept:
    """The filters' state: the first axes are the state's, then filter, then series."""

    mean: Floats  # (4, filters, series)
    cov: Floats  # (4, 4, filters, series)
    misfit: Floats  # (filters, series): squared surprise over its expectation
    streak: Floats  # (series,): values in a row that were clipped, signed
    since: NDArray[np.int64]  # (series,): step since which the filters run


class Bank:
    """All filters of all series."""

    def __init__(self, series: int, day_steps: int) -> None:
        count = OLDEST + 2
        self.day_steps = day_steps
        self.hour_steps = max(1, round(day_steps / 24))
        self.kept = Kept(
            np.zeros((4, count, series)),
            np.zeros((4, 4, count, series)),
            np.ones((count, series)),
            np.zeros(series),
            np.zeros(series, np.int64),
        )
        self._stays = float(np.exp(-1 / (DAY_KEEPS_D * day_steps)))
        self._octaves = np.exp2(np.arange(OLDEST + 1))[:, None]

    def begin(self, one: int, at: int, slope: float, noise: float, day: float) -> None:
        """A series starts at level 1, `slope` a day; `noise` and `day` are variances."""
        kept = self.kept
        kept.mean[:, :, one] = 0.0
        kept.mean[LEVEL, :, one] = 1.0
        kept.mean[SLOPE, :, one] = slope
        kept.cov[:, :, :, one] = 0.0
        kept.cov[LEVEL, LEVEL, :, one] = noise / self.day_steps + 1e-6 + day
        kept.cov[SLOPE, SLOPE, :, one] = 0.002**2
        kept.cov[DAY, DAY, :, one] = day
        self.renew(one, at)

    def predict(self, day_var: Floats, up: Bools) -> None:
        """One step on. `up` (series,): the base filter has a leak, too."""
        mean, cov = self.kept.mean, self.kept.cov
        part = 1 / self.day_steps
        mean[LEVEL] += mean[SLOPE] * part
        mean[DAY] *= self._stays
        cov[LEVEL] += part * cov[SLOPE]
        cov[:, LEVEL] += part * cov[:, SLOPE]
        cov[DAY] *= self._stays
        cov[:, DAY] *= self._stays
        cov[LEVEL, LEVEL] += (LEVEL_DRIFT**2 + LEVEL_SHARE * day_var) * part
        cov[SLOPE, SLOPE] += SLOPE_DRIFT**2 * part
        cov[DAY, DAY] += day_var * (1 - self._stays**2)
        of_up = UP_DRIFT**2 + UP_DAYS**2 * day_var + (UP_SHARE * mean[LEAK]) ** 2
        drift = np.where(up, of_up, LEAK_DRIFT**2) * part
        drift[BASE] *= up
        cov[LEAK, LEAK] += drift

    def expected(self, inverse: Floats) -> Floats:
        """(series,): what the base filter expects of y; `inverse` is 1 / shape."""
        mean = self.kept.mean[:, BASE]
        found: Floats = mean[LEVEL] + mean[DAY] + inverse * mean[LEAK]
        return found

    def update(self, y: Floats, inverse: Floats, noise: Floats, there: Bools) -> None:
        """Take y (series,) in where it is `there`; `noise` is its variance at level 1."""
        mean, cov, misfit = self.kept.mean, self.kept.cov, self.kept.misfit
        gain = cov[:, LEVEL] + cov[:, DAY] + inverse * cov[:, LEAK]
        spread = gain[LEVEL] + gain[DAY] + inverse * gain[LEAK] + noise * mean[LEVEL] ** 2
        expected = mean[LEVEL] + mean[DAY] + inverse * mean[LEAK]
        most = CLIP * np.sqrt(spread[BASE])
        off = y - expected[BASE]
        far = np.where(off > most, 1.0, np.where(off < -most, -1.0, 0.0))
        streak = self.kept.streak
        streak[:] = np.where(there, np.where(far * streak > 0, streak, 0.0) + far, streak)
        error = np.where(there, y - expected, 0.0)
        weight = np.where(there & ((far == 0) | (np.abs(streak) >= BELIEVED)), 1 / spread, 0.0)
        error[BASE] = np.clip(error[BASE], -most, most)
        weight[BASE] = np.where(there, 1 / spread[BASE], 0.0)
        mean += gain * (error * weight)
        cov -= gain[:, None] * (gain[None] * weight)
        surprise = np.minimum(error * error * weight, CLIP**2)
        misfit += np.where(weight > 0, surprise - misfit, 0.0) / (MISFIT_H * self.hour_steps)

    def age(self, at: int) -> None:
        """At whole hours a new onset is opened, and older ones move up an octave."""
        if at % self.hour_steps:
            return
        kept, hour = self.kept, at // self.hour_steps
        for octave in range(OLDEST, 0, -1):
            if hour % (1 << octave) == 0:
                kept.mean[:, octave + 1] = kept.mean[:, octave]
                kept.cov[:, :, octave + 1] = kept.cov[:, :, octave]
                kept.misfit[octave + 1] = kept.misfit[octave]
        kept.mean[:, 1] = kept.mean[:, BASE]
        kept.cov[:, :, 1] = kept.cov[:, :, BASE]
        kept.cov[LEAK, LEAK, 1] += LEAK_MAY**2
        kept.cov[DAY, DAY, 1] += DAY_MAY**2
        kept.misfit[1] = 1.0

    def ages_h(self, at: int) -> Floats:
        """(onsets, series): hours since each onset, at least."""
        found: Floats = np.minimum(self._octaves, (at - self.kept.since) / self.hour_steps)
        return found

    def sigmas(self, shape_var: Floats) -> Floats:
        """(onsets, series): by how many standard deviations each onset's leak differs from BASE's.

        `shape_var` (series,) is the variance of a leak that an inexact shape feigns.
        """
        kept = self.kept
        var = kept.cov[LEAK, LEAK, 1:] + shape_var
        found: Floats = (kept.mean[LEAK, 1:] - kept.mean[LEAK, BASE]) / np.sqrt(
            var * np.maximum(1.0, kept.misfit[1:] / MISFIT_USUAL)
        )
        return found

    def accept(self, one: int, onset: int, doubt: float) -> None:
        """The base filter of a series takes over what an onset's filter says, but for `doubt`."""
        kept = self.kept
        kept.mean[:, BASE, one] = kept.mean[:, onset + 1, one]
        kept.cov[:, :, BASE, one] = kept.cov[:, :, onset + 1, one]
        leak = kept.mean[LEAK, BASE, one]
        kept.cov[LEAK, LEAK, BASE, one] += doubt**2
        kept.cov[LEVEL, LEVEL, BASE, one] += (PRESSURE * leak) ** 2

    def close(self, one: int) -> None:
        """The base filter's leak has faded: its state given that there is none."""
        mean, cov = self.kept.mean[:, BASE, one], self.kept.cov[:, :, BASE, one]
        gain = cov[:, LEAK] / cov[LEAK, LEAK]
        mean -= gain * mean[LEAK]
        cov -= np.outer(gain, cov[LEAK].copy())
        self._forget(one)

    def mend(self, one: int) -> None:
        """The base filter's leak was stopped: what else it knows holds, and pressure has risen."""
        mean, cov = self.kept.mean[:, BASE, one], self.kept.cov[:, :, BASE, one]
        cov[LEVEL, LEVEL] += (MENDED * mean[LEAK]) ** 2
        cov[SLOPE, SLOPE] += SLOPE_MAY**2
        mean[DAY] = 0.0
        self._forget(one)

    def absorb(self, one: int) -> float:
        """The base filter's leak becomes a part of its level; returns the leak."""
        mean = self.kept.mean[:, BASE, one]
        leak = float(mean[LEAK])
        mean[LEVEL] += leak
        self._forget(one)
        return leak

    def renew(self, one: int, at: int) -> None:
        """All onsets of a series start now, from what the base filter says."""
        kept = self.kept
        kept.mean[:, 1:, one] = kept.mean[:, BASE, one][:, None]
        kept.cov[:, :, 1:, one] = kept.cov[:, :, BASE, one][:, :, None]
        kept.cov[LEAK, LEAK, 1:, one] += LEAK_MAY**2
        kept.misfit[:, one] = 1.0
        kept.since[one] = at

    def _forget(self, one: int) -> None:
        self.kept.mean[LEAK, BASE, one] = 0.0
        self.kept.cov[LEAK, :, BASE, one] = 0.0
        self.kept.cov[:, LEAK, BASE, one] = 0.0

    def names(self) -> list[str]:
        """Of the arrays that are the state."""
        return [each.name for each in fields(Kept)]
