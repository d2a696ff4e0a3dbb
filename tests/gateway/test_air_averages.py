"""Means of hours and days: enough of the time, and the same whatever the order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.control.air.averages import Hour, Mean, over, pollutant

SAMPLES = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60)), min_size=1, max_size=30)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_samples_is_of_no_matter(
    samples: list[tuple[int, int]], chance: object
) -> None:
    ordered, shuffled = Hour(), Hour()
    for value, end in samples:
        ordered = ordered.took(value, end, 5)
    chance.shuffle(samples)  # type: ignore[attr-defined]
    for value, end in samples:
        shuffled = shuffled.took(value, end, 5)
    assert shuffled == ordered


def test_three_quarters_of_an_hour_are_enough() -> None:
    hour = Hour()
    for end in range(10, 50, 10):
        hour = hour.took(8.0, end, 10)
    assert hour.mean == Mean(None, 40 / 60)
    assert hour.took(3.0, 45, 5).mean == Mean(7.0, 0.75)


def test_a_minute_counts_once_and_what_is_no_number_not_at_all() -> None:
    hour = Hour().took(5.0, 60, 30).took(7.0, 60, 30).took(math.nan, 30, 30)
    assert hour.mean == Mean(None, 0.5)
    assert hour.took(6.0, 30, 90).mean == Mean(6.0, 1.0)  # never before the hour


@pytest.mark.parametrize(
    ("hours", "count", "mean"),
    [
        ([1.0] * 17 + [None] * 7, 24, Mean(None, 17 / 24)),
        ([2.0] * 18 + [None] * 6, 24, Mean(2.0, 0.75)),
        ([9.0] * 20 + [1.0, 2.0, 3.0, None, 5.0, 6.0, 7.0, None], 8, Mean(4.0, 0.75)),
        ([3.0] * 4, 8, Mean(None, 0.5)),
    ],
)
def test_means_of_hours(hours: list[float | None], count: int, mean: Mean) -> None:
    assert over(hours, count) == mean


@pytest.mark.parametrize(
    ("name", "value", "base", "ug_m3"),
    [
        ("pm2_5_ugm3", 7.0, "pm2_5", 7.0),
        ("no2_ppb", 10.0, "no2", 19.13),
        ("o3_ppm", 0.06, "o3", 119.7),
    ],
)
def test_units_are_those_of_the_directive(name: str, value: float, base: str, ug_m3: float) -> None:
    found = pollutant(name, value)
    assert found is not None
    assert found[0] == base
    assert found[1] == pytest.approx(ug_m3, rel=1e-3)


@pytest.mark.parametrize("name", ["co2_ppm", "temperature_c", "status"])
def test_what_is_of_no_index_is_left_out(name: str) -> None:
    assert pollutant(name, 430.0) is None
