"""A street whose lamps come and go while people are on it: nobody is forgotten, no lamp neither."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from kerbline.control import program
from kerbline.control.light.corridor import Corridor
from kerbline.control.light.on_demand import MOST_KEPT, OnDemand
from kerbline.control.moment import Moment
from kerbline.model import Key, Reading
from tests.light_followed import (
    GRACE_MS,
    REACH_M,
    RISE_MS,
    Spans,
    Street,
    Walk,
    length,
    lit,
    merged,
    missing,
    real,
    traffic,
)

LATE_MS = 25
STREET = Street(14, 30, 10, loss=0.0)

Edge = tuple[int, int, int, bool]  # told at, of a lamp, at, is there
Told = list[tuple[float, int, int, bool]]  # at, number, lamp, full


def of(corridor: Corridor, lamps: Iterable[int]) -> Corridor:
    """The same street with these lamps alone."""
    here = sorted(lamps)
    return replace(
        corridor,
        lamps=tuple(corridor.lamps[lamp] for lamp in here),
        positions_m=tuple(corridor.positions_m[lamp] for lamp in here),
    )


def seen(walks: Iterable[Walk]) -> list[Spans]:
    """What each sensor sees, were it there."""
    spans: list[Spans] = [[] for _ in range(STREET.lamps)]
    for walk in walks:
        for lamp in range(STREET.lamps):
            spans[lamp].append(_near(walk, lamp, STREET.range_m))
    return [merged(each) for each in spans]


def _near(walk: Walk, lamp: int, reach_m: float) -> tuple[float, float]:
    end_m, at_m = STREET.length_m, STREET.places_m[lamp]
    at_m = at_m if walk.up else end_m - at_m
    return walk.when(max(at_m - reach_m, 0.0)), walk.when(min(at_m + reach_m, end_m))


def edges(busy: Iterable[Spans]) -> list[Edge]:
    return sorted(
        (round(at_ms) + LATE_MS, lamp, round(at_ms), is_there)
        for lamp, spans in enumerate(busy)
        for span in spans
        for at_ms, is_there in zip(span, (True, False), strict=True)
    )


def played(corridor: Corridor, told: Iterable[Edge], changes: Mapping[int, Corridor]) -> Told:
    """What the lamps are told; `changes`: from when on the street has which ones."""
    light = OnDemand(corridor)
    orders: Told = []
    coming: list[tuple[int, Edge | Corridor]] = [(edge[0], edge) for edge in told]
    coming = sorted([*coming, *changes.items()], key=lambda each: each[0])
    end_ms = coming[-1][0] + 3_600_000

    def tick(now_ms: int) -> None:
        for command in light.commands(Moment(now_ms, now_ms)):
            lamp = int(command.asset.removeprefix("lamp-"))
            orders.append((now_ms, len(orders), lamp, command.operation == "set_level"))

    for until_ms, what in [*coming, (end_ms, None)]:
        while (next_ms := light.next_ms()) is not None and next_ms < until_ms:
            tick(next_ms)
        if isinstance(what, Corridor):
            light = light.with_lamps(what)
        elif what is not None:
            now_ms, lamp, at_ms, is_there = what
            event = "motion" if is_there else "motion_clear"
            reading = Reading(Key("sl", 1, 1), f"lamp-{lamp}", "event", at_ms, 0, {"event": event})
            light.take(reading, Moment(now_ms, now_ms))
        tick(until_ms)
    return orders


@pytest.mark.parametrize("each_s", [8, 45])
def test_a_street_that_is_made_anew_with_the_same_lamps_goes_on_as_it_was(each_s: float) -> None:
    chance = random.Random(f"anew {each_s}")
    told = edges(seen(traffic(chance, 20, each_s)))
    whole = real(STREET)
    times = sorted(chance.sample(range(told[0][0], told[-1][0]), 12))
    never = played(whole, told, {})
    assert len(never) > 300
    anew = played(whole, told, dict.fromkeys(times, whole))
    spans = [_lit(each, never) for each in range(STREET.lamps)]
    for lamp, was in enumerate(spans):
        now = _lit(lamp, anew)
        assert missing(was, now) == 0, f"lamp-{lamp} has as much light"
        assert length(now) <= 1.001 * length(was)


def _lit(lamp: int, orders: Told) -> Spans:
    return lit([(at_ms, number, full) for at_ms, number, which, full in orders if which == lamp])


@pytest.mark.parametrize("seed", range(4))
def test_lamps_that_join_leave_nobody_in_the_dark(seed: int) -> None:
    """Some lamps come one by one, one goes; whoever was seen has light wherever there is a lamp."""
    chance = random.Random(f"join {seed}")
    walks = traffic(chance, 25, 20)
    busy = seen(walks)
    last_ms = int(walks[-1].at_ms)
    late = chance.sample(range(1, STREET.lamps - 1), 5)
    whole, here = real(STREET), set(range(STREET.lamps)) - set(late)
    since: dict[int, float] = dict.fromkeys(here, -1.0)
    changes: dict[int, Corridor] = {}
    first = of(whole, here)
    for lamp in late:
        joins_ms = chance.randrange(last_ms)
        while any(begin - 1 <= joins_ms <= end + 1 + LATE_MS for begin, end in busy[lamp]):
            joins_ms += 100
        since[lamp] = joins_ms
    for lamp, at_ms in sorted(since.items(), key=lambda each: each[1]):
        if at_ms >= 0:
            here.add(lamp)
            changes[round(at_ms)] = of(whole, here)
    told = [each for each in edges(busy) if each[0] > since[each[1]]]
    orders = played(first, told, changes)
    owed: list[Spans] = [[] for _ in range(STREET.lamps)]
    for walk in walks:
        sightings = [_near(walk, lamp, STREET.range_m)[0] for lamp in range(STREET.lamps)]
        known_ms = min(at for lamp, at in enumerate(sightings) if at >= since[lamp]) + GRACE_MS
        for lamp in range(STREET.lamps):
            begin, end = _near(walk, lamp, REACH_M)
            owed[lamp].append((max(begin, known_ms, since[lamp] + GRACE_MS), end))
    short_ms = 0.0
    for lamp in range(STREET.lamps):
        given = [(a + RISE_MS, b) for a, b in merged([*_lit(lamp, orders), *busy[lamp]])]
        short_ms += missing(merged(each for each in owed[lamp] if each[0] < each[1]), given)
    assert short_ms == 0


def test_a_lamp_that_goes_is_commanded_no_more_and_the_others_are_let_go() -> None:
    whole = of(real(STREET), range(4))
    light = OnDemand(whole)
    seen_ms = 10_000
    reading = Reading(Key("sl", 1, 1), "lamp-1", "event", seen_ms, 0, {"event": "motion"})
    light.take(reading, Moment(seen_ms, seen_ms))
    raised = {each.asset for each in light.commands(Moment(seen_ms, seen_ms))}
    assert {"lamp-0", "lamp-1", "lamp-2"} <= raised
    state = program.State(lights=(light,))
    plan = program.Plan((of(whole, [0, 1, 3]),))
    (after,) = program.replanned(state, plan).lights
    clear = Reading(Key("sl", 1, 2), "lamp-1", "event", 12_000, 0, {"event": "motion_clear"})
    after.take(clear, Moment(12_000, 12_000))
    released: set[str] = set()
    while (next_ms := after.next_ms()) is not None:
        now_ms = max(next_ms, 12_000)
        told = after.commands(Moment(now_ms, now_ms))
        assert all(each.asset != "lamp-2" for each in told)
        released |= {each.asset for each in told if each.operation == "release"}
    assert released == raised - {"lamp-2"}
    assert program.replanned(program.State(lights=(after,)), plan).lights == (after,)


def test_what_is_remembered_of_motions_is_bounded_and_has_who_still_stands_there() -> None:
    light = OnDemand(of(real(STREET), range(3)))
    for number in range(3 * MOST_KEPT):
        lamp, event = ("lamp-0", "motion") if number == 0 else ("lamp-2", "motion_clear")
        at_ms = 1_000 * number
        reading = Reading(Key("sl", 1, number), lamp, "event", at_ms, 0, {"event": event})
        light.take(reading, Moment(at_ms, at_ms))
        light.commands(Moment(at_ms, at_ms))
    assert len(light._motions) <= MOST_KEPT
    other = light.with_lamps(of(real(STREET), range(2)))
    assert other._motions[0].lamp == "lamp-0"
