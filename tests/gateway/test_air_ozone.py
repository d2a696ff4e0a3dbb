"""NowCast of ozone: least squares as AirNow has them, and what is told without them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from kerbline.control.air import ozone
from kerbline.control.air.ozone import KEPT_H, WEEKS_H, Past

Hours = list[float | None]


def summer(seed: int, count: int = WEEKS_H, holes: float = 0.0) -> Hours:
    """Hours of ozone in ppb, oldest first: days of different strength, and chance."""
    chance = random.Random(seed)
    made: Hours = []
    drift, strength = 0.0, 1.0
    for hour in range(count):
        if hour % 24 == 0:
            strength = chance.uniform(0.4, 1.6)
        drift = 0.8 * drift + chance.gauss(0, 3)
        value = 30 + 20 * strength * math.sin((hour % 24 - 9) / 12 * math.pi) + drift
        is_hole = chance.random() < holes and hour < count - 1
        made.append(None if is_hole else round(max(value, 0.0), 1))
    return made


def regressed(hours: Hours) -> float:
    """By numpy, on the 96 hours up to each mean; a hole is filled from four hours on each side."""
    filled = []
    for n, value in enumerate(hours):
        near = [(0.5 ** abs(n - m), v) for m, v in enumerate(hours) if v is not None]
        near = [(weight, v) for weight, v in near if weight >= 0.5**4]
        mean = sum(weight * v for weight, v in near) / sum(weight for weight, _ in near)
        filled.append(mean if value is None else value)
    rows, means = [], []
    for n in range(95, len(hours) - 3):
        about = [value for value in hours[n - 4 : n + 4] if value is not None]
        if len(about) >= 6:
            rows.append([1.0, *filled[n - 95 : n + 1]])
            means.append(sum(about) / len(about))
    found = np.linalg.lstsq(np.array(rows), np.array(means), rcond=None)[0]
    return float(found @ np.array([1.0, *filled[-96:]]))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_regression_of_centred_means(seed: int) -> None:
    hours = summer(seed)
    assert ozone.nowcast(hours[::-1]) == pytest.approx(regressed(hours), abs=0.01)


def test_rows_without_a_mean_are_left_out() -> None:
    """Where three hours of the eight are missing, in two places."""
    hours = summer(5)
    for gap in (150, 260):
        hours[gap : gap + 3] = [None] * 3
    assert ozone.nowcast(hours[::-1]) == pytest.approx(regressed(hours), abs=0.01)


def test_it_runs_ahead_of_the_last_eight_hours() -> None:
    errors: dict[str, list[float]] = {"nowcast": [], "trailing": []}
    for seed in range(4):
        hours = [value for value in summer(seed, WEEKS_H + 40) if value is not None]
        for now in range(WEEKS_H, WEEKS_H + 36, 7):
            truth = sum(hours[now - 4 : now + 4]) / 8
            told = ozone.nowcast(hours[now::-1][:KEPT_H])
            assert told is not None
            errors["nowcast"].append((told - truth) ** 2)
            errors["trailing"].append((sum(hours[now - 7 : now + 1]) / 8 - truth) ** 2)
    assert sum(errors["nowcast"]) < 0.25 * sum(errors["trailing"])


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ([40.0], 38.5),
        ([None, 40.0], 38.5),
        ([None, None, 40.0], 38.5),
        ([None, None, None, 40.0], None),
        ([], None),
        ([20.0] + [30.0] * 250 + [None] * 85, 21.5),  # 251 hours
        ([20.0] * 100 + [None] * 8 + [20.0] * 228, 21.5),  # a hole of eight
        ([30.0] * WEEKS_H, 30.0),
        ([20.0] * 100 + [None] * 7 + [20.0] * 229, 20.0),
        ([0.0] * WEEKS_H, 0.0),
    ],
)
def test_where_two_weeks_are_not_there(hours: Hours, told: float | None) -> None:
    """Of the newest hour of the last three 0.85, and 4.5 ppb."""
    found = ozone.nowcast(hours)
    assert found == (None if told is None else pytest.approx(told, abs=1e-6))


def test_an_hour_late_is_what_was_told_before() -> None:
    hours = summer(1, KEPT_H)[::-1]
    assert ozone.nowcast([None, *hours]) == ozone.nowcast(hours)


def test_what_is_remembered() -> None:
    past = Past().took(5, None)
    assert past == Past()  # no ozone is measured here
    past = past.took(7, 31.26).took(10, None).took(11, 30.0).took(9, 99.0)
    assert past == Past(11, (30.0, None, None, None, 31.3))
    for hour in range(12, 12 + KEPT_H):
        past = past.took(hour, 25.0)
    assert past.ppb == (25.0,) * KEPT_H
    assert past.took(10_000, 25.0).ppb[1:] == (None,) * (KEPT_H - 1)
    for hour in range(past.last + 1, past.last + 1 + KEPT_H):
        past = past.took(hour, None)
    assert past == Past()
