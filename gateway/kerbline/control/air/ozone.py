"""NowCast of ozone: what the mean of eight hours about this one will be, as AirNow has it.

The index of ozone is of eight hours, and the mean of the last eight is four hours late. AirNow has
told since 2019 what the mean from four hours ago to three hours ahead will be, by a regression of
such means of the last two weeks on the 96 hours before each (US EPA, O3-Nowcast: `GetNowcast.r` and
`NowcastFun_Upd.r`). Its partial least squares keep all of their components, which makes them plain
least squares, and so they are solved here. Where the two weeks have too many holes, both take
0.85 of the newest hour and 4.5 ppb. In ppb; pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

WEEKS_H = 336  # two of them
_LAGS = 96
_BEHIND, _AHEAD = 4, 3
_ENOUGH_OF_8 = 6
_ENOUGH_H = 252  # three quarters of two weeks
_LONGEST_GAP_H = 7
_LATEST_H = 3  # one of which must be there
_SLOPE, _OFFSET_PPB = 0.85, 4.5
_NEAR_H = 4  # on both sides, by which a hole is filled
_FLAT = 1e-9  # of the variance; keeps hours solvable that are all alike
_DIGITS = 1
KEPT_H = WEEKS_H + _LATEST_H - 1


@dataclass(frozen=True, slots=True)
class Past:
    """Hourly means up to hour `last`, newest first; nothing at all where no ozone is measured."""

    last: int = -1
    ppb: tuple[float | None, ...] = ()

    def took(self, hour: int, ppb: float | None) -> Past:
        """With a later hour; those between are hours without a mean."""
        if hour <= self.last or (ppb is None and not self.ppb):
            return self
        between = (None,) * min(hour - self.last - 1, KEPT_H) if self.ppb else ()
        value = None if ppb is None else round(ppb, _DIGITS)
        kept = (value, *between, *self.ppb)[:KEPT_H]
        return Past(hour, kept) if any(each is not None for each in kept) else Past()


def nowcast(hours_ppb: Sequence[float | None]) -> float | None:
    """The mean about the newest hour, from hourly means, newest first, up to `KEPT_H` of them.

    None where none of the latest three hours has a value. Where the newest one has none, it is
    what would have been told at the one before it.
    """
    latest = list(hours_ppb[:_LATEST_H])
    age = next((age for age, value in enumerate(latest) if value is not None), None)
    if age is None:
        return None
    newest = latest[age]
    weeks = list(hours_ppb[age : age + WEEKS_H])
    weeks.reverse()
    known = [value for value in weeks if value is not None]
    if len(known) < _ENOUGH_H or _longest_gap(weeks) > _LONGEST_GAP_H or len(weeks) < WEEKS_H:
        assert newest is not None
        return _SLOPE * newest + _OFFSET_PPB
    if not any(known):
        return 0.0
    return max(_regressed(weeks), 0.0)


def _longest_gap(hours: Sequence[float | None]) -> int:
    longest = gap = 0
    for value in hours:
        gap = gap + 1 if value is None else 0
        longest = max(longest, gap)
    return longest


def _filled(hours: Sequence[float | None]) -> list[float]:
    """Each hole by its neighbours; the weight of a neighbour halves with each hour away."""
    filled = []
    for at, value in enumerate(hours):
        reach = _NEAR_H
        while value is None:
            near = [
                (0.5 ** abs(other - at), known)
                for other in range(max(at - reach, 0), min(at + reach + 1, len(hours)))
                if (known := hours[other]) is not None
            ]
            if len(near) > 1:
                value = sum(w * v for w, v in near) / sum(w for w, _ in near)
            reach += 1
        filled.append(value)
    return filled


def _means(hours: Sequence[float | None]) -> list[float | None]:
    """Of the eight hours about each."""
    means: list[float | None] = []
    for at in range(len(hours)):
        about = hours[max(at - _BEHIND, 0) : at + _AHEAD + 1]
        told = [value for value in about if value is not None]
        whole = len(about) == _BEHIND + 1 + _AHEAD
        means.append(sum(told) / len(told) if whole and len(told) >= _ENOUGH_OF_8 else None)
    return means


def _regressed(hours: Sequence[float | None]) -> float:
    """The last hour's mean by least squares on the hours before each of the others."""
    filled = _filled(hours)
    level = sum(filled) / len(filled)
    filled = [value - level for value in filled]
    means = _means(hours)
    rows = [at for at in range(_LAGS - 1, len(hours)) if means[at] is not None]
    wanted = [value - level for at in rows if (value := means[at]) is not None]
    count = len(rows)
    columns = [[filled[at - lag] for at in rows] for lag in range(_LAGS)]
    middles = [sum(column) / count for column in columns]
    middle = sum(wanted) / count
    square = _products(filled, rows, columns)
    for row, by_row in enumerate(square):
        for column in range(row + 1):
            by_row[column] -= count * middles[row] * middles[column]
    flat = _FLAT * sum(square[lag][lag] for lag in range(_LAGS)) + _FLAT
    for lag in range(_LAGS):
        square[lag][lag] += flat
    aim = [
        sum(map(mul, column, wanted)) - count * mean * middle
        for column, mean in zip(columns, middles, strict=True)
    ]
    slopes = _solved(square, aim)
    now = [filled[-1 - lag] - middles[lag] for lag in range(_LAGS)]
    return level + middle + float(sum(map(mul, slopes, now)))


def _products(
    hours: Sequence[float], rows: Sequence[int], columns: Sequence[Sequence[float]]
) -> list[list[float]]:
    """The lower triangle of the columns' products.

    A column is the one before it, an hour earlier. So each product follows from the one up and
    left of it by what comes in and goes out where a run of rows begins and ends.
    """
    here = set(rows)
    runs = zip(
        [at - 1 for at in rows if at - 1 not in here],
        [at for at in rows if at + 1 not in here],
        strict=True,
    )
    edges = [
        ([hours[come - lag] for lag in range(_LAGS)], [hours[gone - lag] for lag in range(_LAGS)])
        for come, gone in runs
    ]
    first = [sum(map(mul, columns[0], column)) for column in columns]
    found = [[first[0]]]
    for lag in range(1, _LAGS):
        line = found[-1]
        for come, gone in edges:
            at_come, at_gone = come[lag - 1], gone[lag - 1]
            line = [
                product + at_come * more - at_gone * less
                for product, more, less in zip(line, come, gone, strict=False)
            ]
        found.append([first[lag], *line])
    return found


def _solved(square: Sequence[Sequence[float]], aim: Sequence[float]) -> list[float]:
    """Of a positive definite matrix, by Cholesky; `square` is its lower triangle."""
    roots: list[list[float]] = []
    for row in square:
        line: list[float] = []
        for value, other in zip(row, roots, strict=False):
            line.append((value - sum(map(mul, line, other))) / other[-1])
        line.append(math.sqrt(max(row[-1] - sum(map(mul, line, line)), _FLAT)))
        roots.append(line)
    half: list[float] = []
    for line, value in zip(roots, aim, strict=True):
        half.append((value - sum(map(mul, line, half))) / line[-1])
    found = [0.0] * len(half)
    for at in range(len(half) - 1, -1, -1):
        found[at] = half[at] / roots[at][at]
        for earlier in range(at):
            half[earlier] -= roots[at][earlier] * found[at]
    return found
