"""An operator's rules: when they begin and end, what they say then, and what changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbline.agent.light.programs import Sky
from kerbline.control.light.conditions import (
    Condition,
    Equal,
    Hours,
    Silent,
    Sun,
    Threshold,
    Told,
)
from kerbline.control.light.decision import BEGINS, ENDS, GOES_ON
from kerbline.control.light.rules import AGAIN_MS, Act, Notify, Release, Rule, Rules, SetLevel
from kerbline.model import Key, Reading, Severity, Value

T0_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
ZONE = ZoneInfo("Europe/Amsterdam")
LAMPS = ("lamp-1", "lamp-2")
HUMID = Threshold("air-1", "humidity_pct", 95.0, 90.0, 1, HOUR_MS)
BRIGHT = SetLevel(LAMPS, 80, 600, 2_000)


def rule(*conditions: Condition, **more: Any) -> Rule:
    """A rule that sets a level."""
    return replace(Rule("fog", "v", conditions, light=BRIGHT), **more)


def air(at_s: float, humidity: Value, number: int = 0, quality: tuple[str, ...] = ()) -> Reading:
    """A reading of the station."""
    at_ms = T0_MS + round(1000 * at_s)
    key = Key("air", 1, number or at_ms - T0_MS)
    return Reading(key, "air-1", "air_quality", at_ms, 0, {"humidity_pct": humidity}, quality)


def event(at_s: float, name: str, asset: str = "lamp-1") -> Reading:
    """Something happened."""
    at_ms = T0_MS + round(1000 * at_s)
    key = Key(asset, 1, at_ms - T0_MS)
    return Reading(key, asset, "event", at_ms, 0, {"event": name, "value": 1})


class Street:
    """Rules that are played; `told` is what they had done, by the second."""

    def __init__(self, *rules: Rule, began_s: float = 0) -> None:
        self.rules = Rules(rules)
        self.told: list[tuple[float, str, str]] = []
        self.acts: list[Act] = []
        self.rules.begin(T0_MS + round(1000 * began_s), {})
        self.now_ms = T0_MS + round(1000 * began_s)

    def play(self, readings: Iterable[Reading], until_s: float = 0) -> list[tuple[float, str, str]]:
        """Each as it is observed, and the times between them as the rules ask for them."""
        for reading in readings:
            self.pass_time(reading.observed_at_ms)
            self.rules.take(reading, self.now_ms)
            self.note()
        self.pass_time(T0_MS + round(1000 * until_s))
        return self.told

    def pass_time(self, to_ms: int) -> None:
        """Look whenever the rules ask for it, and at the end."""
        while (next_ms := self.rules.next_ms()) is not None and next_ms <= to_ms:
            self.now_ms = max(next_ms, self.now_ms)
            self.note()
        self.now_ms = max(to_ms, self.now_ms)
        self.note()

    def note(self) -> None:
        """What is due now."""
        for act in self.rules.due(self.now_ms):
            self.acts.append(act)
            self.told.append(((self.now_ms - T0_MS) / 1000, act.rule.name, act.what))


def test_a_bound_has_two_sides() -> None:
    """It begins above the one and ends at the other; between them nothing changes."""
    levels = [94.9, 95.0, 95.1, 91.0, 96.0, 90.1, 90.0, 94.0, 95.2]
    street = Street(rule(HUMID))
    told = street.play(air(60 * n, level) for n, level in enumerate(levels))
    assert told == [(120, "fog", BEGINS), (360, "fog", ENDS), (480, "fog", BEGINS)]
    assert street.acts[0].inputs == {"air-1 humidity_pct": 95.1}
    below = Threshold("air-1", "humidity_pct", 20.0, 25.0, -1, HOUR_MS)
    told = Street(rule(below)).play(air(n, level) for n, level in enumerate([20, 19, 24, 25, 19]))
    assert told == [(1, "fog", BEGINS), (3, "fog", ENDS), (4, "fog", BEGINS)]


def test_what_is_no_number_says_nothing() -> None:
    odd: list[Value] = ["96", True, (96, 97), float("nan"), float("inf")]
    assert Street(rule(HUMID)).play(air(n + 1, value) for n, value in enumerate(odd)) == []


def test_it_has_to_last_without_a_break() -> None:
    readings = [air(0.5, 96), air(50, 89), air(60, 97), air(100, 96)]
    street = Street(rule(HUMID, for_ms=60_000))
    assert street.play(readings, 119) == []
    assert street.play([], 400) == [(120, "fog", BEGINS)]


def test_what_lasted_before_it_was_told_counts() -> None:
    """A reading that is late by half a minute: the time runs from what it says."""
    street = Street(rule(HUMID, for_ms=60_000))
    street.pass_time(T0_MS + 30_000)
    street.rules.take(air(1, 96), street.now_ms)
    assert street.play([], 100) == [(61, "fog", BEGINS)]


def test_a_reading_that_is_too_old_ends_it() -> None:
    told = Street(rule(HUMID)).play([air(1, 96), air(1_801, 97)], 9_000)
    assert [each for each in told if each[2] != GOES_ON] == [
        (1, "fog", BEGINS),
        (1_801 + 3_600, "fog", ENDS),
    ]


def test_a_level_is_renewed_before_its_hold_is_over_and_once_more_at_the_end() -> None:
    street = Street(rule(HUMID))
    told = street.play([air(1, 96), air(1_000, 80)])
    assert [(at, what) for at, _, what in told] == [
        (1, BEGINS),
        (301, GOES_ON),
        (601, GOES_ON),
        (901, GOES_ON),
        (1_000, ENDS),
    ]
    assert {act.lamps for act in street.acts} == {LAMPS}


def test_a_rate_limit_holds_back_and_what_still_holds_then_begins() -> None:
    limited = rule(Told("lamp-1", "motion", 10_000), every_ms=100_000)
    street = Street(limited)
    told = street.play([event(at, "motion") for at in (1, 30, 60, 95)], 130)
    assert told == [(1, "fog", BEGINS), (11, "fog", ENDS), (101, "fog", BEGINS), (105, "fog", ENDS)]


@pytest.mark.parametrize(("all_of_them", "begins"), [(True, [40.0]), (False, [10.0])])
def test_all_of_them_or_any(*, all_of_them: bool, begins: list[float]) -> None:
    both = rule(HUMID, Told("lamp-1", "motion", 60_000), all_of_them=all_of_them)
    told = Street(both).play([event(10, "motion"), air(40, 96)], 50)
    assert [at for at, _, what in told if what == BEGINS] == begins


def test_a_state_is_just_that_value_of_that_type() -> None:
    door = Equal("air-1", "humidity_pct", 1, HOUR_MS)
    for value, begins in ((1, 1), (1.0, 1), (True, 0), ("1", 0), (2, 0)):
        assert len(Street(rule(door)).play([air(1, value)])) == begins
    locked = Equal("air-1", "humidity_pct", wanted=False, max_age_ms=HOUR_MS)
    assert len(Street(rule(locked)).play([air(1, False)])) == 1
    assert len(Street(rule(locked)).play([air(1, 0)])) == 0


def test_silence_is_counted_from_the_gateways_begin() -> None:
    quiet = rule(Silent("air-1", 600_000), light=None, notify=Notify("air-1", Severity.WARNING))
    street = Street(quiet, began_s=100)
    told = street.play([air(300, 50), air(2_000, 50)], 2_599)
    assert told == [(900, "fog", BEGINS), (2_000, "fog", ENDS)]
    assert street.acts[0].inputs == {"air-1 heard_ms": T0_MS + 300_000}
    assert Street(quiet, began_s=100).play([], 700) == [(700, "fog", BEGINS)]


def test_a_clock_that_was_set_forward_silenced_nobody() -> None:
    quiet = rule(Silent("air-1", 600_000), light=None, notify=Notify("air-1", Severity.WARNING))
    street = Street(quiet)
    street.play([air(300, 50)], 400)
    street.rules.passed_over(40_000_000)
    assert street.play([], 40_000 + 899) == []
    assert street.play([], 40_000 + 900) == [(40_900, "fog", BEGINS)]


def local(text: str) -> int:
    """Milliseconds of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


@pytest.mark.parametrize(
    ("days", "begin", "begins", "ends"),
    [
        (frozenset[int](), "2026-12-18T12:00", "2026-12-18T22:30", "2026-12-19T05:00"),
        (frozenset([5]), "2026-12-19T12:00", "2026-12-25T22:30", "2026-12-26T05:00"),  # Fridays
        (frozenset([5]), "2026-12-19T03:00", "2026-12-19T03:00", "2026-12-19T05:00"),  # since then
        (frozenset[int](), "2026-03-28T12:00", "2026-03-28T22:30", "2026-03-29T05:00"),  # spring
        (frozenset[int](), "2026-10-24T12:00", "2026-10-24T22:30", "2026-10-25T05:00"),  # autumn
    ],
)
def test_a_time_of_day_is_local_and_belongs_to_the_day_on_which_it_begins(
    days: frozenset[int], begin: str, begins: str, ends: str
) -> None:
    night = Hours(22 * 60 + 30, 5 * 60, ZONE, days)
    street = Street(rule(night, light=None), began_s=(local(begin) - T0_MS) / 1000)
    told = street.play([], (local(ends) - T0_MS) / 1000)
    assert told == [
        ((local(begins) - T0_MS) / 1000, "fog", BEGINS),
        ((local(ends) - T0_MS) / 1000, "fog", ENDS),
    ]


def test_a_time_holds_each_minute_that_its_clock_shows() -> None:
    """Against the clock itself, over both changes of a year."""
    chance = random.Random(7)
    for first, last in ((0, 0), (90, 1_380), (1_320, 300), (150, 151), (120, 180)):
        hours = Hours(first, last, ZONE)
        for begin in ("2026-03-28T00:00", "2026-10-24T00:00"):
            at_ms = local(begin)
            for _ in range(60):
                at_ms += chance.randrange(60_000, HOUR_MS)
                holds, until_ms = hours.look(at_ms)
                assert until_ms > at_ms
                for sample in range(at_ms, min(until_ms, at_ms + HOUR_MS), 60_000):
                    assert hours.look(sample)[0] == holds
                wall = datetime.fromtimestamp(at_ms / 1000, ZONE)
                minute = wall.hour * 60 + wall.minute
                if first <= last:
                    plain = first <= minute < last or first == last
                else:
                    plain = not last <= minute < first
                is_change = wall.day in (29, 25) and 60 <= minute < 240
                assert holds == plain or is_change


@pytest.mark.parametrize("place", [(52.37, 4.9), (-33.9, 151.2), (69.65, 18.96)])
def test_the_sun_is_down_between_its_crossings(place: tuple[float, float]) -> None:
    sky = Sky(place)
    down, up = (
        Sun(below=True, elevation_deg=-4.0, sky=sky),
        Sun(below=False, elevation_deg=-4.0, sky=sky),
    )
    at_ms, dark = local("2026-01-01T12:00"), 0
    end_ms = at_ms + 366 * 24 * HOUR_MS
    changes = 0
    before: bool | None = None
    while at_ms < end_ms:
        holds, until_ms = down.look(at_ms)
        assert until_ms > at_ms
        assert up.look(at_ms) == (not holds, until_ms)
        assert down.look(until_ms - 1)[0] == holds
        dark += holds * (until_ms - at_ms)
        changes += before is not None and holds != before
        before = holds
        at_ms = until_ms
    expected = {52.37: 731, -33.9: 731, 69.65: 500}[place[0]]
    assert abs(changes - expected) <= 70 if place[0] > 60 else abs(changes - expected) <= 1
    assert 0.40 < dark / (366 * 24 * HOUR_MS) < 0.50


def test_who_did_not_take_it_is_asked_again_while_it_holds() -> None:
    street = Street(rule(HUMID))
    street.play([air(1, 96)])
    street.rules.refused(street.acts[0], "lamp-2")
    street.pass_time(T0_MS + 1_000 + AGAIN_MS)
    assert [(act.what, act.lamps) for act in street.acts] == [
        (BEGINS, LAMPS),
        (GOES_ON, ("lamp-2",)),
    ]
    street.rules.refused(street.acts[1], "lamp-2")
    street.play([air(40, 80)], 300)
    assert [act.what for act in street.acts] == [BEGINS, GOES_ON, ENDS]


def test_a_node_that_is_there_again_is_told_at_once() -> None:
    street = Street(rule(HUMID))
    street.rules.joined("lamp-1", T0_MS)
    street.play([air(1, 96)], 10)
    street.rules.joined("lamp-1", street.now_ms)
    street.rules.joined("lamp-9", street.now_ms)
    street.note()
    assert [(act.what, act.lamps) for act in street.acts][1:] == [(GOES_ON, ("lamp-1",))]


def test_release_is_said_once() -> None:
    street = Street(rule(HUMID, light=Release(LAMPS)))
    street.play([air(1, 96), air(60, 80)], 4_000)
    assert [(act.what, act.lamps) for act in street.acts] == [(BEGINS, LAMPS), (ENDS, ())]


def test_a_restart_changes_nothing_that_is_still_so() -> None:
    alarm = rule(HUMID, notify=Notify("air-1", Severity.CRITICAL), every_ms=HOUR_MS)
    street = Street(alarm)
    street.play([air(1, 96)], 100)
    saved = street.rules.saved()
    assert saved == {"fog": ("v", True, T0_MS + 1_000)}
    again = Rules([alarm])
    again.begin(T0_MS + 200_000, saved)
    again.recall(air(1, 96), T0_MS + 200_000)
    acts = again.due(T0_MS + 200_000)
    assert [(act.what, act.tells) for act in acts] == [(GOES_ON, False)]
    cleared = Rules([alarm])
    cleared.begin(T0_MS + 200_000, saved)
    assert [(act.what, act.tells) for act in cleared.due(T0_MS + 200_000)] == [(ENDS, True)]
    other = Rules([rule(HUMID, version="w", every_ms=HOUR_MS)])
    other.begin(T0_MS + 200_000, saved)
    other.recall(air(1, 96), T0_MS + 200_000)
    assert [act.what for act in other.due(T0_MS + 200_000)] == [BEGINS]


def test_the_rate_limit_outlives_a_restart() -> None:
    limited = rule(HUMID, every_ms=HOUR_MS)
    again = Rules([limited])
    again.begin(T0_MS, {"fog": ("v", False, T0_MS - HOUR_MS // 2)})
    again.take(air(1, 96), T0_MS + 1_000)
    assert again.due(T0_MS + 1_000) == []
    assert again.next_ms() == T0_MS + HOUR_MS // 2
    assert [act.what for act in again.due(T0_MS + HOUR_MS // 2)] == [BEGINS]


SEEN = st.lists(
    st.tuples(st.integers(0, 7_200), st.sampled_from([80, 89.9, 90, 92, 95, 95.1, 99])), max_size=12
)


@settings(max_examples=300)
@given(SEEN, st.randoms(use_true_random=False), st.integers(0, 200))
def test_late_and_repeated_readings_are_harmless(
    seen: list[tuple[int, float]], chance: random.Random, for_s: int
) -> None:
    """Whatever came in whatever order, and how often: in the end it stands as the newest says."""
    readings = [air(at, level, number + 1) for number, (at, level) in enumerate(seen)]
    shuffled = readings * 2
    chance.shuffle(shuffled)
    street = Street(rule(HUMID, for_ms=1000 * for_s, light=None), began_s=7_200)
    for reading in shuffled:
        street.rules.take(reading, street.now_ms)
        street.note()
    street.pass_time(T0_MS + 7_200_000 + 1_000 * for_s)
    newest = max(readings, key=lambda each: (each.observed_at_ms, each.key.number), default=None)
    is_on = bool(street.told) and street.told[-1][2] == BEGINS
    if newest is None or newest.values["humidity_pct"] in (80, 89.9, 90):
        assert not is_on
    elif newest.values["humidity_pct"] in (95.1, 99):
        fresh = newest.observed_at_ms + HOUR_MS > street.now_ms
        assert is_on == fresh


def test_what_a_wrong_clock_dates_ahead_blocks_nothing() -> None:
    street = Street(rule(HUMID))
    street.rules.take(air(86_400, 20), street.now_ms)
    assert street.play([air(1, 96)]) == [(1, "fog", BEGINS)]
    undated = air(2, 20, quality=("undated",))
    assert street.play([undated])[1:] == []


def test_a_clock_that_goes_back_stops_nothing() -> None:
    hours = Hours(22 * 60, 23 * 60, ZONE)
    begin_ms = local("2026-12-18T22:30")
    rules = Rules([rule(hours)])
    rules.begin(begin_ms, {})
    assert [act.what for act in rules.due(begin_ms)] == [BEGINS]
    assert [act.what for act in rules.due(begin_ms - HOUR_MS)] == [ENDS]
    assert rules.next_ms() == local("2026-12-18T22:00")


def test_after_a_clock_went_back_what_comes_counts_again() -> None:
    """An hour ahead, then mended: neither a bound nor a rate limit waits for that hour."""
    rules = Rules([rule(HUMID, every_ms=10_000)])
    rules.begin(T0_MS + HOUR_MS, {})
    rules.take(air(3_600, 96), T0_MS + HOUR_MS)
    assert [act.what for act in rules.due(T0_MS + HOUR_MS)] == [BEGINS]
    assert rules.due(T0_MS) == []
    rules.take(air(60, 80), T0_MS + 60_000)
    assert [act.what for act in rules.due(T0_MS + 60_000)] == [ENDS]
    rules.take(air(90, 96), T0_MS + 90_000)
    assert [act.what for act in rules.due(T0_MS + 90_000)] == [BEGINS]


def any_rule(chance: random.Random, name: str) -> Rule:
    """Some conditions, limits and holds."""
    asset = f"a-{chance.randrange(3)}"
    kinds: list[Condition] = [
        Threshold(asset, "v", 5.0, chance.choice([5.0, 3.0]), 1, chance.choice([5_000, HOUR_MS])),
        Equal(asset, "v", chance.randrange(8), 60_000),
        Told(asset, "motion", chance.choice([1_000, 30_000])),
        Silent(asset, chance.choice([5_000, 100_000])),
        Hours(chance.randrange(1_440), chance.randrange(1_440), ZONE),
    ]
    return rule(
        *chance.sample(kinds, chance.randrange(1, 4)),
        name=name,
        all_of_them=chance.random() < 0.5,
        for_ms=chance.choice([0, 3_000]),
        every_ms=chance.choice([0, 20_000]),
        light=chance.choice([None, SetLevel(LAMPS, 50, 10, 0), BRIGHT]),
    )


def any_reading(chance: random.Random, number: int, now_ms: int) -> Reading:
    """Of now, or late."""
    asset, at_ms = f"a-{chance.randrange(3)}", now_ms - chance.choice([0, 0, 0, 15_000])
    key = Key(asset, 1, number)
    if chance.random() < 0.3:
        return Reading(key, asset, "event", at_ms, 0, {"event": "motion", "value": 1})
    values: list[Value] = [1, 2, 3, 4, 5, 6, 7, "x", True, 6.5]
    return Reading(key, asset, "air_quality", at_ms, 0, {"v": chance.choice(values)})


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_a_rule_is_on_while_its_conditions_hold(seed: int) -> None:
    """Asked for the time alone when it asks to be; the clock is set back now and then."""
    chance = random.Random(seed)
    rules = Rules([any_rule(chance, f"rule-{number}") for number in range(6)])
    now_ms = T0_MS + chance.randrange(10**9)
    rules.begin(now_ms, {})
    on: dict[str, bool] = {}
    began: dict[str, int] = {}
    for number in range(300):
        next_ms = rules.next_ms()
        if chance.random() < 0.5 and next_ms is not None:
            now_ms = max(now_ms, min(next_ms, now_ms + 60_000))
        else:
            now_ms += chance.randrange(3_000)
        if chance.random() < 0.01:
            now_ms -= chance.randrange(10**6)
            began = {name: min(at_ms, now_ms) for name, at_ms in began.items()}
        if chance.random() < 0.6:
            rules.take(any_reading(chance, number, now_ms), now_ms)
        for act in rules.due(now_ms):
            name = act.rule.name
            assert on.get(name, False) == (act.what != BEGINS)
            on[name] = act.what != ENDS
            if act.what == BEGINS:
                assert now_ms - began.get(name, 0) >= act.rule.every_ms
                began[name] = now_ms
            if act.lamps and chance.random() < 0.2:
                rules.refused(act, act.lamps[0])
        next_ms = rules.next_ms()
        assert next_ms is None or next_ms > now_ms
        for run in rules._runs:
            holds = [term.holds for term in run.terms]
            together = all(holds) if run.rule.all_of_them else any(holds)
            at_once = not run.rule.for_ms and not run.rule.every_ms
            assert run.is_on == on.get(run.rule.name, False)
            assert together or not run.is_on
            assert run.is_on or not (together and at_once)


def test_many_readings_leave_nothing_behind() -> None:
    """The times at which a rule is to be looked at are as many as the rules, not the readings."""
    rules = Rules([rule(HUMID, name=f"fog-{number}") for number in range(10)])
    rules.begin(T0_MS, {})
    for number in range(1, 5_000):
        rules.take(air(number, 96), T0_MS + 1_000 * number)
        rules.due(T0_MS + 1_000 * number)
    assert len(rules._times) <= 80
