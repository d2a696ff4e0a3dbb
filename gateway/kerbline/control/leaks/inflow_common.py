"""What moves the use of several districts alike, and is no leak of one: weather, a football match.

A cause is a deviation from what is usual, such as a tenth of the degrees that it is warmer than in
the last month, or what neighbouring districts draw beyond their own expectation. How far each
series follows it is learned by recursive least squares while no alarm is up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAY = 0.5  # before anything is learned: standard deviation of the share that follows a cause
FORGET_DAYS = 60.0
SMOOTH_H = 3.0  # of what neighbours draw: single values of theirs are their own
OTHERS = 2  # neighbours that have a value, at least
MOST = 0.5  # of the use is explained at most


@dataclass(slots=True)
class Kept:
    """The state; series come last."""

    follows: Floats  # (causes, series)
    cov: Floats  # (causes, causes, series), over the noise of a value
    drawn: Floats  # (series,): smoothed deviation of the neighbours


class Common:
    """`causes` that are told with each step, and the neighbours where `peers` groups the series."""

    def __init__(self, series: int, day_steps: int, causes: int, peers: Floats | None) -> None:
        count = causes + (peers is not None)
        self.day_steps = day_steps
        self.near = None if peers is None else peers[:, None] == peers[None]
        if self.near is not None:
            np.fill_diagonal(self.near, val=False)
        cov = np.zeros((count, count, series))
        cov[np.arange(count), np.arange(count)] = MAY**2
        self.kept = Kept(np.zeros((count, series)), cov, np.zeros(series))

    def regressors(self, off: Floats, told: Floats | None) -> Floats:
        """(causes, series) of this step; `off`: how far each series is from its own expectation."""
        found = np.zeros(self.kept.follows.shape)
        if told is not None:
            found[: len(told)] = np.nan_to_num(told)
        if self.near is not None:
            others = np.sort(np.where(self.near, off[None], np.nan), axis=1)  # NaN come last
            count = np.isfinite(others).sum(axis=1)
            enough = count >= OTHERS
            places = np.stack([np.maximum(count - 1, 0) // 2, count // 2], axis=1)
            middle = np.take_along_axis(others, places, axis=1).mean(axis=1)
            smooth = 24 / (SMOOTH_H * self.day_steps)
            self.kept.drawn += np.where(enough, smooth * (middle - self.kept.drawn), 0.0)
            found[-1] = np.where(enough, self.kept.drawn, 0.0)
        return found

    def share(self, causes: Floats) -> Floats:
        """(series,): by how much more than usual is drawn because of them."""
        found: Floats = np.clip((self.kept.follows * causes).sum(axis=0), -MOST, MOST)
        return found

    def learn(self, causes: Floats, off: Floats, noise: Floats, calm: Bools) -> None:
        """`off` (series,): the deviation that they should explain; `noise` its variance."""
        kept = self.kept
        calm = calm & (np.abs(off) < MOST)
        spread = (kept.cov * causes[None]).sum(axis=1)
        weight = np.where(calm, 1 / (noise + (spread * causes).sum(axis=0)), 0.0)
        error = np.where(calm, off - (kept.follows * causes).sum(axis=0), 0.0)
        kept.follows += spread * error * weight
        kept.cov -= spread[:, None] * spread[None] * weight
        own = np.arange(len(kept.cov))
        kept.cov[own, own] = np.minimum(
            kept.cov[own, own] * (1 + 1 / (FORGET_DAYS * self.day_steps)), MAY**2
        )
