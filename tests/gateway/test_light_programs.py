"""A program as its node carries it out: the node's own schedule against the program's words."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from kerbline.agent.light.programs import Sky
from kerbline.control.light.classes import Floor, Segment
from kerbline.control.light.limits import Cap, ceiling_pct
from kerbline.control.light.profile import STEPS, Limits, Stored, compiled
from kerbline.control.light.programs import (
    DAWN,
    DUSK,
    Absolute,
    AstroClock,
    AstroTime,
    FixedTime,
    Motion,
    Night,
    Program,
)
from kerbline.sim import node_code
from tools.trees import ROOT

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
PLACE = (52.37, 4.9)
SKY = Sky(PLACE)
DARK_DEG = -2.5


def night(on: date, place: tuple[float, float] = PLACE, zone: tzinfo = AMSTERDAM) -> Night:
    """The night that begins on a date."""
    sky = SKY if place == PLACE else Sky(place)
    late = datetime(on.year, on.month, on.day, 23, 59, tzinfo=zone)
    return Night(sky.midnight(int(late.timestamp())), sky, zone, DARK_DEG)


def shown(stored: Stored, of: Night) -> dict[int, int]:
    """What a node with this profile shows in each minute of its night, by UTC."""
    bounds = (stored.night_deg, stored.dusk_min, stored.dawn_min)
    schedule = node_code.schedule(stored.profile, PLACE, 0, bounds)
    found = {}
    for at in range(of.begin_s, of.end_s, 60):
        level = schedule.step(at - of.begin_s, at, None)
        if schedule.night:
            found[at] = level
    return found


def asked(program: Program, segment: Segment | None, of: Night) -> dict[int, int]:
    """The program's words in each minute of UTC, walked through from two days before."""
    level, floor = 100, 0
    found = {}
    for at in range(of.begin_s // 60 * 60 - 2 * 86_400, of.end_s + 120, 60):
        local = datetime.fromtimestamp(at, of.zone)
        minute = local.hour * 60 + local.minute
        level = next((e.level_pct for e in program.fixed_times if e.from_min == minute), level)
        if segment is not None:
            floor = next((e.level_pct for e in segment.floors if e.from_min == minute), floor)
        active = not program.periods
        for each in program.periods:
            assert isinstance(each, Absolute)
            length = (each.to_min - each.from_min) % 1440 or 1440
            active = active or (minute - each.from_min) % 1440 < length
        found[at] = max(level if active else 0, floor)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_a_node_shows_what_the_program_says(seed: int) -> None:
    """Any day but those on which the clock jumps, which are tested apart."""
    chance = Random(seed)
    on = date(2026, 1, 1) + timedelta(days=chance.randrange(365))
    if on.month in (3, 10) and on.day >= 24:
        on += timedelta(days=14)
    times = chance.sample(range(1440), chance.randrange(1, 6))
    periods = [Absolute(*chance.sample(range(1440), 2)) for _ in range(chance.randrange(3))]
    fixed = tuple(FixedTime(at, chance.randrange(0, 101, 10)) for at in sorted(times))
    program = Program("p", tuple(periods), fixed)
    floors = tuple(
        Floor(at, chance.randrange(0, 101, 25)) for at in sorted(chance.sample(range(1440), 3))
    )
    segment = Segment("s", floors) if seed % 2 else None
    of = night(on)
    levels = shown(compiled(program, Limits(segment), of), of)
    assert len(levels) > 300
    words = asked(program, segment, of)
    least = asked(Program("", (), (FixedTime(0, 0),)), segment, of)
    dusk, dawn = of.dark(DARK_DEG)
    for at, level in levels.items():
        if segment is not None and not dusk + 60 < at < dawn - 60:
            continue  # where a class has no say
        minute = at // 60 * 60
        nearby = [words[minute + by] for by in (-60, 0, 60)]
        assert level in nearby, (on, datetime.fromtimestamp(at, AMSTERDAM), level, nearby)
        assert level >= least[minute]  # to more light early, to less light late


def test_winter_begins_in_the_night_and_so_do_its_hours() -> None:
    program = Program("p", (), (FixedTime(22 * 60, 50), FixedTime(5 * 60, 100)))
    of = night(date(2026, 10, 24))
    levels = shown(compiled(program, Limits(), of), of)
    changes = [at for at in levels if levels.get(at - 60, levels[at]) != levels[at]]
    local = [datetime.fromtimestamp(at, AMSTERDAM) for at in changes]
    assert [
        abs((each.hour * 60 + each.minute) - want) <= 1
        for each, want in zip(local, (22 * 60, 5 * 60), strict=True)
    ] == [True, True]
    assert changes[1] - changes[0] > 7.9 * 3600  # that night 02:30 comes twice


def test_dusk_and_dawn_follow_the_sun_exactly() -> None:
    for month in range(1, 13):
        of = night(date(2026, month, 11))
        stored = compiled(Program("p", (AstroClock(10, -20),)), Limits(), of)
        assert (stored.night_deg, stored.dusk_min, stored.dawn_min) == (-0.8333, 10, -20)
        assert stored.profile == ((-720, 100),)


def test_a_class_holds_from_dark_on_whatever_the_program_says() -> None:
    floor = Segment("s", (Floor(0, 40, "M5"),))
    of = night(date(2026, 12, 20))
    late = Program("p", (AstroClock(120, -120),), (FixedTime(0, 10),))
    stored = compiled(late, Limits(floor), of)
    dusk, dawn = of.dark(DARK_DEG)
    levels = shown(stored, of)
    assert min(levels) < dusk + 60
    assert max(levels) > dawn - 61
    assert set(levels.values()) == {40}


def test_what_is_off_by_the_clock_is_a_level_and_no_other_night() -> None:
    off = Program("p", (Absolute(20 * 60, 6 * 60),))
    of = night(date(2026, 12, 20))
    stored = compiled(off, Limits(), of)
    assert (stored.night_deg, stored.dusk_min, stored.dawn_min) == (DARK_DEG, 0, 0)
    levels = shown(stored, of)
    lit = [at for at, level in levels.items() if level]
    assert datetime.fromtimestamp(lit[0], AMSTERDAM).strftime("%H:%M") in ("19:59", "20:00")
    assert datetime.fromtimestamp(lit[-1], AMSTERDAM).strftime("%H:%M") in ("05:59", "06:00")
    kept = compiled(off, Limits(Segment("s", (Floor(0, 20),))), of)
    assert set(shown(kept, of).values()) == {20, 100}


def test_lit_by_day_where_the_clock_says_so() -> None:
    of = night(date(2026, 6, 20))
    stored = compiled(Program("p", (Absolute(20 * 60, 6 * 60),)), Limits(), of)
    dusk, dawn = of.dark(DARK_DEG)
    lit = [datetime.fromtimestamp(at, AMSTERDAM) for at, level in shown(stored, of).items()]
    assert lit[0] < datetime.fromtimestamp(dusk, AMSTERDAM)
    assert lit[-1] > datetime.fromtimestamp(dawn, AMSTERDAM)
    assert (lit[0].strftime("%H:%M"), lit[-1].strftime("%H:%M")) == ("20:00", "06:00")


def test_operations_over_the_level_from_sunset_or_sunrise_on() -> None:
    of = night(date(2026, 12, 20))
    early = AstroTime(DAWN, -60, "max", 80)
    late = AstroTime(DUSK, 120, "sub", 30)
    program = Program("p", (), (FixedTime(0, 70),), (late, early))
    dusk, dawn = of.dark(-0.8333)
    levels = [program.level_pct(of, at) for at in (dusk + 60, dusk + 7260, dawn - 3540)]
    assert levels == [70, 40, 80]
    for operation, level in {"set": 50, "max": 70, "min": 50, "add": 100, "mul": 35}.items():
        other = Program("p", (), (FixedTime(0, 70),), (AstroTime(DUSK, 0, operation, 50),))
        assert other.level_pct(of, dusk + 60) == level


@pytest.mark.parametrize("on", [date(2026, 6, 20), date(2026, 12, 20)])
def test_where_the_sun_does_not_set_or_rise(on: date) -> None:
    of = night(on, (75.0, 20.0))
    program = Program("p", (AstroClock(5, -5),), (FixedTime(0, 30), FixedTime(360, 100)))
    stored = compiled(program, Limits(Segment("s", (Floor(0, 50),))), of)
    assert (stored.night_deg, stored.dusk_min, stored.dawn_min) == (-0.8333, 5, -5) or (
        on.month == 12 and stored.dusk_min <= 5 and stored.dawn_min >= -5
    )
    assert {level for _, level in stored.profile} <= {30, 50, 100}


def test_more_levels_than_a_node_keeps_are_joined_to_the_brighter_ones() -> None:
    fixed = tuple(FixedTime(60 * hour, 10 + 37 * hour % 90) for hour in range(24))
    program = Program("p", (), fixed)
    for month in (1, 12):
        of = night(date(2026, month, 5))
        stored = compiled(program, Limits(), of)
        if stored.coarse:
            assert len(stored.profile) == STEPS
        for at, level in list(shown(stored, of).items())[::11]:
            assert level >= min(program.level_pct(of, at + by) for by in (-60, 0, 60))


def test_a_ceiling_is_one_for_all_and_floors_go_before_it() -> None:
    cap = Cap("feeder", {"a": 60.0, "b": 60.0, "c": 120.0}, 120.0)
    assert ceiling_pct(cap, {}) == 50
    assert ceiling_pct(cap, {"a": 40}) == 50
    assert ceiling_pct(cap, {"a": 90}) == 36  # 54 W go to a, 66 W to 180 W of lamps
    assert ceiling_pct(cap, {"a": 100, "b": 100}) == 0
    assert ceiling_pct(cap, {"a": 100, "b": 100, "c": 100}) == 0
    assert ceiling_pct(Cap("wide", {"a": 60.0}, 500.0), {}) == 100
    chance = Random(9)
    for _ in range(300):
        watts = {name: chance.uniform(10, 200) for name in "abcdef"}
        floors = {name: chance.randrange(0, 101, 5) for name in "abc"}
        cap = Cap("any", watts, chance.uniform(1, 900))
        level = ceiling_pct(cap, floors)
        drawn = sum(w * max(floors.get(n, 0), level) / 100 for n, w in watts.items())
        least = sum(w * floors.get(n, 0) / 100 for n, w in watts.items())
        assert drawn <= max(cap.cap_w, least) + 1e-6
        if level < 100:  # a percent more would be too much
            more = sum(w * max(floors.get(n, 0), level + 1) / 100 for n, w in watts.items())
            assert more > cap.cap_w - 1e-6


def test_a_cap_has_its_hours_and_bounds_motion_all_night() -> None:
    of = night(date(2026, 12, 20))
    cap = Cap("feeder", {"a": 60.0, "b": 60.0}, 60.0, 17 * 60, 20 * 60)
    stored = compiled(Program("p", (), (), (), Motion(90, 30)), Limits(None, (cap,)), of)
    levels = shown(stored, of)
    capped = [at for at, level in levels.items() if level == 50]
    assert set(levels.values()) == {50, 100}
    assert abs(len(capped) - 180) <= 1
    assert stored.motion == Motion(50, 30)
    floored = Limits(Segment("s", (Floor(0, 70),)), (cap,), {"a": Segment("s", (Floor(0, 70),))})
    assert set(shown(compiled(Program("p"), floored, of), of).values()) == {70, 100}


def test_how_often_a_node_is_told_in_a_year_is_as_the_page_says() -> None:
    """Each time costs its NVS two writes."""
    fixed = Program("p", (AstroClock(),), (FixedTime(1350, 50), FixedTime(330, 100)))
    counts = []
    for program in (fixed, Program("plain", (AstroClock(),))):
        told = [
            compiled(program, Limits(), night(date(2026, 1, 1) + timedelta(days=day)))
            for day in range(365)
        ]
        changes = [one for one, other in pairwise(told) if one != other]
        counts.append(1 + len(changes))
    page = (ROOT / "docs" / "operate" / "light.md").read_text(encoding="utf-8")
    assert "about 90 times a year for a program with local times" in page
    assert 85 <= counts[0] <= 95
    assert counts[1] == 1
