"""Whom a campaign reaches when: its stages, its hours, its order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.update.plan import Member, Plan, PlanFault, in_order, stages_of, window_of, zone_of
from tests.gateway.test_update_journal import PLAN


def sized(count: int, stages: tuple[float, ...]) -> Plan:
    members = tuple(Member(f"sl-{number}", "udp") for number in range(count))
    return replace(PLAN, members=members, stages=stages)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("1,10,100%", (1, 10, 100)),
        ("5%, 50", (5, 50, 100)),
        ("100", (100,)),
        ("0.5,100", (0.5, 100)),
    ],
)
def test_stages_are_percent_and_end_with_all(text: str, shares: tuple[float, ...]) -> None:
    assert stages_of(text) == shares


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "10,10", "10,5", "101", "nan", "inf", "a", "1,,2", "1;2"]
)
def test_stages_that_do_not_rise_are_refused(text: str) -> None:
    with pytest.raises(PlanFault, match="is not like 1,10,100%"):
        stages_of(text)


@given(st.integers(1, 2_000), st.lists(st.floats(0.1, 99), max_size=4, unique=True))
def test_each_stage_has_more_nodes_and_the_last_has_all(count: int, shares: list[float]) -> None:
    plan = sized(count, (*sorted(shares), 100))
    ends = [plan.stage_end(stage) for stage in range(len(plan.stages))]
    assert ends[-1] == count and ends[0] >= 1
    assert all(after > before or before == count for before, after in pairwise(ends))


def test_a_thousand_nodes_go_in_stages_of_ten_and_a_hundred() -> None:
    plan = sized(1_000, (1, 10, 100))
    assert [plan.stage_end(stage) for stage in range(3)] == [10, 100, 1_000]
    assert [sized(20, (1, 10, 100)).stage_end(stage) for stage in range(3)] == [1, 2, 20]


def test_the_order_is_a_sample_that_begins_with_who_is_there() -> None:
    members = sized(100, (100,)).members
    silent = {f"sl-{number}" for number in range(0, 100, 7)}
    first = in_order(members, b"build-01", lambda node: node not in silent)
    assert sorted(first, key=lambda m: m.node) == sorted(members, key=lambda m: m.node)
    assert {each.node for each in first[-len(silent) :]} == silent
    assert first == in_order(reversed(members), b"build-01", lambda node: node not in silent)
    assert first != in_order(members, b"build-02", lambda node: node not in silent)


@pytest.mark.parametrize(
    ("text", "minutes"), [("01:00-04:30", (60, 270)), ("22:15 - 3:00", (1_335, 180))]
)
def test_a_window_may_pass_midnight(text: str, minutes: tuple[int, int]) -> None:
    assert window_of(text) == minutes


@pytest.mark.parametrize("text", ["", "1-2", "25:00-26:00", "01:00", "01:00-01:00", "01:60-02:00"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PlanFault, match="is not like 01:00-04:30"):
        window_of(text)


def test_the_window_is_of_the_local_day() -> None:
    def at(hour: int, minute: int = 0, month: int = 1) -> int:
        return int(datetime(2026, month, 15, hour, minute, tzinfo=UTC).timestamp() * 1000)

    winter = replace(PLAN, window=(60, 270), time_zone="Europe/Stockholm")
    assert [winter.in_window(at(hour)) for hour in (23, 0, 1, 4)] == [False, True, True, False]
    assert winter.in_window(at(3, 29)) and not winter.in_window(at(3, 30))
    assert winter.in_window(at(23, month=7)) and not winter.in_window(at(3, month=7))
    late = replace(winter, window=(1_320, 180))
    assert [late.in_window(at(hour)) for hour in (20, 21, 0, 1, 2)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert replace(winter, window=None).in_window(at(12))
    with pytest.raises(PlanFault, match="does not know 'Mars/Olympus'"):
        zone_of("Mars/Olympus")
