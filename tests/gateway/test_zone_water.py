"""Sums of a zone's water: right to the litre, closed once, of enough households or not at all."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from kerbline.assets import Asset, Registry
from kerbline.control.zone_water import (
    HOUR_MS,
    Closed,
    Member,
    Terms,
    ZoneWater,
    grown,
    hour_ends,
    members,
)
from kerbline.model import Key, Reading, Value

HOUR = 497_222  # a whole hour since 1970
T0_MS = HOUR * HOUR_MS
MINUTE_MS = 60_000
ZONE = {f"home-{n}": Member("dma-4") for n in range(6)}
DAY = 24


def sleeper(
    home: str,
    at_ms: int,
    hourly: Sequence[int],
    volume_l: int,
    source: str = "",
    doubt_ms: int = 500,
) -> Reading:
    """A meter's report of its last 24 hours."""
    values: dict[str, Value] = {"volume_l": volume_l, "hourly_l": tuple(hourly)}
    key = Key(source or f"wm-{home}", 1, at_ms)
    return Reading(key, home, "water_meter", at_ms, doubt_ms, values)


def read(home: str, at_ms: int, volume_l: float, source: str = "gw", doubt_ms: int = 0) -> Reading:
    """A poll of a totaliser."""
    return Reading(Key(source, 1, at_ms), home, "serial", at_ms, doubt_ms, {"volume_l": volume_l})


class House:
    """A household whose water is known by the minute: the independent account."""

    def __init__(self, name: str, chance: random.Random, hours: int, began_l: int) -> None:
        self.name = name
        self.began_l = began_l
        draws = [chance.choice((0, 0, 0, 0, 1, 2, 9)) for _ in range(60 * hours)]
        self.volume = [began_l]
        for litres in draws:
            self.volume.append(self.volume[-1] + litres)

    def used(self, hour: int) -> int:
        """Litres in an hour from the start."""
        return self.volume[60 * hour + 60] - self.volume[60 * hour]

    def hourly(self, hour: int) -> list[int]:
        """Of the 24 hours before hour `hour`; the time before all is zeros."""
        return [self.used(h) if h >= 0 else 0 for h in range(hour - DAY, hour)]


def zones(terms: Terms | None = None) -> ZoneWater:
    found = ZoneWater(terms or Terms())
    found.serve(ZONE)
    return found


def run(
    zone: ZoneWater, stream: Sequence[tuple[int, Reading]], until_ms: int, step_ms: int = HOUR_MS
) -> list[Closed]:
    """Readings as they come in, and a look each `step_ms`; each sum goes into the log at once."""
    found: list[Closed] = []
    zone.resume(stream[0][0])
    left = sorted(stream, key=lambda each: each[0])
    for now_ms in range(stream[0][0], until_ms + 1, step_ms):
        while left and left[0][0] <= now_ms:
            came_ms, reading = left.pop(0)
            zone.take(reading, came_ms)
        for closed in zone.due(now_ms):
            zone.closed(closed.zone, closed.end_ms, closed.late)
            found.append(closed)
    return found


def daily(
    houses: Sequence[House], days: int, chance: random.Random
) -> Iterator[tuple[int, Reading]]:
    """Each house's report once a day, at a time of its own."""
    for house in houses:
        minute = chance.randrange(3, 57) + 60 * chance.randrange(24)
        for day in range(days):
            at = minute + 60 * DAY * day
            at_ms = T0_MS + at * MINUTE_MS
            yield at_ms, sleeper(house.name, at_ms, house.hourly(at // 60), house.volume[at])


def test_daily_reports_sum_up_to_the_litre() -> None:
    chance = random.Random(1)
    houses = [House(home, chance, 24 * 6, 5_000 * n) for n, home in enumerate(ZONE)]
    stream = sorted(daily(houses, 6, chance), key=lambda each: each[0])
    found = run(zones(), stream, T0_MS + 8 * 24 * HOUR_MS)
    whole = [each for each in found if each.households == len(houses)]
    assert len(whole) >= 24 * 4
    for each in whole:
        assert each.litres == sum(house.used(each.hour - HOUR) for house in houses)
        assert each.meters == each.of_meters
    hours = [each.hour for each in found]
    assert hours == sorted(set(hours))


def test_an_hour_waits_no_longer_than_for_the_last_of_its_meters() -> None:
    chance = random.Random(2)
    houses = [House(home, chance, 24 * 4, 0) for home in ZONE]
    stream = sorted(daily(houses, 4, chance), key=lambda each: each[0])
    zone = zones()
    told: dict[int, set[str]] = defaultdict(set)
    for came_ms, reading in stream:
        zone.take(reading, came_ms)
        under_way = came_ms // HOUR_MS
        for hour in range(under_way - DAY, under_way):
            told[hour].add(reading.asset)
        for closed in zone.due(came_ms):
            assert closed.hour - HOUR < DAY or told[closed.hour] == set(ZONE)
            assert came_ms - closed.end_ms <= 25 * HOUR_MS


def test_a_totaliser_read_at_any_time_loses_no_litre_between_hours() -> None:
    chance = random.Random(3)
    zone = zones()
    stream: list[tuple[int, Reading]] = []
    expected: dict[int, int] = defaultdict(int)
    for home in ZONE:
        reads = [(T0_MS, 1_000)]
        while reads[-1][0] < T0_MS + 48 * HOUR_MS:
            at_ms, volume_l = reads[-1]
            reads.append(
                (at_ms + chance.randrange(1_000, 3_000_000), volume_l + chance.randrange(90))
            )
        stream += [(at_ms, read(home, at_ms, volume_l)) for at_ms, volume_l in reads]
        for hour in range(47):
            expected[hour] += _at(reads, hour + 1) - _at(reads, hour)
    found = run(zone, sorted(stream, key=lambda each: each[0]), T0_MS + 50 * HOUR_MS)
    sums = {each.hour - HOUR: each.litres for each in found if each.meters == len(ZONE)}
    assert {hour: sums[hour] for hour in range(47)} == dict(expected)


def _at(reads: Sequence[tuple[int, int]], hour: int) -> int:
    """By the school's rule, apart from the code: whole litres that had passed by an hour."""
    when = T0_MS + hour * HOUR_MS
    for (before, low), (after, high) in pairwise(reads):
        if before <= when <= after:
            share = (when - before) / (after - before)
            return low + int(share * (high - low) + 1e-9)
    raise AssertionError(hour)


def test_too_few_households_have_no_sum() -> None:
    zone = zones()
    stream = []
    for home in list(ZONE)[:4]:
        for day in (0, 1, 2):
            at_ms = T0_MS + day * 24 * HOUR_MS + 30 * MINUTE_MS
            stream.append((at_ms, sleeper(home, at_ms, [7] * 24, 168 * day)))
    found = run(zone, sorted(stream, key=lambda each: each[0]), T0_MS + 80 * HOUR_MS)
    told = [each for each in found if each.meters]
    assert len(told) == 47
    assert {each.litres for each in told} == {None}
    assert {each.households for each in told} == {4}
    assert "consumed_l" not in told[0].values()
    assert told[0].values()["completeness_pct"] == 66


def test_two_meters_of_a_home_are_one_household() -> None:
    homes = [
        Asset(f"home-{n}", "WaterConsumptionObserved", zone="z", group="7 Quay") for n in (1, 2)
    ]
    homes += [Asset("home-3", "WaterConsumptionObserved", zone="z")]
    homes += [Asset("inlet", "WaterConsumptionObserved", zone="z", privacy="public")]
    homes += [Asset("gas", "DeviceMeasurement", zone="z", privacy="personal")]
    homes += [Asset("home-4", "WaterConsumptionObserved")]
    kinds = {each.id: "water_meter" for each in homes if each.id != "elsewhere"} | {"gas": "serial"}
    found = members(Registry("stad", homes, kinds))
    assert found == {
        "home-1": Member("z", True),
        "home-2": Member("z", False),
        "home-3": Member("z", True),
    }


def test_late_data_is_counted_and_never_a_correction() -> None:
    chance = random.Random(5)
    houses = [House(home, chance, 24 * 5, 0) for home in ZONE]
    late, *rest = houses
    stream = sorted(daily(rest, 5, chance), key=lambda each: each[0])
    for day in range(5):
        at = 60 * DAY * day + 30
        at_ms = T0_MS + at * MINUTE_MS
        came_ms = at_ms if day in (0, 1) else T0_MS + 5 * 24 * HOUR_MS
        stream.append((came_ms, sleeper(late.name, at_ms, late.hourly(at // 60), late.volume[at])))
    found = run(zones(), sorted(stream, key=lambda each: each[0]), T0_MS + 8 * 24 * HOUR_MS)
    hours = [each.hour for each in found]
    assert hours == sorted(set(hours))
    without = [each for each in found if each.meters == 5 and 30 <= each.hour - HOUR < 60]
    assert without
    for each in without:
        assert each.litres == sum(house.used(each.hour - HOUR) for house in rest)
    lacked = sum(each.meters < 6 for each in found if 24 <= each.hour - HOUR < 96)
    assert sum(each.late for each in found) == lacked > 0


def test_a_swap_a_wrong_clock_and_a_doubtful_hour_add_nothing() -> None:
    chance = random.Random(6)
    houses = [House(home, chance, 24 * 6, 0) for home in ZONE]
    swapped = houses[0].name
    stream = []
    for came_ms, reading in daily(houses, 6, chance):
        day = (came_ms - T0_MS) // (24 * HOUR_MS)
        if reading.asset == swapped and day >= 3:
            fresh = (
                tuple(9_999 if hour < 12 else 3 for hour in range(24)) if day == 3 else (3,) * 24
            )
            reading = sleeper(swapped, came_ms, fresh, 10 + day, "wm-new")
        stream.append((came_ms, reading))
        stream.append((came_ms, reading))  # a repeat
        future = replace(reading, observed_at_ms=reading.observed_at_ms + 20 * HOUR_MS)
        stream.append((came_ms, future))
        stream.append((came_ms, replace(reading, uncertainty_ms=2 * HOUR_MS)))
        ancient = replace(reading, observed_at_ms=1_000_000)
        stream.append((came_ms, ancient))
    found = run(zones(), sorted(stream, key=lambda each: each[0]), T0_MS + 9 * 24 * HOUR_MS)
    for each in found:
        hour = each.hour - HOUR
        if each.households == 6 and hour < 48:
            assert each.litres == sum(house.used(hour) for house in houses)
        assert each.litres is None or each.litres < 5_000


@pytest.mark.parametrize(
    ("before", "after", "hours", "more"),
    [
        (100, 160, 1, 60),
        (100, 100, 1, 0),
        (999_990, 5, 1, 15),
        (4_294_967_290, 4, 1, 10),
        (9_990, 5, 1, None),  # no register is so small
        (1_000, 995, 1, 0),  # backflow
        (50_000, 12, 1, None),  # another meter
        (100, 50_000, 1, None),
        (100, 50_000, 24, 49_900),
    ],
)
def test_how_a_totaliser_moves(before: int, after: int, hours: int, more: int | None) -> None:
    assert grown(before, after, hours * HOUR_MS) == more


def test_backflow_is_no_water_twice() -> None:
    zone = zones(Terms(3, 2))
    for home in list(ZONE)[:5]:
        for minute, volume in ((0, 100), (20, 130), (30, 110), (40, 130), (60, 140), (61, 140)):
            at_ms = T0_MS + minute * MINUTE_MS
            zone.take(read(home, at_ms, volume), at_ms)
    found = zone.due(T0_MS + 4 * HOUR_MS)
    assert [each.litres for each in found] == [5 * 40]


def test_reads_too_far_apart_place_nothing() -> None:
    zone = zones(Terms(3, 2))
    for home in ZONE:
        for minute, volume in (
            (0, 0),
            (59, 10),
            (60, 12),
            (300, 9_000),
            (301, 9_000),
            (361, 9_060),
        ):
            at_ms = T0_MS + minute * MINUTE_MS
            zone.take(read(home, at_ms, volume), at_ms)
    found = zone.due(T0_MS + 24 * HOUR_MS)
    assert [(each.hour - HOUR, each.litres) for each in found] == [(0, 72), (5, 6 * 59)]


def test_a_dead_meter_is_waited_for_once() -> None:
    chance = random.Random(8)
    houses = [House(home, chance, 24 * 8, 0) for home in ZONE]
    stream = [
        (
            T0_MS + minute * MINUTE_MS,
            read(house.name, T0_MS + minute * MINUTE_MS, house.volume[minute]),
        )
        for n, house in enumerate(houses)
        for minute in range(0, 60 * 24 * 5, 30)
        if n or minute < 60 * 20
    ]
    zone = zones()
    zone.resume(T0_MS)
    behind: dict[int, int] = {}
    for came_ms, reading in sorted(stream, key=lambda each: each[0]):
        zone.take(reading, came_ms)
        for closed in zone.due(came_ms):
            behind[closed.hour - HOUR] = came_ms - closed.end_ms
    assert max(behind[hour] for hour in range(19)) <= HOUR_MS
    assert behind[20] >= 29 * HOUR_MS
    assert max(behind[hour] for hour in range(60, 110)) <= HOUR_MS


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_at_every_step_gives_the_same_hours(seed: int) -> None:
    """All that came before is in the log; what was closed is known from there alone."""
    chance = random.Random(seed)
    houses = [House(home, chance, 24 * 4, 0) for home in ZONE]
    stream = sorted(daily(houses, 4, chance), key=lambda each: each[0])
    until_ms = T0_MS + 6 * 24 * HOUR_MS
    expected = run(zones(), stream, until_ms)
    for _ in range(12):
        assert _with_kills(stream, until_ms, chance) == expected


def _with_kills(
    stream: Sequence[tuple[int, Reading]], until_ms: int, chance: random.Random
) -> list[Closed]:
    """As `run`, by a follower of a log; what is not in the log when it is killed never was."""
    log: list[Closed | Reading] = []
    saved, behind = "", 0  # what it noted last, and how much of the log is in that
    zone, looked = zones(), 0
    zone.resume(stream[0][0])
    left = list(stream)
    for now_ms in range(stream[0][0], until_ms + 1, HOUR_MS):
        while left and left[0][0] <= now_ms:
            log.append(left.pop(0)[1])
        if chance.random() < 0.3:  # killed
            zone, looked = ZoneWater(Terms(), json.loads(saved) if saved else None), behind
            zone.serve(ZONE)
            zone.resume(stream[0][0])
        for entry in log[looked:]:
            if isinstance(entry, Closed):
                zone.closed(entry.zone, entry.end_ms, entry.late)
            else:
                zone.take(entry, now_ms)
        looked = len(log)
        if chance.random() < 0.2:
            saved, behind = json.dumps(zone.saved()), looked
        for closed in zone.due(now_ms):
            if chance.random() < 0.2:  # killed before it was durable
                zone, looked = ZoneWater(Terms(), json.loads(saved) if saved else None), behind
                zone.serve(ZONE)
                zone.resume(stream[0][0])
                break
            log.append(closed)
    return [entry for entry in log if isinstance(entry, Closed)]


@pytest.mark.parametrize("wrong_h", [24 * 365 * 4, -24 * 365 * 50])
@pytest.mark.parametrize("lasted_h", [1, 24])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_clock_that_was_wrong_for_a_while_tells_no_hour_twice(
    wrong_h: int,
    lasted_h: int,
    restarts: bool,  # noqa: FBT001
) -> None:
    """Years ahead or behind, for minutes or for a day: afterwards hours are right again."""
    chance = random.Random(lasted_h)
    houses = [House(home, chance, 24 * 12, 9) for home in ZONE]
    zone = zones()
    zone.resume(T0_MS)
    told: list[Closed] = []
    stream = sorted(daily(houses, 12, chance), key=lambda each: each[0])
    for came_ms in range(T0_MS, T0_MS + 12 * 24 * HOUR_MS, 15 * MINUTE_MS):
        off_ms = wrong_h * HOUR_MS if 0 <= came_ms // HOUR_MS - HOUR - 97 < lasted_h else 0
        while stream and stream[0][0] <= came_ms:
            at_ms, reading = stream.pop(0)
            zone.take(replace(reading, observed_at_ms=at_ms + off_ms), came_ms + off_ms)
        for closed in zone.due(came_ms + off_ms):
            zone.closed(closed.zone, closed.end_ms, closed.late)
            told.append(closed)
        if restarts and chance.random() < 0.05:
            zone = ZoneWater(Terms(), json.loads(json.dumps(zone.saved())))
            zone.serve(ZONE)
            zone.resume(came_ms + off_ms)
    assert len({each.hour for each in told}) == len(told)
    of_day = [each for each in told if 24 * 8 <= each.hour - HOUR < 24 * 10]
    assert len(of_day) == 48
    for each in of_day:
        assert each.households == len(ZONE)
        assert each.litres == sum(house.used(each.hour - HOUR) for house in houses)


ODD: tuple[Value, ...] = (0, -1, 7, 99_999, 1 << 40, 10**30, 3.5, float("nan"), True, "x", (1, 2))


def _spoilt(reading: Reading, chance: random.Random) -> Reading:
    """A report as no meter should make it."""
    values: dict[str, Value] = {chance.choice(("volume_l", "volume_m3")): chance.choice(ODD)}
    if chance.random() < 0.6:
        size = chance.choice((24, 24, 24, 3))
        values["hourly_l"] = tuple(chance.choice((1, 5, 2.5, -1, 10**9)) for _ in range(size))
    off_ms = chance.choice((0, 0, -chance.randrange(10**8), chance.randrange(10**8)))
    return replace(
        reading,
        key=Key(chance.choice(("a", reading.key.source)), 1, 1),
        observed_at_ms=reading.observed_at_ms + off_ms,
        uncertainty_ms=chance.choice((0, 500, 10**7, -5)),
        values=values,
    )


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_in_hours_stay_single_and_sums_of_enough(seed: int) -> None:
    chance = random.Random(seed)
    zone = zones()
    told: list[Closed] = []
    now_ms = T0_MS
    for n in range(6_000):
        now_ms += chance.randrange(900_000) - (chance.random() < 0.005) * chance.randrange(10**7)
        home = chance.choice(list(ZONE))
        reading = sleeper(home, now_ms, [chance.randrange(90) for _ in range(24)], n)
        if chance.random() < 0.2:
            reading = _spoilt(reading, chance)
        zone.take(reading, now_ms)
        for closed in zone.due(now_ms):
            zone.closed(closed.zone, closed.end_ms, closed.late)
            told.append(closed)
        if chance.random() < 0.01:
            zone = ZoneWater(Terms(), json.loads(json.dumps(zone.saved())))
            zone.serve(ZONE)
            zone.resume(now_ms)
    assert len({each.hour for each in told}) == len(told)
    assert sum(each.litres is not None for each in told) > 200
    for each in told:
        assert (each.litres is None) is (each.households < 5)
        assert each.meters <= each.of_meters == 6
        assert (each.litres or 0) <= 6 * 20_000


def test_what_another_format_left_is_as_good_as_nothing() -> None:
    zone = ZoneWater(Terms(), {"format": 0, "meters": 3})
    assert zone.due(T0_MS) == []


def test_a_household_joins_and_leaves_with_no_hour_told_twice() -> None:
    """No litre is in two sums, and no hour has two."""
    chance = random.Random(9)
    houses = [House(home, chance, 24 * 6, 0) for home in ZONE]
    stream = sorted(daily(houses, 6, chance), key=lambda each: each[0])
    zone = ZoneWater(Terms(min_households=3))
    moved = dict(ZONE) | {f"home-{n}": Member("dma-5") for n in range(3)}
    zone.serve(moved)
    found: list[Closed] = []
    for n, (came_ms, reading) in enumerate(stream):
        if n % 5 == 0:
            pick = chance.choice(list(ZONE))
            moved[pick] = Member(chance.choice(("dma-4", "dma-5")))
            zone.serve(dict(moved))
        zone.take(reading, came_ms)
        for closed in zone.due(came_ms):
            zone.closed(closed.zone, closed.end_ms, closed.late)
            found.append(closed)
    assert len({(each.zone, each.hour) for each in found}) == len(found)
    both: dict[int, int] = defaultdict(int)
    for each in found:
        both[each.hour - HOUR] += each.litres or 0
    for hour, litres in both.items():
        assert litres <= sum(house.used(hour) for house in houses if hour >= 0)


def test_a_totaliser_at_the_ends_of_the_hours_that_a_meter_told() -> None:
    hourly = (0,) * 20 + (3, 0, 5, 0)
    at_ms = T0_MS - T0_MS % HOUR_MS + 20 * 60_000

    def told(volume_l: int, doubt_ms: int = 500, hours: tuple[float, ...] = hourly) -> object:
        values: dict[str, Value] = {"volume_l": volume_l, "hourly_l": hours}
        reading = Reading(Key("n", 1, 1), "m", "water_meter", at_ms, doubt_ms, values)
        return [(at_ms - end_ms, then_l) for end_ms, then_l in hour_ends(reading, volume_l)]

    some = 20 * 60_000
    assert told(100) == [(some + ago * HOUR_MS, 95 + 5 * (ago < 2)) for ago in (3, 2, 1, 0)]
    assert told(100, some) == []  # it is not sure which hours these are
    assert told(7) == []  # it counted less than it says
    assert told(100, hours=(0.5, *hourly[1:])) == []
    assert told(100, hours=(0,) * 24) == []
