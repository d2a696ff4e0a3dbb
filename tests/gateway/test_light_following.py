"""Light where people are: nobody who was seen is ever without it, and few others have it.

Streets, sensors, messages and people are made here, by a seed; what is owed to whom is reckoned
apart from the code that follows them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import pytest

from kerbline.control import program
from kerbline.control.light.corridor import Corridor, lead_ms
from kerbline.control.light.following import Follower
from kerbline.control.light.on_demand import OnDemand
from kerbline.control.moment import Moment
from kerbline.model import Command, Key, Reading

REACH_M = 60.0
GRACE_MS = 500
RISE_MS = 240
COPY_MS = 15

Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Walk:
    """Somebody from one end of the street to the other, m/ms."""

    at_ms: float
    speed: float
    up: bool


@dataclass(frozen=True)
class Street:
    lamps: int
    spacing_m: float
    range_m: float
    latency_ms: float = 50.0
    loss: float = 0.1

    @property
    def length_m(self) -> float:
        return (self.lamps - 1) * self.spacing_m

    def corridor(self) -> Corridor:
        late = lead_ms(self.latency_ms / 2, self.loss, COPY_MS) if self.loss else self.latency_ms
        return Corridor(
            lamps=tuple(f"lamp-{lamp}" for lamp in range(self.lamps)),
            positions_m=tuple(lamp * self.spacing_m for lamp in range(self.lamps)),
            sensor_range_m=self.range_m,
            lead_ms=round(late + RISE_MS + 10),
            late_ms=round(late),
            sensor_misses=0,
            pace_change=0.0,
            v_min_mps=0.3,
            v_max_mps=60.0,
        )


def merged(spans: Iterable[tuple[float, float]]) -> Spans:
    found: Spans = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif begin < end:
            found.append((begin, end))
    return found


def length(spans: Iterable[tuple[float, float]]) -> float:
    return sum(end - begin for begin, end in spans)


def missing(owed: Spans, given: Spans) -> float:
    """How much of `owed` is outside `given`."""
    both = length(
        (max(a, c), min(b, d)) for a, b in owed for c, d in given if max(a, c) < min(b, d)
    )
    return length(owed) - both


@dataclass
class Lamp:
    busy: Spans  # of its sensor
    owed: Spans  # when somebody is owed it at full


def stage(street: Street, walks: Sequence[Walk]) -> list[Lamp]:
    lamps = []
    for lamp in range(street.lamps):
        busy, owed = [], []
        for walk in walks:
            place = lamp * street.spacing_m
            metres = place if walk.up else street.length_m - place
            gone = walk.at_ms + street.length_m / walk.speed

            def when(at_m: float, walk: Walk = walk, gone: float = gone) -> float:
                return min(max(walk.at_ms + at_m / walk.speed, walk.at_ms), gone)

            busy.append((when(metres - street.range_m), when(metres + street.range_m)))
            begin = max(when(metres - REACH_M), walk.at_ms + GRACE_MS)
            owed.append((begin, when(metres + REACH_M)))
        lamps.append(Lamp(merged(busy), merged(owed)))
    return lamps


def play(street: Street, lamps: Sequence[Lamp], seed: int) -> list[Spans]:
    """When each lamp is told to be full, as it hears of it; messages are late by chance."""
    chance = random.Random(seed)

    def late() -> float:
        delay = street.latency_ms / 2
        while chance.random() < street.loss:
            delay += COPY_MS
        return delay

    follower = Follower(street.corridor())
    follower.begins(-600_000)
    edges = [
        (at_ms + late(), lamp, round(at_ms), is_there)
        for lamp, each in enumerate(lamps)
        for span in each.busy
        for at_ms, is_there in zip(span, (True, False), strict=True)
    ]
    edges.sort()
    orders: list[list[tuple[float, int, float, bool]]] = [[] for _ in lamps]
    numbers = count()
    now = -600_000.0
    while True:
        next_ms = follower.next_ms()
        if edges and (next_ms is None or edges[0][0] <= next_ms):
            now, lamp, at_ms, is_there = edges.pop(0)
            follower.saw(lamp, at_ms, is_there)
        elif next_ms is not None:
            now = max(now, next_ms)
        else:
            break
        for change in follower.due(math.ceil(now)):
            orders[change.lamp].append((now + late(), next(numbers), now, change.full))
    return [lit(each) for each in orders]


def lit(orders: Iterable[tuple[float, int, float, bool]]) -> Spans:
    """The spans at full; an order that comes after a later one is passed over."""
    spans: Spans = []
    since: float | None = None
    newest = -1
    for at_ms, number, _, full in sorted(orders):
        if number < newest:
            continue
        newest = number
        if full and since is None:
            since = at_ms
        elif not full and since is not None:
            spans.append((since, at_ms))
            since = None
    assert since is None, "a lamp was never let go"
    return spans


def judged(street: Street, walks: Sequence[Walk], seed: int) -> tuple[float, float]:
    """Lamp milliseconds at full that somebody was owed and had not; and told by owed."""
    lamps = stage(street, walks)
    told = play(street, lamps, seed)
    short = sum(
        missing(
            each.owed,
            [(begin + RISE_MS, end) for begin, end in merged([*spans, *each.busy])],
        )
        for each, spans in zip(lamps, told, strict=True)
    )
    owed = sum(length(each.owed) for each in lamps)
    begin_ms = walks[0].at_ms
    full = sum(
        length((max(begin, begin_ms), end) for begin, end in spans if end > begin_ms)
        for spans in told
    )
    return short, full / owed


def traffic(chance: random.Random, people: int, each_s: float) -> list[Walk]:
    at_ms, walks = 0.0, []
    for _ in range(people):
        at_ms += 1000 * chance.expovariate(1 / each_s)
        low, high = chance.choice(((6, 25), (6, 25), (6, 25), (3, 7), (0.8, 2)))
        walks.append(Walk(at_ms, chance.uniform(low, high) / 1000, chance.random() < 0.5))
    return walks


STREETS = (
    Street(20, 30, 10),
    Street(12, 20, 5),
    Street(12, 20, 25),
    Street(10, 50, 5),
    Street(10, 50, 25, latency_ms=100),
    Street(14, 35, 20, latency_ms=20, loss=0.0),
    Street(14, 25, 12.5, loss=0.2),
    Street(2, 45, 9),
)


@pytest.mark.parametrize("each_s", [6, 60])
@pytest.mark.parametrize("street", STREETS, ids=str)
def test_whoever_was_seen_has_light_and_few_others(street: Street, each_s: float) -> None:
    chance = random.Random(f"{street} {each_s}")
    short, ratio = judged(street, traffic(chance, 60, each_s), chance.randrange(1_000_000))
    assert short == 0
    assert ratio < (1.25 if street.lamps > 2 else 1.6)


def test_two_of_whom_one_leaves_a_zone_as_the_other_enters_it() -> None:
    """Both edges have the same millisecond, and the later one comes first."""
    street = Street(3, 50, 5)
    follower = Follower(replace(street.corridor(), v_max_mps=40.0))
    follower.saw(0, 0, True)
    follower.saw(0, 250, False)  # 20 m/s
    follower.saw(1, 2250, True)
    follower.saw(1, 2750, True)  # somebody the other way
    follower.saw(1, 2750, False)
    follower.due(2760)
    follower.due(3400)
    assert {change.lamp for change in follower.due(3400)} == set()
    follower.saw(1, 3250, False)
    assert [change for change in follower.due(3500) if not change.full] == []


def test_an_edge_that_comes_late_is_no_lost_one() -> None:
    street = Street(6, 30, 10)
    follower = Follower(street.corridor())
    for lamp, at_ms, is_there in ((0, 0, True), (0, 1000, False)):  # 10 m/s
        follower.saw(lamp, at_ms, is_there)
        follower.due(at_ms + 25)
    lost = [change for now in range(1100, 4000, 50) for change in follower.due(now)]
    assert {change.lamp for change in lost if not change.full} >= {0, 1, 2}  # nobody came
    follower.saw(1, 2000, True)
    assert {change.lamp for change in follower.due(4000) if change.full} >= {0, 1, 2, 3}


def test_somebody_from_a_door_or_who_turns_has_light() -> None:
    street = Street(12, 30, 10)
    follower = Follower(replace(street.corridor(), v_min_mps=0.7))
    follower.saw(6, 0, True)
    assert {change.lamp for change in follower.due(10)} >= {4, 5, 6, 7, 8}
    follower.saw(6, 30_000, False)  # and nobody could be so slow
    follower.saw(5, 33_000, True)
    follower.due(33_010)
    follower.saw(5, 36_000, False)
    follower.due(36_010)
    gone = [change for now in range(36_020, 200_000, 100) for change in follower.due(now)]
    assert {change.lamp for change in gone if not change.full} >= {3, 4, 5, 6, 7}


def test_a_sensor_that_never_rests_is_not_believed_for_ever() -> None:
    follower = Follower(replace(Street(4, 30, 10).corridor(), busy_s=60, v_min_mps=0.7))
    follower.saw(0, 0, True)
    changes = [change for now in range(0, 400_000, 100) for change in follower.due(now)]
    assert changes[-1].full is False
    assert follower.next_ms() is None
    follower.saw(0, 500_000, False)
    follower.saw(0, 600_000, True)
    assert {change.lamp for change in follower.due(600_010) if change.full} == {0, 1, 2}


def test_a_hold_is_renewed_while_somebody_may_be_there() -> None:
    corridor = replace(Street(3, 30, 10).corridor(), hold_s=10)
    follower = Follower(corridor)
    follower.saw(0, 0, True)
    told = [(now, c.full) for now in range(0, 21_000, 100) for c in follower.due(now) if not c.lamp]
    assert told == [(0, True), (5000, True), (10_000, True), (15_000, True), (20_000, True)]


def test_one_silent_sensor_may_have_missed_somebody() -> None:
    perfect = Street(12, 30, 10).corridor()
    for misses, lost in ((0, True), (1, False)):
        follower = Follower(replace(perfect, sensor_misses=misses))
        for lamp, at_ms, is_there in ((0, 0, True), (0, 1000, False), (1, 2000, True)):
            follower.saw(lamp, at_ms, is_there)
        follower.saw(1, 4000, False)  # the next would see him from 5 s to 7 s, the one after it from 8 s
        changes = [change for now in range(4000, 7950, 50) for change in follower.due(now)]
        assert any(not change.full and change.lamp == 3 for change in changes) is lost


def test_a_lamp_that_somebody_else_holds_is_asked_for_until_it_is_free() -> None:
    corridor = Street(2, 30, 10).corridor()
    plan, state = program.Plan((corridor,)), program.State()
    held = Command("1", "lamp-0", "set_level", {"level_pct": 5, "hold_s": 5}, 0, "operator/anna")
    state, _ = program.operate(state, held, Moment(10**12, 0))
    readings = [motion("lamp-0", 1000)]
    asked: list[tuple[int, str]] = []
    for now_ms in range(1000, 7000, 100):
        now = Moment(10**12 + now_ms, now_ms)
        state, decided = program.step(plan, state, readings, now)
        readings = []
        asked += [(now_ms, command.asset) for command in decided.commands]
    assert asked == [(1000, "lamp-1"), (5000, "lamp-0")]


def motion(lamp: str, at_ms: int, event: str = "motion") -> Reading:
    return Reading(Key("sl", 1, at_ms), lamp, "event", at_ms // 1000 * 1000, 1000, {"event": event})


def commands(light: OnDemand, until_ms: int) -> list[tuple[int, Command]]:
    found: list[tuple[int, Command]] = []
    while (next_ms := light.next_ms()) is not None and next_ms <= until_ms:
        found += [(next_ms, each) for each in light.commands(Moment(10**12 + next_ms, next_ms))]
    return found


def test_a_motion_becomes_commands_and_a_release() -> None:
    light = OnDemand(replace(Street(3, 30, 10).corridor(), full_pct=80))
    light.take(motion("lamp-0", 1200), Moment(10**12 + 1500, 1500))
    light.take(motion("elsewhere", 1200), Moment(10**12 + 1500, 1500))
    now = Moment(10**12 + 1500, 1500)
    raised = light.commands(now)
    assert [(each.asset, each.operation) for each in raised] == [
        (f"lamp-{lamp}", "set_level") for lamp in range(3)
    ]
    assert dict(raised[0].arguments) == {"level_pct": 80, "hold_s": 30, "fade_ms": 1}
    assert raised[0].source.startswith("control/dimming v")
    assert "up the street before or at lamp-0" in raised[0].source
    light.take(motion("lamp-0", 2500, "motion_clear"), Moment(10**12 + 2500, 2500))
    assert light.commands(Moment(10**12 + 2500, 2500)) == []
    released = commands(light, 20_000)
    assert sorted(each.asset for _, each in released) == ["lamp-0", "lamp-1", "lamp-2"]
    assert {each.operation for _, each in released} == {"release"}
    assert len({each.id for each in [*raised, *(each for _, each in released)]}) == 6


def test_a_motion_from_a_backlog_lights_nobody() -> None:
    light = OnDemand(Street(3, 30, 10).corridor())
    light.take(motion("lamp-0", 0), Moment(10**12 + 7000, 7000))
    assert light.commands(Moment(10**12 + 7000, 7000)) == []
