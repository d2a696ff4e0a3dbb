"""Who is where in a simulated street: what sensors see, and what one who knows all would light.

Seconds count from the street's start, metres from its lamp 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, heapreplace

from kerbline.sim.lit_street_files import Person, Street
from kerbline.sim.lit_street_nights import Spans, cut, joined

REACH_M = 60.0  # around somebody, within which the street's lamps are to be full
GRACE_S = 0.5  # after somebody was first seen

Edge = tuple[float, int, bool]  # when (s), at which lamp's sensor, is somebody there from now on?


def edges(people: Sequence[Person], street: Street, length_m: float) -> Iterator[Edge]:
    """What the sensors tell, in order of time; a zone that is busy says nothing of a second one.

    Memory grows with those who are there at a time, not with all.
    """
    there = [0] * street.lamps
    heap: list[tuple[float, int, int, list[tuple[float, int, int]], int]] = []
    number = 0
    while heap or number < len(people):
        if number < len(people) and (not heap or people[number].t_s <= heap[0][0]):
            crossings = _crossings(people[number], street, length_m)
            if crossings:
                heappush(heap, (crossings[0][0], crossings[0][1], number, crossings, 0))
            number += 1
            continue
        at_s, leaves, who, crossings, index = heap[0]
        lamp = crossings[index][2]
        if index + 1 < len(crossings):
            following = crossings[index + 1]
            heapreplace(heap, (following[0], following[1], who, crossings, index + 1))
        else:
            heappop(heap)
        there[lamp] += -1 if leaves else 1
        if there[lamp] == (0 if leaves else 1):
            yield at_s, lamp, not leaves


def clairvoyant_s(
    people: Sequence[Person], street: Street, length_m: float, dark: Spans
) -> list[float]:
    """For each lamp how long it is at full in the hands of somebody who knows all."""
    spans: list[list[tuple[float, float]]] = [[] for _ in range(street.lamps)]
    for person in people:
        way_m = person.way_m(length_m)
        seen_s = person.t_s + GRACE_S + max(0.0, _unseen_m(person, street)) / person.speed_mps
        for lamp in range(street.lamps):
            along_m = (lamp * street.spacing_m - person.enter_m) * person.direction
            begin_s = person.t_s + max(0.0, along_m - REACH_M) / person.speed_mps
            end_s = person.t_s + min(along_m + REACH_M, way_m) / person.speed_mps
            if max(begin_s, seen_s) < end_s:
                spans[lamp].append((max(begin_s, seen_s), end_s))
    return [_within(sorted(each), dark) for each in spans]


def _within(spans: Sequence[tuple[float, float]], dark: Spans) -> float:
    """How long sorted spans last within others."""
    whole = joined(iter(spans))
    return sum(
        stop_s - start_s
        for begin_s, end_s in dark
        for start_s, stop_s in cut(whole, begin_s, end_s)
    )


def _unseen_m(person: Person, street: Street) -> float:
    """How far somebody comes before the first sensor sees it; enters at an end of the street."""
    first_m = 0.0 if person.direction > 0 else street.last_lamp_m
    return abs(first_m - person.enter_m) - street.sensor_range_m


def _crossings(person: Person, street: Street, length_m: float) -> list[tuple[float, int, int]]:
    """(when, 0 into or 1 out of, which lamp's zone), in order of time."""
    way_m = person.way_m(length_m)
    found = []
    for lamp in range(street.lamps):
        along_m = (lamp * street.spacing_m - person.enter_m) * person.direction
        begin_m = max(0.0, along_m - street.sensor_range_m)
        end_m = min(way_m, along_m + street.sensor_range_m)
        if begin_m <= end_m:
            found.append((person.t_s + begin_m / person.speed_mps, 0, lamp))
            found.append((person.t_s + end_m / person.speed_mps, 1, lamp))
    return sorted(found)
