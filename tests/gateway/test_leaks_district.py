"""A district over its log: order, repeats and kills change nothing of what stands."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbline.control.leaks import BALANCE, FIGURES, METER_RULES, tally
from kerbline.control.leaks import INFLOW as RULE
from kerbline.control.leaks.around import Neighbour
from kerbline.control.leaks.district import INFLOW, District, Members
from kerbline.control.leaks.meters import Kind, MeterWatch
from kerbline.control.leaks.watch import METER, ZONE, Setting
from kerbline.sim import district as sim
from tests.gateway.district_years import Leak, inflow

DAY = 24
HOUR_MS = 3_600_000
BEGIN = 20_000 * DAY  # a step of an hour
HOMES = 12
NAMES = tuple(f"meter-{home}" for home in range(HOMES))
SETTING = Setting(HOMES, 60, (1,), False, lambda step: step % 168, lambda _: False)


class Read(NamedTuple):
    """Of a meter or the INFLOW."""

    meter: int
    at_ms: int
    litres: float


def made(saved: Any = None) -> District:
    return District(SETTING, Members(NAMES, (True,) * HOMES, ("main",)), 1, saved)


def reads(days: int, seed: int = 3, homes: int = HOMES) -> list[Read]:
    """By the hour, in their order, of a district with a burst main after half of the time."""
    leak = sim.Leak(days // 2 * DAY, days * DAY, 250.0)
    one = sim.District(homes=homes, days=days, step_min=60, missing=0.03, leaks=(leak,))
    recorded = sim.recorded(replace(one, inflow_step_l=1), seed)
    found = []
    for step in range(days * DAY):
        at_ms = (BEGIN + step) * HOUR_MS + 1_800_000
        there = np.flatnonzero(~recorded.missing[:, step]).tolist()
        some = [Read(home, at_ms + home, int(recorded.reads[home, step])) for home in there]
        total_l = float(recorded.inflow_total_l[step])
        found += [*some, Read(INFLOW, at_ms + 99, total_l)]
    return found


def fed(district: District, log: Sequence[Read], seq: int = 0, judge: int = 1) -> District:
    for number, read in enumerate(log, seq + 1):
        for _ in district.take(*read, number):
            pass
        if number % judge == 0:
            for _ in district.judge():
                pass
    for _ in district.judge():
        pass
    return district


def told(district: District) -> Any:
    """All that a later step depends on, and what stands."""
    saved = district.saved(0)
    rows = []
    grid = district._grid
    assert grid is not None
    for step in range(grid.first, grid.end):
        row = grid.row(step)
        rows.append((row.reads[row.present].tolist(), row.present.tolist(), str(row.mains_l)))
    assert district._live is not None
    live = {name: array.tobytes() for name, array in district._live.saved().items()}
    return district.standing(), saved["first"], saved["state"], rows, live


def mixed(log: list[Read], chance: random.Random, hours: int) -> list[Read]:
    """Each read up to so many hours late, and some twice."""
    late = [(read.at_ms + chance.random() ** 4 * hours * HOUR_MS, read) for read in log]
    late += [(at + 3 * HOUR_MS, read) for at, read in late if chance.random() < 0.1]
    return [read for _, read in sorted(late)]


@pytest.fixture(scope="module")
def month() -> list[Read]:
    return reads(13)


def test_a_leak_stands_with_its_size_and_its_loss(month: list[Read]) -> None:
    district = fed(made(), month, judge=61)
    (up,) = [each for each in district.standing() if each.rule == BALANCE]
    assert up.subject == ZONE
    assert up.lph == pytest.approx(250, rel=0.15)
    hours = district.judged - up.since
    assert up.litres == pytest.approx(250 * hours, rel=0.2)
    assert abs(up.since - BEGIN - 6 * DAY) <= 3
    assert up.raised - up.since < 12
    days = district.days
    assert [day.end for day in days] == [BEGIN + DAY * n - 1 for n in range(1, len(days) + 1)]
    assert len(days) >= 10
    assert days[0].input_l is None
    for day in days[7:]:
        assert day.input_l is not None
        assert day.input_l - day.consumed_l == pytest.approx(6_000 + 0.1 * 4_800, rel=0.3)
        assert day.least_lph is not None and 250 < day.least_lph < 450


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(2, 40))
def test_late_and_repeated_reads_give_the_same(seed: int, hours: int) -> None:
    log = reads(4)
    chance = random.Random(seed)
    late = [log[0], *mixed(log, chance, hours), log[-1]]
    expected = told(fed(made(), log, judge=997))
    assert told(fed(made(), late, judge=997)) == expected


@settings(max_examples=3, deadline=None)
@given(st.data())
def test_a_kill_changes_nothing(data: st.DataObject) -> None:
    log = mixed(reads(4), random.Random(5), 20)
    expected = told(fed(made(), log, judge=313))
    cuts = data.draw(st.lists(st.integers(1, len(log) - 1), max_size=3, unique=True))
    saved: Any = None
    after = 0
    for noted in sorted(cuts):  # noted there, killed somewhat later
        fed_up = fed(made(saved), log[after:noted], after, judge=701)
        saved = json.loads(json.dumps(fed_up.saved(noted)))
        after = saved["after"]
        assert after <= noted
    assert told(fed(made(saved), log[after:], after, judge=499)) == expected


def test_what_an_operator_accepts_is_usual(month: list[Read]) -> None:
    """Whether it is gone over step by step or again from the window's begin."""
    step = BEGIN + 9 * DAY
    accepting = replace(SETTING, accepted=lambda at: [BALANCE] if at == step else [])
    district = District(accepting, Members(NAMES, (True,) * HOMES, ("main",)), 1)
    fed(district, month, judge=61)
    assert not [each for each in district.standing() if each.rule == BALANCE]
    saved = json.loads(json.dumps(district.saved(len(month))))
    again = District(accepting, Members(NAMES, (True,) * HOMES, ("main",)), 1, saved)
    assert told(fed(again, month[saved["after"] :], saved["after"])) == told(district)


def test_an_inflow_that_an_operator_accepts_is_usual() -> None:
    """From the step on, and as well where it is gone over again."""
    days, accepted = 30, BEGIN + 23 * DAY
    flow = inflow(3, days, [Leak(20 * DAY, days * DAY, 0.1)], step_min=60)
    log = [
        Read(INFLOW, (BEGIN + step) * HOUR_MS + 9, litres)
        for step, litres in enumerate(np.cumsum(flow * 1000).tolist())
    ]
    alone = Setting(0, 60, (1,), False, SETTING.slot, SETTING.planned)
    rules: dict[int, set[str]] = {}
    accepting = replace(alone, accepted=lambda at: rules.get(at, ()))
    nobody = Members((), (), ("main",))
    district, said = District(accepting, nobody, 1), accepted + 3 - BEGIN
    (up,) = fed(district, log[:said]).standing()
    assert (up.subject, up.rule) == (ZONE, RULE)
    assert district.over == accepted
    rules[accepted] = {RULE}
    district.mind(accepted)
    assert district.is_due
    assert fed(district, log[said:], said).standing() == []
    assert told(fed(District(accepting, nobody, 1), log)) == told(district)


DAYS, AT = 52, 48 * 24


@dataclass(frozen=True)
class Common:
    """What a district is told of others, and how they are numbered."""

    neighbours: int = 0
    warmth: bool = False


@pytest.fixture(scope="module")
def weather() -> tuple[Any, Any]:
    """Four districts that follow it alike, in m3/h: a leak of 4 % in the first; and degrees."""
    hours = DAYS * DAY
    leaks: list[list[Leak]] = [[Leak(AT, hours, 0.04)], [], [], []]
    flows = np.array([inflow(5 + n, DAYS, each, step_min=60) for n, each in enumerate(leaks)])
    chance = np.random.default_rng(4)
    warmer = np.zeros(hours)
    for now in range(1, hours):  # it lasts a day or two
        warmer[now] = 0.97 * warmer[now - 1] + chance.normal(0, 0.25)
    flows *= 1 + 0.03 * warmer * np.array([[1.0], [0.8], [1.1], [0.7]])
    by_day = np.sin(np.arange(hours) * 2 * np.pi / DAY)
    return flows, -3.0 + 6 * by_day + 4 * warmer


@pytest.mark.parametrize("common", [Common(neighbours=3), Common(warmth=True)])
def test_neighbours_or_the_temperature_explain_what_a_leak_does_not(
    weather: tuple[Any, Any], common: Common
) -> None:
    flows, degrees = weather
    totals_l = np.cumsum(flows * 1000, axis=1)
    near = tuple(Neighbour((1,), lambda _: False) for _ in range(common.neighbours))
    names = tuple(f"column-{n}" for n in range(1 + common.neighbours + common.warmth))
    setting = Setting(
        *(0, 60, (1,), False, SETTING.slot, SETTING.planned),
        neighbours=near,
        warmth=common.warmth,
    )

    def some(saved: Any = None) -> District:
        return District(setting, Members((), (), names), 1, saved)

    log = []
    for step in range(len(degrees)):
        at_ms = (BEGIN + step) * HOUR_MS + 9
        columns = [*totals_l[: 1 + common.neighbours, step], *[degrees[step]] * common.warmth]
        log += [Read(INFLOW - n, at_ms + n, float(each)) for n, each in enumerate(columns)]
    noted = len(log) * 5 // 6
    district = fed(some(), log[:noted], judge=97)
    saved = json.loads(json.dumps(district.saved(noted)))
    assert district.standing() == []
    (up,) = fed(district, log[noted:], noted, judge=97).standing()
    assert (up.subject, up.rule) == (ZONE, RULE)
    assert 0 < up.raised - BEGIN - AT <= 24  # alone it takes days
    after = saved["after"]
    assert told(fed(some(saved), log[after:], after, judge=97)) == told(district)


def through_three(log: list[Read], chance: random.Random) -> list[Read]:
    """As if two mains led in and one led on; a read of each is lost now and then."""
    found = [read for read in log if read.meter != INFLOW]
    on_l = 0.0
    for read in log:
        if read.meter != INFLOW:
            continue
        on_l += chance.uniform(1_000, 3_000)
        whole_l = read.litres + on_l
        counts = (0.7 * whole_l + 999_980_000) % 10**9, 0.3 * whole_l, on_l
        for main, litres in enumerate(counts):
            if chance.random() > 0.04:
                found.append(Read(INFLOW - main, read.at_ms + main, litres))
    return sorted(found, key=lambda read: read.at_ms)


def test_a_leak_is_found_behind_inlets_and_outlets(month: list[Read]) -> None:
    log = through_three(month, random.Random(4))
    setting = replace(SETTING, mains=(1, 1, -1), inflow_alone=True)
    mains = "north", "south", "on"

    def some(saved: Any = None) -> District:
        return District(setting, Members(NAMES, (True,) * HOMES, mains), 1, saved)

    district = fed(some(), log, judge=61)
    last = {INFLOW - read.meter for read in log if read.at_ms // HOUR_MS == district.judged - 1}
    assert district.silent() == [main for main in range(3) if main not in last]
    (up,) = [each for each in district.standing() if each.subject == ZONE]
    assert up.rule == BALANCE
    assert up.lph == pytest.approx(250, rel=0.15)
    assert abs(up.since - BEGIN - 6 * DAY) <= 3
    half = len(log) // 2
    saved = json.loads(json.dumps(fed(some(), log[:half]).saved(half)))
    after = saved["after"]
    assert told(fed(some(saved), log[after:], after)) == told(district)
    one, other = fed(made(), month, judge=61).days, district.days
    for day, same in zip(one[1:], other[1:], strict=True):
        if day.input_l is not None and same.input_l is not None:
            assert same.input_l == pytest.approx(day.input_l, abs=800)
            assert same.consumed_l == day.consumed_l
    assert sum(day.input_l is not None for day in other) >= len(other) - 1
    setting, members = replace(setting, mains=(1,)), replace(some()._members, mains=mains[:1])
    fewer = District(setting, members, 1, saved)
    assert fewer.first == -1  # it is another district, to be learned anew


def test_a_day_whose_inflow_begins_in_it_has_no_input(month: list[Read]) -> None:
    began_ms = (BEGIN + DAY + 9) * HOUR_MS
    log = [read for read in month if read.meter != INFLOW or read.at_ms > began_ms]
    days = fed(made(), log, judge=61).days
    assert [day.input_l is None for day in days[:4]] == [True, True, False, False]


def test_meters_that_report_their_hours_once_a_day_are_meters_too(month: list[Read]) -> None:
    """What they tell a day late is as if they had been read at the ends of their hours."""
    volume: dict[int, dict[int, int]] = {}
    for read in month:
        if read.meter != INFLOW:
            volume.setdefault(read.meter, {})[read.at_ms // HOUR_MS] = round(read.litres)
    late = [(read.at_ms, read, False) for read in month if read.meter == INFLOW]
    for meter, at in volume.items():
        for hour, litres in at.items():
            report_ms = (hour // DAY + 1) * DAY * HOUR_MS + (meter * 7) % 24 * HOUR_MS
            late.append((report_ms, Read(meter, (hour + 1) * HOUR_MS - 1, litres), True))
    district = made()
    for number, (_, read, at_most) in enumerate(sorted(late), 1):
        for _ in district.take(*read, number, at_most=at_most):
            pass
        if number % 499 == 0:
            for _ in district.judge():
                pass
    for _ in district.judge():
        pass
    (up,) = [each for each in district.standing() if each.rule == BALANCE]
    assert up.lph == pytest.approx(250, rel=0.15)


def test_a_long_silence_moves_the_window_step_by_step() -> None:
    log = reads(2)
    district = fed(made(), log)
    later = log[-1].at_ms + 9 * DAY * HOUR_MS
    moved = sum(1 for _ in district.take(0, later, 0, len(log) + 1))
    assert moved == later // HOUR_MS - log[0].at_ms // HOUR_MS - (48 + 1 + 1) + 1
    assert list(district.take(1, log[5].at_ms, 0, len(log) + 2)) == []
    assert district.too_late == 1
    for _ in district.judge():
        pass
    assert district.judged == later // HOUR_MS - 1


def other(names: tuple[str, ...], saved: Any) -> District:
    setting = replace(SETTING, meters=len(names))
    return District(setting, Members(names, (True,) * len(names), ("main",)), 1, saved)


def test_what_is_known_of_meters_that_stay_goes_along() -> None:
    saved = fed(made(), reads(5)).saved(9)
    names = ("new", NAMES[4], *NAMES[:3])
    mixed_up = other(names, saved)
    base, before = mixed_up._base, made(saved)._base
    assert base is not None and before is not None
    assert base.meters is not None and before.meters is not None and before.balance is not None
    kept, was = base.meters.saved(), before.meters.saved()
    fresh = MeterWatch(5, 60).saved()
    moved = 0
    for name, array in kept.items():
        if array.shape != was[name].shape:
            moved += 1
            assert array[..., 1:].tolist() == was[name][..., [4, 0, 1, 2]].tolist()
            assert array[..., 0].tolist() == fresh[name][..., 0].tolist()
        else:
            assert array.tobytes() == was[name].tobytes()
    assert moved > 5
    assert base.balance is not None
    assert base.balance.baseline is None  # it is another district
    one_more = other((*NAMES, *(f"new-{n}" for n in range(50))), saved)
    assert one_more._base is not None and one_more._base.learning


def test_one_other_meter_of_many_leaves_the_balance() -> None:
    names = tuple(f"home-{n}" for n in range(60))
    log = reads(4, homes=60)
    first = fed(other(names, None), log)
    later = other(("new", *names[1:]), first.saved(9))
    assert later._base is not None and first._base is not None
    assert later._base.balance is not None and first._base.balance is not None
    was, now = first._base.balance.baseline, later._base.balance.baseline
    assert was is not None and now is not None
    assert now.x.tolist() == was.x.tolist()


def test_what_was_noted_of_nobody_here_is_as_good_as_nothing() -> None:
    saved = fed(made(), reads(4)).saved(9)
    strangers = tuple(f"stranger-{n}" for n in range(HOMES))
    assert other(strangers, saved).first == -1
    assert made(saved).first == saved["first"]
    assert made(saved | {"format": 99}).first == -1
    assert made(saved | {"state": saved["state"][:-400]}).first == -1
    shorter = District(
        replace(SETTING, inflow_alone=True), Members(NAMES, (True,) * HOMES, ("main",)), 1, saved
    )
    assert shorter.first == -1  # it lacks what this config looks at


def test_each_rule_and_figure_is_named_without_the_detectors() -> None:
    """A city's broker is told of them before there is one."""
    assert tuple(METER + kind for kind in Kind) == METER_RULES
    day = tally.Day(95, 9_000.0, 7_000.0, 9, 80.0)
    values = tally.values(day, 7_000.0, 100.0, tally.Pipes(1.0, 10, 30.0))
    assert set(values) == set(FIGURES)
    assert values["losses_l"] == 2_000
    assert values["leakage_index"] == round(2_000 / ((18 + 8) * 30), 2)
    few = tally.values(day, 7_000.0, 80.0, None)
    assert set(few) == {"input_l", "least_flow_lph", "completeness_pct"}
