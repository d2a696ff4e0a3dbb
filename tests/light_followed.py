"""People on a street, what its sensors see of them, and what the follower makes of that.

Streets, messages and people are made from a seed; what is owed to whom is reckoned apart from the
code that follows them. Times are ms, speeds m/ms.
"""

from __future__ import annotations

import math
import random
import time
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from kerbline.control.light.corridor import Corridor, lead_ms
from kerbline.control.light.following import Follower

REACH_M = 60.0
GRACE_MS = 500
RISE_MS = 240
COPY_MS = 15
BEFORE_MS = -600_000  # so long before anybody comes the sensors tell already

Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Walk:
    """Somebody from one end of the street to the other."""

    at_ms: float
    speed: float
    up: bool
    way: tuple[tuple[float, float], ...] = ()  # of one who changes his speed: (metres, when)

    def when(self, at_m: float) -> float:
        """When he is so far from where he came in."""
        if not self.way:
            return self.at_ms + at_m / self.speed
        after = min(max(bisect(self.way, (at_m, 0.0)), 1), len(self.way) - 1)
        (from_m, from_ms), (to_m, to_ms) = self.way[after - 1 : after + 1]
        return from_ms + (to_ms - from_ms) * (at_m - from_m) / (to_m - from_m)


@dataclass(frozen=True)
class Street:
    """Lamps in a row; `latency_ms` from lamp to lamp, of which half is to the gateway.

    `uneven`: by how much of `spacing_m` two neighbours may stand closer, or further apart.
    """

    lamps: int
    spacing_m: float
    range_m: float
    latency_ms: float = 50.0
    loss: float = 0.1
    uneven: float = 0.0

    @property
    def places_m(self) -> list[float]:
        """Where each lamp stands, the first at 0."""
        shift_m = self.uneven * self.spacing_m / 2
        return [
            lamp * self.spacing_m + (shift_m * math.sin(5 * lamp) if lamp else 0.0)
            for lamp in range(self.lamps)
        ]

    @property
    def length_m(self) -> float:
        """From the first lamp to the last."""
        return self.places_m[-1]

    def corridor(self) -> Corridor:
        """As a gateway has it that knows its sensors perfect and everybody steady."""
        late_ms = lead_ms(self.latency_ms / 2, self.loss, COPY_MS) if self.loss else self.latency_ms
        return Corridor(
            lamps=tuple(f"lamp-{lamp}" for lamp in range(self.lamps)),
            positions_m=tuple(self.places_m),
            sensor_range_m=self.range_m,
            lead_ms=round(late_ms + RISE_MS + 10),
            late_ms=round(late_ms),
            busy_s=10_000_000,
            sensor_misses=0,
            pace_change=0.0,
            v_min_mps=0.3,
            v_max_mps=60.0,
        )


class Judged(NamedTuple):
    """Lamp milliseconds."""

    owed_ms: float
    short_ms: float  # owed and not given
    full_ms: float  # told to be full
    edges: int
    cpu_s: float  # of the follower alone


@dataclass
class Lamp:
    """What its sensor sees, and when somebody is owed it at full."""

    busy: Spans
    owed: Spans


def traffic(chance: random.Random, people: int, each_s: float) -> list[Walk]:
    """People of all speeds, one each so many seconds on average."""
    at_ms, walks = 0.0, []
    for _ in range(people):
        at_ms += 1000 * chance.expovariate(1 / each_s)
        low, high = chance.choice(((6, 25), (6, 25), (6, 25), (3, 7), (0.8, 2)))
        walks.append(Walk(at_ms, chance.uniform(low, high) / 1000, chance.random() < 0.5))
    return walks


def hurried(street: Street, chance: random.Random, walk: Walk, change: float) -> Walk:
    """The same with another speed in each zone and in each gap, each time by up to `change`."""

    def other(speed: float) -> float:
        return min(max(speed * (1 + change * chance.uniform(-1, 1)), 0.00075), 0.038)

    length_m, speed = street.length_m, walk.speed
    places = street.places_m if walk.up else [length_m - each for each in street.places_m[::-1]]
    way = [(0.0, walk.at_ms)]
    for place in places:
        zone = (max(place - street.range_m, 0.0), min(place + street.range_m, length_m))
        through = other(speed) if place else speed
        for at_m, pace in zip(zone, (other(speed), through), strict=True):
            if at_m > way[-1][0]:
                way.append((at_m, way[-1][1] + (at_m - way[-1][0]) / pace))
        speed = through
    return replace(walk, way=tuple(way))


def judged(
    street: Street,
    walks: Sequence[Walk],
    seed: int,
    corridor: Corridor | None = None,
    miss: float = 0.0,
) -> Judged:
    """Plays a street; `miss`: the chance that a sensor does not see somebody at all."""
    lamps = stage(street, walks, miss, seed)
    orders, cpu_s = play(street, lamps, corridor or street.corridor(), seed)
    told = [lit(each) for each in orders]
    short_ms = sum(
        missing(each.owed, [(a + RISE_MS, b) for a, b in merged([*spans, *each.busy])])
        for each, spans in zip(lamps, told, strict=True)
    )
    begin_ms = walks[0].at_ms
    full_ms = sum(length((max(a, begin_ms), b) for a, b in each if b > begin_ms) for each in told)
    edges = 2 * sum(len(each.busy) for each in lamps)
    return Judged(sum(length(each.owed) for each in lamps), short_ms, full_ms, edges, cpu_s)


def stage(street: Street, walks: Sequence[Walk], miss: float, seed: int) -> list[Lamp]:
    """What happens on the street; light is owed from the first sighting that there was."""
    chance = random.Random(f"sensors {seed}")
    busy: list[Spans] = [[] for _ in range(street.lamps)]
    owed: list[Spans] = [[] for _ in range(street.lamps)]
    for walk in walks:
        gone_ms = walk.when(street.length_m)

        def when(at_m: float, walk: Walk = walk, end_m: float = street.length_m) -> float:
            return walk.when(min(max(at_m, 0.0), end_m))

        places = [
            (lamp, place_m if walk.up else street.length_m - place_m)
            for lamp, place_m in enumerate(street.places_m)
        ]
        if not walk.up:
            places.reverse()
        spans = [
            (lamp, when(place - street.range_m), when(place + street.range_m))
            for lamp, place in places
            if chance.random() >= miss
        ]
        for lamp, begin, end in spans:
            busy[lamp].append((begin, end))
        from_ms = spans[0][1] + GRACE_MS if spans else gone_ms
        for lamp, place in places:
            owed[lamp].append((max(when(place - REACH_M), from_ms), when(place + REACH_M)))
    return [Lamp(merged(seen), merged(due)) for seen, due in zip(busy, owed, strict=True)]


Orders = list[list[tuple[float, int, bool]]]  # of each lamp: when there, number, full


def play(
    street: Street, lamps: Sequence[Lamp], corridor: Corridor, seed: int
) -> tuple[Orders, float]:
    """What each lamp is told, as it hears of it, messages late by chance; and the CPU's seconds."""
    chance = random.Random(seed)

    def late_ms() -> float:
        delay_ms = street.latency_ms / 2
        while chance.random() < street.loss:
            delay_ms += COPY_MS
        return delay_ms

    edges = sorted(
        (at_ms + late_ms(), lamp, round(at_ms), is_there)
        for lamp, each in enumerate(lamps)
        for span in each.busy
        for at_ms, is_there in zip(span, (True, False), strict=True)
    )
    upcoming = iter(edges)
    edge = next(upcoming, None)
    orders: Orders = [[] for _ in lamps]
    numbers = count()
    follower = Follower(corridor)
    follower.begins(BEFORE_MS)
    now = float(BEFORE_MS)
    began = time.process_time()
    while True:
        next_ms = follower.next_ms()
        if edge is not None and (next_ms is None or edge[0] <= next_ms):
            now, lamp, at_ms, is_there = edge
            follower.saw(lamp, at_ms, is_there)
            edge = next(upcoming, None)
        elif next_ms is not None:
            now = max(now, next_ms)
        else:
            return orders, time.process_time() - began
        for change in follower.due(math.ceil(now)):
            orders[change.lamp].append((now + late_ms(), next(numbers), change.full))


def lit(orders: Iterable[tuple[float, int, bool]]) -> Spans:
    """The spans at full; an order that comes after a later one is passed over."""
    spans: Spans = []
    since: float | None = None
    newest = -1
    for at_ms, number, full in sorted(orders):
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


def merged(spans: Iterable[tuple[float, float]]) -> Spans:
    """The same times in order, none twice."""
    found: Spans = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif begin < end:
            found.append((begin, end))
    return found


def length(spans: Iterable[tuple[float, float]]) -> float:
    """Their sum."""
    return sum(end - begin for begin, end in spans)


def missing(owed: Spans, given: Spans) -> float:
    """How much of `owed` is outside `given`."""
    at, short = 0, 0.0
    for begin, end in owed:
        while at < len(given) and given[at][1] <= begin:
            at += 1
        here, place = begin, at
        while here < end:
            if place == len(given) or given[place][0] >= end:
                short += end - here
                break
            short += max(given[place][0] - here, 0.0)
            here = given[place][1]
            place += 1
    return short


def real(street: Street) -> Corridor:
    """As a gateway has it by the defaults of its config."""
    return replace(
        street.corridor(), sensor_misses=1, pace_change=0.3, v_min_mps=0.7, v_max_mps=40.0
    )
