"""One night of a simulated street: people, sensors, messages, the gateway's follower, the lamps.

Event by event, in whole milliseconds of an uptime that all nodes share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, log
from random import Random
from typing import NamedTuple, TextIO

from kerbline.control.light.corridor import Corridor, lead_ms
from kerbline.control.light.following import Follower
from kerbline.sim.lit_street_files import FASTEST_MPS, SLOWEST_MPS, Person, Street
from kerbline.sim.lit_street_lamp import (
    FAINT,
    NEVER_MS,
    QUICK_MS,
    SPREAD,
    Kind,
    Lamp,
    Pace,
    pace,
)
from kerbline.sim.lit_street_messages import Line
from kerbline.sim.lit_street_nights import Night, turns
from kerbline.sim.lit_street_people import clairvoyant_s, edges
from kerbwire import messages as m
from kerbwire.limits import COPY_MS

NIGHT_DEG = 0.3  # lit from before the horizon on: further than the sun's errors
WARM_S = 180  # before what is told, all that is new settles
HOUR_S = 3600
BUSY_S = 10_000_000  # its sensors are never stuck, however many people there are
ASTRIDE_S = 4  # before and after its dusk and dawn a schedule is asked each second
ONE_IN = 1e-10  # how rarely a message may be later than the follower counts on
MOST_LOSS = 0.5  # of what it counts on

LEVELS = tuple(f"{level / 10:g}" for level in range(1001))  # as a row has them

AT_GATEWAY, TIMER, COMMAND, LAMP, DUSK = range(5)


@dataclass(frozen=True, slots=True)
class Scene:
    """What all nights of a street have in common."""

    street: Street
    length_m: float
    seed: int
    every_pct: float  # between two rows of a fall; 0: every change is one

    def kind(self, utc_s: int) -> Kind:
        """Its lamps, whose uptime began at `utc_s`."""
        street = self.street
        place = (street.latitude, street.longitude)
        return Kind(place, street.floor, street.full, NIGHT_DEG, utc_s, self.every_pct)

    def corridor(self, fades: Pace) -> Corridor:
        """The street as its gateway knows it: perfect sensors, everybody keeps his speed."""
        street = self.street
        late_ms = lead_ms(street.latency_ms / 2, min(street.loss, MOST_LOSS), COPY_MS, ONE_IN)
        rise_ms = fades.rise_ms * log(10 * street.full / max(10 * street.floor, FAINT))
        return Corridor(
            lamps=tuple(f"lamp-{lamp}" for lamp in range(street.lamps)),
            positions_m=tuple(lamp * street.spacing_m for lamp in range(street.lamps)),
            sensor_range_m=street.sensor_range_m,
            full_pct=street.full,
            beyond_m=self.length_m - street.last_lamp_m,
            lead_ms=ceil(late_ms + rise_ms) + 2 * fades.quick_ms,
            late_ms=ceil(late_ms) + 1,
            busy_s=BUSY_S,
            sensor_misses=0,
            pace_change=0.0,
            v_min_mps=SLOWEST_MPS,
            v_max_mps=FASTEST_MPS,
        )


class Tally(NamedTuple):
    """What a night took; lamp seconds are summed over the lamps."""

    people: int = 0
    messages: int = 0
    rows: int = 0
    dark_s: float = 0.0  # the sun below the horizon
    demanded_s: float = 0.0  # lamp seconds at full of somebody who knows all
    pct_s: float = 0.0  # of level x time over the lamps

    def plus(self, other: Tally) -> Tally:
        """Of both nights."""
        return Tally._make(a + b for a, b in zip(self, other, strict=True))


class Stage:
    """What is on its way in a night, and who gets it."""

    def __init__(
        self, scene: Scene, night: Night, number: int, people: Sequence[Person], out: TextIO
    ):
        street = scene.street
        self._scene, self._night, self._people, self._out = scene, night, people, out
        begin_s = min([night.lit_from_s, *(person.t_s for person in people[:1])])
        self._zero_s = int(begin_s) - HOUR_S  # of uptime: no node's start is in what is told
        self._end_ms = self._uptime(min(night.end_s, night.lit_to_s))
        chance = Random(f"{scene.seed} {number}")
        self._line = Line(street.latency_ms, street.loss, chance)
        kind = scene.kind(street.start_s + self._zero_s)
        fades = pace(kind)
        around = turns(street, night, NIGHT_DEG)
        self._lamps = [
            Lamp(lamp, kind, fades, self._looks(around, lamp % SPREAD), self._row)
            for lamp in range(street.lamps)
        ]
        self._follower = Follower(scene.corridor(fades))
        self._raise = (street.full, self._follower.corridor.hold_s, QUICK_MS)
        self._heap: list[tuple[int, int, int, int, int, bool]] = []
        self._sent = 0  # commands and reports: their numbers
        self._timer_ms = NEVER_MS
        self._heard_ms = [0] * street.lamps  # when the last report of each lamp was at the gateway
        self._busy = [False] * street.lamps  # what the gateway was told last
        for dusk_s in around[::2]:  # when the last lamp's sensor tells of what it sees
            heappush(self._heap, (self._uptime(dusk_s) + 1000, 0, DUSK, 0, 0, False))
        self._due_ms = [NEVER_MS] * street.lamps  # for which the heap holds a LAMP
        self._rows = 0
        self._telling = False

    def play(self, *, tell_all: bool) -> Tally:
        """From dusk to dawn; `tell_all`: at the start each lamp's level is a row."""
        begin_ms = 1000 * (HOUR_S - WARM_S)
        self._follower.begins(begin_ms)
        for number, lamp in enumerate(self._lamps):
            lamp.begin(begin_ms)
            self._wait_for(number)
        self._run(self._edges(), tell_all=tell_all)
        for lamp in self._lamps:
            lamp.rest(self._end_ms)
        street, night = self._scene.street, self._night
        demanded = clairvoyant_s(self._people, street, self._scene.length_m, night.dark)
        return Tally(
            len(self._people),
            self._sent,
            self._rows,
            sum(dawn_s - dusk_s for dusk_s, dawn_s in night.dark),
            sum(demanded),
            sum(lamp.pct_ms for lamp in self._lamps) / 1000,
        )

    def _run(self, upcoming: Iterator[tuple[int, int, bool]], *, tell_all: bool) -> None:
        heap, lamps = self._heap, self._lamps
        tell_ms = self._uptime(self._night.lit_from_s)
        edge = next(upcoming, None)
        while True:
            now = heap[0][0] if heap else NEVER_MS
            if edge is not None and edge[0] <= now:
                now = edge[0]
            if now > tell_ms:
                tell_ms = NEVER_MS
                self._open(tell_all=tell_all)
            if now >= self._end_ms:
                return
            if edge is not None and edge[0] <= now:
                _, number, is_there = edge
                self._report(now, number, lamps[number].sense(now, is_there))
                edge = next(upcoming, None)
                continue
            _, _, what, number, value, flag = heappop(heap)
            if what == LAMP:
                if lamps[number].due_ms == now:
                    self._due_ms[number] = NEVER_MS
                    self._report(now, number, lamps[number].wake(now))
                elif self._due_ms[number] == now:
                    self._due_ms[number] = NEVER_MS
                    self._wait_for(number)
            elif what == COMMAND:
                op, args = (m.OP_SET_LEVEL, self._raise) if flag else (m.OP_RELEASE, ())
                self._report(now, number, lamps[number].command(now, value, op, args))
            elif what == AT_GATEWAY:
                self._busy[number] = flag
                self._follower.saw(number, value, flag)
                self._decide(now)
            elif what == DUSK:
                self._follower.begins(now)
                for busy in (lamp for lamp, is_there in enumerate(self._busy) if is_there):
                    self._follower.saw(busy, now, True)
                self._decide(now)
            elif now == self._timer_ms:
                self._timer_ms = NEVER_MS
                self._decide(now)

    def _open(self, *, tell_all: bool) -> None:
        """From here on rows are told and energy counts."""
        self._telling = True
        at_ms = self._uptime(self._night.lit_from_s)
        for lamp in self._lamps:
            lamp.open(at_ms, tell_all=tell_all)

    def _report(self, now: int, number: int, is_there: bool | None) -> None:  # noqa: FBT001 - often
        """After a lamp was called: its word goes to the gateway, and it is waited for."""
        if is_there is not None:
            self._sent += 1
            at_ms = self._line.arrival_ms(now)
            if at_ms is not None:
                # A node's records come in their order.
                at_ms = self._heard_ms[number] = max(at_ms, self._heard_ms[number])
                heappush(self._heap, (at_ms, self._sent, AT_GATEWAY, number, now, is_there))
        self._wait_for(number)

    def _wait_for(self, number: int) -> None:
        due_ms = self._lamps[number].due_ms
        if due_ms < self._due_ms[number]:
            self._due_ms[number] = due_ms
            heappush(self._heap, (due_ms, 0, LAMP, number, 0, False))

    def _decide(self, now: int) -> None:
        """What the follower wants goes out; each lamp's last command holds."""
        for change in self._follower.due(now):
            self._sent += 1
            at_ms = self._line.arrival_ms(now)
            if at_ms is not None:
                heappush(
                    self._heap, (at_ms, self._sent, COMMAND, change.lamp, self._sent, change.full)
                )
        next_ms = self._follower.next_ms()
        if next_ms is not None and next_ms < self._timer_ms:
            self._timer_ms = max(next_ms, now + 1)
            heappush(self._heap, (self._timer_ms, 0, TIMER, 0, 0, False))

    def _edges(self) -> Iterator[tuple[int, int, bool]]:
        zero_s = self._zero_s
        for at_s, lamp, is_there in edges(self._people, self._scene.street, self._scene.length_m):
            yield ceil((at_s - zero_s) * 1000 - 1e-6), lamp, is_there

    def _looks(self, around: Sequence[float], lead_s: int) -> Iterator[int]:
        """When a schedule may say something new: each hour, and each second at dusk and dawn."""
        last_s = self._end_ms // 1000
        found = set(range(HOUR_S, last_s, HOUR_S))
        for turn_s in around:
            for about_s in (int(turn_s) - self._zero_s, int(turn_s) - self._zero_s - lead_s):
                found.update(range(about_s - ASTRIDE_S, about_s + ASTRIDE_S))
        return iter([1000 * at_s for at_s in sorted(found) if 0 < at_s < last_s])

    def _uptime(self, at_s: float) -> int:
        return ceil((at_s - self._zero_s) * 1000)

    def _row(self, now: int, lamp: int, level: int) -> None:
        if self._telling:
            self._rows += 1
            at_ms = now + 1000 * self._zero_s
            self._out.write(f"{at_ms // 1000}.{at_ms % 1000:03},{lamp},{LEVELS[level]}\n")
