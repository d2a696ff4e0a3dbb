"""Where anybody may be along a corridor: a set that always holds everyone, and little more.

A motion sensor tells that somebody is in its zone, not who, nor how many. So nobody is followed:
what is kept are all the passages that the sensors allow. A quiet zone lets nobody through unseen
(but for `Corridor.sensor_misses`); who passed a zone was in it no longer than it was busy; who is
still before it will not have been in it yet. Each such fact is a cut through a set of passages;
what is left after two zones is hardly wider than the truth, and nobody was left out of it. In
Fourier's and Schweppe's words this is set-membership estimation with one set for each chain of
busy times that a passage can have gone through.

Whatever the sets do not explain (a door, a turn, a stop, a start of ours) begins with a new set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kerbline.control.light.corners import box, carried, hull, later, quicker, slower, sooner
from kerbline.control.light.corridor import Corridor
from kerbline.control.light.passage import NEVER_MS, Lane, Passage, lanes

FAR_MS = 1e9  # later than anybody asks for
MEMORY_MS = 10_000  # an edge that comes later than this is taken as one of now
MANY = 32  # so many passages are worth putting together
ALIKE = 4  # that have passed as many zones
ROUND_MS = 1  # an edge is never told before it happens, but dates are whole
ASK_MS = 1_000  # how often a zone that stays busy is asked who is in it


class Edge(NamedTuple):
    """What a sensor told, and what was so before it."""

    at_ms: float
    lamp: int
    is_there: bool
    passages: list[Passage]
    busy: list[float | None]

    def follows(self, at_ms: float, lamp: int) -> bool:
        """Is it later than one at `at_ms` of the sensor of `lamp`?

        Of two within a millisecond at one sensor that one came later which told nothing new.
        """
        told_nothing = self.lamp == lamp and self.is_there == (self.busy[lamp] is not None)
        return self.at_ms > at_ms or (self.at_ms == at_ms and told_nothing)


class Whereabouts:
    """The passages that the edges seen so far allow, and the zones' states; times are ms."""

    def __init__(self, corridor: Corridor) -> None:
        self.passages: list[Passage] = []
        self._corridor = corridor
        self._lanes = lanes(corridor)
        count = len(corridor.lamps)
        self._busy: list[float | None] = [None] * count  # since when
        self._edges: list[Edge] = []  # of late
        self._unsure: set[int] = set()  # zones that told nothing since the beginning
        self._began_ms = 0.0
        self._asks = dict[int, float]()  # zones that are busy, and when to ask who is in them
        self.ask_ms = NEVER_MS  # when to `ask`

    def begin(self, at_ms: float) -> None:
        """Anybody may be anywhere; a zone that does not tell of somebody soon is quiet."""
        corridor = self._corridor
        self._began_ms = at_ms
        self._unsure = set(range(len(corridor.lamps)))
        self._busy = [-NEVER_MS] * len(corridor.lamps)
        self._edges.clear()
        self._asks.clear()
        self.passages = [
            self._somewhere(lane, zone, lane.far_m[zone - 1] if zone else 0.0, at_ms)
            for lane in self._lanes
            for zone in range(len(lane.zones))
        ]
        for lane in self._lanes:
            self.passages += self._entering(lane, 0, at_ms)
        self._stand()
        self._plan()

    def edge(self, lamp: int, at_ms: float, is_there: bool) -> None:  # noqa: FBT001 - often
        """A sensor began or ceased to see somebody; what was concluded from its silence goes."""
        self._unsure.discard(lamp)
        edges = self._edges
        index = len(edges)
        while index and edges[index - 1].follows(at_ms, lamp):
            index -= 1
        again = [Edge(at_ms, lamp, is_there, [], []), *edges[index:]]
        if index < len(edges):
            self.passages, self._busy = edges[index].passages, edges[index].busy
            del edges[index:]
            for passage in self.passages:
                passage.wall = -1
            self._stand()
        for each in again:
            edges.append(each._replace(passages=self.passages, busy=self._busy))
            self._busy = self._busy[:]
            (self._rise if each.is_there else self._fall)(each.lamp, each.at_ms)
            self._stand()
        if edges[0].at_ms < at_ms - MEMORY_MS:
            self._edges = [each for each in edges if each.at_ms >= at_ms - MEMORY_MS]
        self._plan()

    def ask(self, now_ms: float) -> None:
        """Take silence as quiet, and let nobody stand in a zone unknown."""
        quiet_ms = now_ms - self._corridor.late_ms
        if self._unsure and quiet_ms >= self._began_ms:
            for lamp in sorted(self._unsure):
                self.edge(lamp, self._began_ms, False)
        for lamp in [lamp for lamp, at_ms in self._asks.items() if at_ms <= now_ms]:
            since_ms = self._busy[lamp]
            if since_ms is None:
                del self._asks[lamp]
            elif now_ms - since_ms >= 1000 * self._corridor.busy_s:
                self._disbelieve(lamp)
            else:
                self._asks[lamp] = now_ms + ASK_MS
                if not any(
                    passage.wall >= place and passage.latest(lane.far_m[place]) >= quiet_ms
                    for passage, lane, place in self._before(lamp)
                ):
                    for lane in self._lanes:
                        place = lane.place(lamp)
                        self.passages = [
                            *self.passages,
                            self._somewhere(lane, place, lane.near_m[place], quiet_ms),
                        ]
                    self._stand()
        self._plan()

    def needed_ms(self, lamp: int) -> float:
        """When a lamp that nobody needs now may be needed next by who is on his way."""
        return min(
            (
                max(passage.earliest(passage.lane.lit_from_m[place]), passage.front_ms)
                for passage, place in (
                    (passage, passage.lane.place(lamp)) for passage in self.passages
                )
                if place >= passage.front
            ),
            default=NEVER_MS,
        )

    def needs(self, lamp: int) -> Passage | None:
        """One of those who need a lamp."""
        return next((passage for passage in self.passages if passage.lights >> lamp & 1), None)

    def _plan(self) -> None:
        """When to ask next."""
        ask_ms = min(self._asks.values(), default=NEVER_MS)
        if self._unsure:
            ask_ms = min(ask_ms, self._began_ms + self._corridor.late_ms)
        self.ask_ms = ask_ms

    def _rise(self, lamp: int, at_ms: float) -> None:
        if self._busy[lamp] is not None:
            return
        self._busy[lamp] = at_ms
        self._asks[lamp] = at_ms + ASK_MS
        slack = self._corridor.dating_ms
        kept: list[Passage] = []
        explained = False
        for passage in self.passages:
            lane = passage.lane
            place = lane.place(lamp)
            if passage.clear > place:
                kept.append(passage)
                continue
            corners = passage.later(lane.near_m[place], at_ms - slack)
            if not corners:
                continue
            cut = passage if corners is passage.corners else passage.cut(corners)
            kept.append(cut)
            if passage.wall >= place and cut.earliest(lane.near_m[place]) <= at_ms + slack:
                explained = True
        for lane in self._lanes:
            place = lane.place(lamp)
            if place <= self._corridor.sensor_misses:
                kept += self._entering(lane, place, at_ms - slack)
                explained = True
        self.passages = kept
        if not explained:
            for lane in self._lanes:
                place = lane.place(lamp)
                kept += self._with_misses(self._somewhere(lane, place, lane.near_m[place], at_ms))

    def _fall(self, lamp: int, at_ms: float) -> None:
        since_ms = self._busy[lamp]
        self._busy[lamp] = None
        self._asks.pop(lamp, None)
        slack = self._corridor.dating_ms
        kept: list[Passage] = []
        explained = False
        for passage in self.passages:
            lane = passage.lane
            place = lane.place(lamp)
            if passage.clear > place:
                kept.append(passage)
                continue
            if not passage.entering or passage.clear < place:
                corners = passage.later(lane.near_m[place], at_ms - slack)
                if corners:
                    kept.append(passage if corners is passage.corners else passage.cut(corners))
            if since_ms is None or passage.wall < place:
                continue
            if lane.far_m[place] >= lane.end_m:
                explained = explained or passage.earliest(lane.end_m) <= at_ms + slack
                continue
            through = self._through(passage, place, since_ms - slack, at_ms + ROUND_MS)
            if through is not None:
                explained = explained or through.latest(lane.far_m[place]) >= at_ms - slack
                kept += self._with_misses(through)
        if not explained:
            for lane in self._lanes:
                place = lane.place(lamp)
                if lane.far_m[place] < lane.end_m:
                    kept += self._with_misses(self._leaving(lane, place, at_ms))
        self.passages = kept if len(kept) < MANY else merged(kept)

    def _through(
        self, passage: Passage, place: int, from_ms: float, to_ms: float
    ) -> Passage | None:
        """Those of `passage` who went through a zone while it was busy."""
        lane, change, corners = passage.lane, passage.change, passage.corners
        far_m, place_m = lane.far_m[place], passage.place_m
        if change:
            corners = carried(corners, far_m - place_m, change)
            corners = quicker(corners, 1000 / self._corridor.v_min_mps)
            corners = slower(corners, 1000 / self._corridor.v_max_mps) if corners else ()
            place_m = far_m
        corners = sooner(corners, far_m - place_m, to_ms) if corners else ()
        corners = later(corners, lane.near_m[place] - place_m, from_ms) if corners else ()
        if not corners:
            return None
        through = Passage(lane, corners, place_m, place + 1, change)
        if not change:  # else there are new ways among them
            through.tail, through.front = passage.tail, passage.front
        return through

    def _entering(self, lane: Lane, place: int, from_ms: float) -> list[Passage]:
        """Whoever comes in by a zone that is busy, from `from_ms` on."""
        corridor = self._corridor
        corners = box(from_ms, from_ms + FAR_MS, corridor.v_min_mps, corridor.v_max_mps)
        near_m = lane.near_m[place]
        return [Passage(lane, corners, near_m, place, corridor.pace_change, entering=True)]

    def _somewhere(self, lane: Lane, place: int, from_m: float, at_ms: float) -> Passage:
        """Whoever is between `from_m` and the end of a zone at `at_ms`."""
        corridor = self._corridor
        length_m = lane.far_m[place] - from_m
        slack = corridor.dating_ms
        corners = box(
            at_ms - slack - 1000 * length_m / corridor.v_min_mps,
            at_ms + slack,
            corridor.v_min_mps,
            corridor.v_max_mps,
        )
        corners = later(corners, length_m, at_ms - slack)
        return Passage(lane, corners, from_m, place, corridor.pace_change)

    def _leaving(self, lane: Lane, place: int, at_ms: float) -> Passage:
        """Whoever leaves a zone at `at_ms`."""
        corridor = self._corridor
        slack = corridor.dating_ms
        corners = box(at_ms - slack, at_ms + slack, corridor.v_min_mps, corridor.v_max_mps)
        return Passage(lane, corners, lane.far_m[place], place + 1, corridor.pace_change)

    def _with_misses(self, passage: Passage) -> Iterator[Passage]:
        """The same, and that the next sensors miss him."""
        yield passage
        for missed in range(1, self._corridor.sensor_misses + 1):
            clear = passage.clear + missed
            if clear < len(passage.lane.zones):
                unseen = passage.cut(passage.corners)
                unseen.clear, unseen.missed = clear, missed
                yield unseen

    def _before(self, lamp: int) -> Iterator[tuple[Passage, Lane, int]]:
        for passage in self.passages:
            place = passage.lane.place(lamp)
            if passage.clear <= place:
                yield passage, passage.lane, place

    def _disbelieve(self, lamp: int) -> None:
        """A sensor that never rests tells nothing: everyone passes it, nobody comes in by it."""
        del self._asks[lamp]
        self.passages = [
            passage
            for passage in self.passages
            if not passage.entering or passage.lane.zones[passage.clear] != lamp
        ]

    def _stand(self) -> None:
        for passage in self.passages:
            passage.stand(self._busy)


def merged(passages: list[Passage]) -> list[Passage]:
    """The same, and perhaps more; those that are alike and many are put together."""
    alike: dict[tuple[int, int, int, float], list[Passage]] = {}
    kept: list[Passage] = []
    for passage in passages:
        if passage.entering:
            kept.append(passage)
        else:
            key = (passage.lane.zones[0], passage.clear, passage.missed, passage.place_m)
            alike.setdefault(key, []).append(passage)
    for group in alike.values():
        if len(group) > ALIKE:
            whole = group[0].cut(hull(each.corners for each in group))
            whole.tail = min(each.tail for each in group)
            whole.front = max(each.front for each in group)
            kept.append(whole)
        else:
            kept += group
    return kept
