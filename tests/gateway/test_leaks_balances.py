"""A district's day: what flowed in less what its meters took, by sums that are told anyway."""

from __future__ import annotations

import json

import numpy as np

from kerbline.control.leaks.balances import HOUR_MS, Balances
from kerbline.control.leaks.grid import Row
from kerbline.control.leaks.mains import Flow
from kerbline.control.leaks.tally import Day, Pipes, Tally
from kerbline.model import Key, Reading, Value

STEP_MS = 900_000
DAY_STEPS = 96
END_MS = 20_001 * 24 * HOUR_MS  # of the day
DAY = Day(20_001 * DAY_STEPS - 1, 9_600.0, 480.0, 2, 55.0)
PIPES = Pipes(2.0, 30, 40.0)


def hour(number: int, litres: int | None = 300, pct: int = 100) -> Reading:
    values: dict[str, Value] = {"completeness_pct": pct}
    if litres is not None:
        values["consumed_l"] = litres
    end_ms = END_MS - (23 - number) * HOUR_MS
    return Reading(Key("gw-1", 1, number), "dma-4", "zone_water", end_ms, 0, values)


def made(saved: object = None) -> Balances:
    """Ten meters, two of which are nobody's home."""
    found = Balances(STEP_MS, PIPES, saved if isinstance(saved, dict) else {})
    found.serve(10, 2)
    return found


def due(balances: Balances, later_h: int = 48) -> list[tuple[int, dict[str, Value]]]:
    return [(end_ms, dict(each)) for end_ms, each in balances.due(END_MS + later_h * HOUR_MS)]


def test_households_enter_by_the_hours_that_were_told() -> None:
    balances = made()
    balances.add([DAY], END_MS)
    for number in range(23):
        balances.figure(hour(number))
    assert due(balances) == []
    balances = made(json.loads(json.dumps(balances.saved())))
    balances.figure(hour(23, 270, 90))
    ((end_ms, values),) = due(balances)
    assert end_ms == END_MS
    assert values == {
        "input_l": 9_600,
        "least_flow_lph": 55,
        "completeness_pct": 92.0,
        "consumed_l": 24 * 300 + 480,
        "losses_l": 9_600 - 7_680,
        "losses_pct": 20.0,
        "leakage_index": round(1_920 / ((18 * 2 + 0.8 * 30) * 40), 2),
    }
    balances.add([DAY], END_MS)
    assert due(balances) == []  # it was told


def test_where_an_hour_is_withheld_no_losses_are_told() -> None:
    balances = made()
    for number in range(24):
        balances.figure(hour(number, None if number == 4 else 300))
    balances.add([DAY], END_MS)
    ((_, values),) = due(balances)
    assert set(values) == {"input_l", "least_flow_lph", "completeness_pct"}


def test_a_day_whose_hours_never_came_is_told_without_them() -> None:
    balances = made()
    balances.add([DAY], END_MS)
    assert due(balances, 240) == []
    ((_, values),) = due(balances, 241)
    assert values["completeness_pct"] == 20.0
    assert "consumed_l" not in values


def test_a_kill_tells_nothing_twice_that_the_log_has() -> None:
    balances = Balances(STEP_MS, None, {})
    balances.serve(2, 2)
    values: dict[str, Value] = {"input_l": 9_600}
    balances.figure(Reading(Key("gw-1", 1, 9), "dma-4", "water_balance", END_MS, 0, values))
    balances.add([DAY], END_MS)
    assert due(balances) == []
    assert balances.told() == {"end_ms": END_MS, "input_l": 9_600}


def test_a_day_without_its_sums_is_told_before_the_next_one() -> None:
    """Sums come in order, so it has none any more."""
    balances = made()
    before = Day(DAY.end - DAY_STEPS, 9_000.0, 400.0, 2, 50.0)
    balances.add([before, DAY], END_MS)
    for number in range(24):
        balances.figure(hour(number))
    (first_ms, first), (second_ms, second) = due(balances)
    assert (first_ms, second_ms) == (END_MS - 24 * HOUR_MS, END_MS)
    assert first["input_l"] == 9_000
    assert "consumed_l" not in first
    assert "losses_l" in second


def test_the_day_in_which_a_main_is_back_has_not_what_flowed_before() -> None:
    """Nor has one that ends without it nothing: neither is known."""
    tally = Tally(DAY_STEPS, 0, ())
    row = Row(np.zeros(0, np.uint32), np.zeros(0, np.bool_), np.zeros(1), np.zeros(1, np.int32))
    silent = {*range(3 * DAY_STEPS - 20, 5 * DAY_STEPS + 20), 7 * DAY_STEPS - 1}
    days = []
    for step in range(8 * DAY_STEPS):
        total_l = np.nan if step in silent else 10.0 * step
        if step == 6 * DAY_STEPS + 3:
            tally = restored(tally)
        day = tally.step(row, Flow(total_l, step == 0, 10.0))
        days += [] if day is None else [day.input_l]
    assert days == [None, 960.0, None, None, None, None, 950.0, 970.0]


def restored(tally: Tally) -> Tally:
    other = Tally(DAY_STEPS, 0, ())
    other.restore(tally.saved())
    return other
