"""The window of a district's reads: a function of the set of reads, and nothing of their order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.control.leaks.grid import Grid

STEP_MS = 900_000
READS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 8 * STEP_MS - 1), st.integers(0, 1 << 33)),
    max_size=40,
)


def rows(grid: Grid) -> list[tuple[list[int], list[bool], str]]:
    found = [grid.row(step) for step in range(grid.first, grid.end)]
    return [(row.reads.tolist(), row.present.tolist(), str(row.mains_l)) for row in found]


@given(READS, st.integers(0, 100))
def test_any_order_and_any_repeats_give_the_same(
    reads: list[tuple[int, int, int]], seed: int
) -> None:
    first, second = Grid(2, 1, 8, STEP_MS, 0), Grid(2, 1, 8, STEP_MS, 0)
    shuffled = reads * 2
    random.Random(seed).shuffle(shuffled)
    for grid, sequence in ((first, reads), (second, shuffled)):
        for meter, at_ms, litres in sequence:
            if meter == 2:
                grid.take_main(0, at_ms, litres)
            else:
                grid.take(meter, at_ms, litres)
    assert rows(first) == rows(second)


def test_the_newest_read_of_a_step_stands() -> None:
    grid = Grid(1, 1, 4, STEP_MS, 10)
    at = 11 * STEP_MS
    assert grid.take(0, at + 5, 100) == 11
    assert grid.take(0, at + 3, 99) is None
    assert grid.take(0, at + 5, 100) is None
    assert grid.take(0, at + 9, 101) == 11
    reads, present, mains_l, _ = grid.row(11)
    assert (reads[0], present[0]) == (101, True)
    assert np.isnan(mains_l[0])


def test_what_is_behind_the_window_is_counted_and_what_is_ahead_refused() -> None:
    grid = Grid(1, 1, 4, STEP_MS, 10)
    assert grid.take(0, 10 * STEP_MS - 1, 5) is None
    assert grid.too_late == 1
    with pytest.raises(ValueError, match="step 14 is after the window"):
        grid.take(0, 14 * STEP_MS, 5)


def test_a_window_that_moves_forgets_and_keeps() -> None:
    grid = Grid(1, 1, 4, STEP_MS, 10)
    for step in range(10, 14):
        grid.take(0, step * STEP_MS, step)
        grid.take_main(0, step * STEP_MS, step)
    grid.advance(12)
    assert [grid.row(step).reads[0] for step in (12, 13)] == [12, 13]
    assert not any(grid.row(step).present[0] for step in (14, 15))
    grid.advance(11)
    assert grid.first == 12
    grid.advance(99)
    assert not any(grid.row(step).present[0] for step in range(99, 103))


@given(st.permutations([(12, True), (10, True), (11, True), (3, False)]))
def test_of_reads_that_were_not_more_the_least_stands(found: list[tuple[int, bool]]) -> None:
    grid = Grid(1, 1, 4, STEP_MS, 10)
    for litres, at_most in found:
        grid.take(0, 12 * STEP_MS - 1, litres, at_most=at_most)
    assert grid.row(11).reads[0] == 10
