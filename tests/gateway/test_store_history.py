"""The hours of each asset: every reading counted once, across folds, kills and late comers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kerbline.model import Key, Reading, Value
from kerbline.store import Point, Store
from kerbline.store.history import COLUMN_VALUES
from tests.gateway.samples import reading

HOUR_MS = 3_600_000
T0_MS = 497_222 * HOUR_MS


def at(number: int, minute: int, power_w: float) -> Reading:
    """A lamp's report in the minute after T0_MS."""
    return replace(reading(number, power_w=power_w), observed_at_ms=T0_MS + minute * 60_000)


def hours(store: Store, since_ms: int = T0_MS) -> list[Point]:
    return store.history("of-sl-1", "streetlight", "power_w", since_ms)


def test_an_hour_has_its_least_mean_and_greatest(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    store.append([at(1, 0, 10.0), at(2, 30, 20.0), at(3, 61, 7.0)], T0_MS)
    expected = [Point(T0_MS, 2, 10.0, 15.0, 20.0), Point(T0_MS + HOUR_MS, 1, 7.0, 7.0, 7.0)]
    assert hours(store) == expected
    store.keep_within(T0_MS)
    assert hours(store) == expected, "folded"
    store.append([at(3, 61, 7.0), at(4, 59, 30.0)], T0_MS)  # a double, and one that comes late
    expected[0] = Point(T0_MS, 3, 10.0, 20.0, 30.0)
    assert hours(store) == expected
    store.close()
    for _ in range(2):  # as after a kill, then after a fold
        store = Store.open(path)
        assert hours(store) == expected
        assert hours(store, T0_MS + HOUR_MS) == expected[1:]
        assert store.history("of-sl-1", "streetlight", "none", T0_MS) == []
        store.keep_within(T0_MS)
        store.close()


def test_hours_are_kept_a_week_and_no_more(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    for hour in range(400):
        store.append([at(hour + 1, hour * 60, float(hour))], T0_MS)
        if hour % 50 == 0:
            store.keep_within(T0_MS)
    found = hours(store)
    assert [point.least for point in found] == [float(hour) for hour in range(400 - 168, 400)]
    store.append([at(500, 0, 1.0)], T0_MS)
    assert hours(store) == found, "older than a week is left out"
    store.close()


def test_what_is_no_finite_number_has_no_history(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    values: dict[str, Value] = {
        "power_w": float("nan"),
        "serial": "A1",
        "on": True,
        "level_pct": 30,
    }
    key = Key("sl-1", 7, 1)
    store.append([Reading(key, "of-sl-1", "streetlight", T0_MS, 0, values)], T0_MS)
    store.keep_within(T0_MS)
    assert hours(store) == []
    assert len(store.history("of-sl-1", "streetlight", "level_pct", T0_MS)) == 1
    store.close()


def test_an_hour_is_the_same_however_many_readings_are_counted_together(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    wide = [f"r_{number}" for number in range(COLUMN_VALUES // 16)]
    for number in range(1, 41):  # more than wait together, twice
        names = wide[number % 2 :]  # one value is missing each second time
        values: dict[str, Value] = dict.fromkeys(names, number)
        key = Key("sl-1", 7, number)
        store.append([Reading(key, "of-sl-1", "modbus", T0_MS, 0, values)], T0_MS)
    for name, numbers in ((wide[0], range(2, 41, 2)), (wide[1], range(1, 41))):
        mean = sum(numbers) / len(numbers)
        expected = [Point(T0_MS, len(numbers), numbers[0], mean, numbers[-1])]
        assert store.history("of-sl-1", "modbus", name, T0_MS) == expected
    store.close()


def test_numbers_that_are_too_much_together_have_their_hours(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    values: dict[str, Value] = {"count": 1 << 63, "much": 1e308, "more": 1.5e308}
    key = Key("sl-1", 7, 1)
    store.append([Reading(key, "of-sl-1", "modbus", T0_MS, 0, values)], T0_MS)
    for name, value in values.items():
        (point,) = store.history("of-sl-1", "modbus", name, T0_MS)
        assert point.least == point.greatest == value
    store.close()
