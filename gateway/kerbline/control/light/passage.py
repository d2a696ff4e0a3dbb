"""Somebody who may be on his way along a corridor, and which lamps he needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerbline.control.light.corners import Corners, later, quicker
from kerbline.control.light.corridor import Corridor

NEVER_MS = 1e18


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One direction along a corridor; places are metres from the first lamp that is met.

    A passage begins there at the earliest (who is seen before is not on the street yet) and ends
    at the last lamp.
    """

    zones: tuple[int, ...]  # the lamp of each zone, in the order in which they are met
    near_m: tuple[float, ...]  # where each zone begins
    far_m: tuple[float, ...]  # and ends
    end_m: float
    lit_from_m: tuple[float, ...]  # each lamp is needed by who is between the two
    lit_to_m: tuple[float, ...]
    first: tuple[int, ...]  # the first so many lamps, as bits

    def place(self, lamp: int) -> int:
        """Which of the zones in their order a lamp's is."""
        return lamp if self.zones[0] == 0 else len(self.zones) - 1 - lamp


def lanes(corridor: Corridor) -> tuple[Lane, Lane]:
    """The directions of a corridor: up the list of its lamps, and down."""
    count = len(corridor.lamps)
    up = [place - corridor.positions_m[0] for place in corridor.positions_m]
    end_m = up[-1] + corridor.beyond_m
    down = [end_m - place for place in reversed(up)]
    return (
        _lane(corridor, range(count), up, end_m),
        _lane(corridor, range(count)[::-1], down, end_m),
    )


def _lane(corridor: Corridor, zones: Sequence[int], places: Sequence[float], end_m: float) -> Lane:
    sight, reach = corridor.sensor_range_m, corridor.reach_m
    bits = [0]
    for lamp in zones:
        bits.append(bits[-1] | 1 << lamp)
    return Lane(
        tuple(zones),
        tuple(max(place - sight, 0.0) for place in places),
        tuple(place + sight for place in places),
        end_m,
        tuple(max(place - reach, 0.0) for place in places),
        tuple(min(place + reach, end_m) for place in places),
        tuple(bits),
    )


class Passage:
    """All ways to pass that one chain of sightings allows; of these nobody knows which is true.

    Whoever it is has left the first `clear` zones of his lane, was missed by the last `missed` of
    them, and is met by the first quiet zone from there on as by a wall: had he come so far, that
    zone would see him. `entering`: it is who may come in while the zone `clear` is busy.
    """

    __slots__ = (
        "change",
        "clear",
        "corners",
        "entering",
        "front",
        "front_ms",
        "lane",
        "lights",
        "missed",
        "next_ms",
        "over_ms",
        "place_m",
        "tail",
        "tail_ms",
        "wall",
    )

    def __init__(
        self,
        lane: Lane,
        corners: Corners,
        place_m: float,
        clear: int,
        change: float,
        *,
        missed: int = 0,
        entering: bool = False,
    ) -> None:
        self.lane = lane
        self.corners = corners  # not empty
        self.place_m = place_m  # the place which the corners are of
        self.clear = clear
        self.missed = missed
        self.entering = entering
        self.change = change
        self.wall = -1  # which zone; as many as there are: none; -1: not looked for yet
        self.over_ms = 0.0  # when the last of these is at the wall
        self.tail = 0  # so many lamps of his lane are behind him
        self.tail_ms = -NEVER_MS  # when the next one is
        self.front = 0  # and so many he has needed so far
        self.front_ms = -NEVER_MS  # when he may need the next one
        self.lights = 0  # lamps that he needs, as bits
        self.next_ms = -NEVER_MS  # when that may change

    def cut(self, corners: Corners) -> Passage:
        """The same with fewer ways."""
        cut = Passage(
            self.lane,
            corners,
            self.place_m,
            self.clear,
            self.change,
            missed=self.missed,
            entering=self.entering,
        )
        cut.tail, cut.front = self.tail, self.front
        return cut

    def told(self, names: Sequence[str]) -> str:
        """Who this is, in a few words for people; `names` are of the lamps."""
        met = self.lane.zones[min(self.clear, len(self.lane.zones) - 1)]
        quick, slow = (pick(slowness for _, slowness in self.corners) for pick in (min, max))
        speed = f"{1000 / slow:.1f} to {1000 / quick:.1f} m/s"
        way = "up" if self.lane.zones[0] == 0 else "down"
        unsure = f", unseen by {self.missed}" if self.missed else ""
        return f"somebody {way} the street before or at {names[met]}, {speed}{unsure}"

    def earliest(self, place_m: float) -> float:
        """When somebody of these may be there at the earliest, ms."""
        metres = place_m - self.place_m
        if metres > 0:
            metres *= 1 - self.change
        return min([when + slowness * metres for when, slowness in self.corners])

    def latest(self, place_m: float) -> float:
        """When the last of these is there at the latest, ms."""
        metres = place_m - self.place_m
        if metres > 0:
            metres *= 1 + self.change
        return max([when + slowness * metres for when, slowness in self.corners])

    def later(self, place_m: float, at_ms: float) -> Corners:
        """Those who may be at the place at that time or after it."""
        metres = place_m - self.place_m
        if metres > 0:
            metres *= 1 + self.change
        return later(self.corners, metres, at_ms)

    def stand(self, busy: Sequence[float | None]) -> None:
        """Look for the wall, as the zones (by lamp) are now: since when busy, or None."""
        zones = self.lane.zones
        wall, count = self.clear, len(zones)
        while wall < count and busy[zones[wall]] is not None:
            wall += 1
        if wall != self.wall:
            self.wall, self.next_ms, self.front_ms = wall, -NEVER_MS, -NEVER_MS
            lane = self.lane
            self.over_ms = self.latest(lane.near_m[wall] if wall < count else lane.end_m)

    def look(self, now_ms: float, quiet_ms: float, lead_ms: float) -> bool:
        """Which lamps he needs within `lead_ms`, and until when; False: nobody is left.

        Quiet zones are known to have been quiet until `quiet_ms`.
        """
        lane = self.lane
        count = len(lane.zones)
        over_ms = self.over_ms
        if self.wall < count:
            over_ms += now_ms - quiet_ms
        if over_ms < now_ms:
            self.lights, self.next_ms = 0, NEVER_MS
            return False
        while self.tail_ms < now_ms:
            if self.tail_ms > -NEVER_MS:
                self.tail += 1
            self.tail_ms = self.latest(lane.lit_to_m[self.tail]) if self.tail < count else NEVER_MS
        if self.front < self.tail:
            self.front = self.tail
        if self.front_ms == -NEVER_MS:  # fewer ways than before: perhaps he is not so far yet
            while self.front > self.tail:
                if self._needed_ms(self.front - 1, quiet_ms, now_ms + lead_ms) <= now_ms + lead_ms:
                    break
                self.front -= 1
        while self.front_ms - lead_ms <= now_ms:
            if self.front == count:
                self.front_ms = NEVER_MS
                break
            self.front_ms = self._needed_ms(self.front, quiet_ms, now_ms + lead_ms)
            if self.front_ms - lead_ms <= now_ms:
                self.front += 1
        self.lights = lane.first[self.front] & ~lane.first[self.tail]
        self.next_ms = min(over_ms, self.tail_ms, self.front_ms - lead_ms - 1) + 1
        return True

    def _needed_ms(self, lamp: int, quiet_ms: float, ahead_ms: float) -> float:
        """When somebody of these needs a lamp at the earliest, were the wall to stay quiet.

        Beyond the wall that is who is on the way there unseen yet: quick enough to come from the
        wall to the place between `quiet_ms` and `ahead_ms`. (Both move on with the time; so whoever
        is too slow for that now is so later.)
        """
        lane, wall = self.lane, self.wall
        place_m = lane.lit_from_m[lamp]
        wall_m = lane.near_m[wall] if wall < len(lane.zones) else lane.end_m
        if place_m <= wall_m:
            return self.earliest(place_m)
        beyond_m = (place_m - wall_m) * (1 - self.change)
        corners = self.later(wall_m, quiet_ms)
        corners = quicker(corners, (ahead_ms - quiet_ms) / beyond_m) if corners else ()
        if not corners:
            return NEVER_MS
        metres = (place_m - self.place_m) * (1 - self.change)
        return min([when + slowness * metres for when, slowness in corners])
