"""Labels scored per step as LeakDB does (Vrachimis et al. 2018, its shipped scoring function).

Early detection: 2 / (1 + exp(5 d / w)) a leak, d the steps to the first alarm in its window w,
which ends 10 steps after it; nought where the alarm is not up for more than 3/4 of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int8]  # (series, time): 1 while a leak runs

AFTER, HELD, ALPHA = 10, 0.75, 5.0


class Score(NamedTuple):
    """All in percent."""

    f1: float
    true_negative: float
    early: float


def labels(alarms: Sequence[Iterable[Mapping[str, int | None]]], steps: int) -> Labels:
    """Alarms as `kerbline leaks score dma-inflow` writes them."""
    found = np.zeros((len(alarms), steps), np.int8)
    for row, each in zip(found, alarms, strict=True):
        for alarm in each:
            row[alarm["start"] : alarm["end"]] = 1
    return found


def score(truth: Labels, said: Labels) -> Score:
    """Over all series and steps."""
    both = int(((truth == 1) & (said == 1)).sum())
    wrong = int((truth != said).sum())
    quiet = truth == 0
    early = [one for row, alarm in zip(truth, said, strict=True) for one in _early(row, alarm)]
    return Score(
        200 * both / max(2 * both + wrong, 1),
        100 * float((said[quiet] == 0).mean()),
        100 * float(np.mean(early)) if early else float("nan"),
    )


def begins_after(truth: Labels, steps: int) -> NDArray[np.bool_]:
    """(series,): no leak in the first `steps`, from which a detector learns."""
    return ~np.asarray(truth[:, :steps].any(axis=1))


def _early(truth: Labels, said: Labels) -> Iterable[float]:
    edges = np.diff(np.concatenate(([0], truth, [0])))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        window = said[start : end + AFTER]
        first = np.flatnonzero(window)
        if first.size == 0 or window[first[0] :].mean() <= HELD:
            yield 0.0
        else:
            yield float(2 / (1 + np.exp(ALPHA * first[0] / window.size)))
