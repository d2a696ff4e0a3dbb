"""The two clocks: street time along its table, its inverse, and what a table may not say."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.clock import Clock, ManualClock, StreetTable

TABLE = StreetTable.parse("[[1000, 500000, 1], [2000, 501000, 60.5], [3000, 600000, 0.5]]")


def test_without_a_table_street_time_is_real_time() -> None:
    assert StreetTable().street_ms(123) == 123
    assert StreetTable().real_ms(123) == 123
    clock = Clock()
    assert clock.street_ms(7) == 7
    before, now, after = time.time_ns(), clock.utc_ms(), time.time_ns()
    assert before // 1_000_000 <= now <= after // 1_000_000
    before, now, after = time.monotonic_ns(), clock.monotonic_ms(), time.monotonic_ns()
    assert before // 1_000_000 <= now <= after // 1_000_000


def test_street_time_follows_its_rows() -> None:
    moments = {
        0: 499_000,
        999: 499_999,
        1000: 500_000,
        1999: 500_999,
        2000: 501_000,
        2001: 501_060,
        2999: 561_439,
        3000: 600_000,
        3001: 600_000,
        3003: 600_001,
    }
    assert {real: TABLE.street_ms(real) for real in moments} == moments


def test_the_inverse_is_the_first_moment_that_is_late_enough() -> None:
    assert TABLE.real_ms(499_999) == 999
    assert TABLE.real_ms(501_060) == 2001
    assert TABLE.real_ms(501_061) == 2002
    assert TABLE.real_ms(580_000) == 3000  # inside a jump: when the jump happens
    assert TABLE.real_ms(600_001) == 3002


@st.composite
def tables(draw: st.DrawFn) -> StreetTable:
    real, street = draw(st.integers(0, 2**41)), draw(st.integers(0, 2**41))
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        rate = draw(st.one_of(st.integers(1, 5000), st.floats(0.01, 5000)))
        rows.append([real, street, rate])
        step = draw(st.integers(1, 10_000_000))
        real, street = real + step, street + int(step * rate) + draw(st.integers(0, 3)) * 1000
    return StreetTable.parse(json.dumps(rows))


@given(tables(), st.integers(-10_000_000, 50_000_000))
def test_there_and_back(table: StreetTable, offset: int) -> None:
    street = table.street_ms(table.rows[0].real_ms + offset)
    real = table.real_ms(street)
    assert table.street_ms(real) >= street > table.street_ms(real - 1)
    assert real <= table.rows[0].real_ms + offset


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "a list of at most"),
        ("[[1, 2]]", "a row is"),
        ('[[1, 2, "3"]]', "a row is"),
        ("[[1.5, 2, 3]]", "a row is"),
        ("[[1, 2, 0]]", "rate is above 0"),
        ("[[1, 2, NaN]]", "rate is above 0"),
        ("[[1, 1e300, 1]]", "a row is"),
        ("[[99999999999999999, 2, 1]]", "rate is above 0"),
        ("[[5, 5, 1], [5, 6, 1]]", "row 2 does not follow row 1"),
        ("[[0, 0, 1], [10, 9, 1]]", "row 2 turns street time back"),
        ("[", "Expecting value"),
    ],
)
def test_a_table_that_makes_no_time_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        StreetTable.parse(text)


def test_a_manual_clock_stands_until_it_is_advanced() -> None:
    clock = ManualClock(1500, TABLE)
    clock.advance(500)
    assert (clock.utc_ms(), clock.monotonic_ms(), clock.street_ms(clock.utc_ms())) == (
        2000,
        500,
        501_000,
    )
    clock.set_utc(0)
    assert (clock.utc_ms(), clock.monotonic_ms()) == (0, 500)
