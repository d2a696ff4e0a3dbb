"""Which lamps of a corridor must be full now, and until when: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.control.light.corridor import Corridor

VERSION = 1


@dataclass(frozen=True, slots=True)
class Change:
    """A lamp (its index) to be raised or held at full for `Corridor.hold_s`, or let go."""

    lamp: int
    full: bool
    why: str


class Follower:
    """Told of each edge of a motion sensor, it says which lamps to raise and to let go.

    Times are street time, ms. Edges may come late and in any order; each lamp's own level and
    what else is commanded are not its matter.
    """

    def __init__(self, corridor: Corridor) -> None:
        self.corridor = corridor
        self._until_ms = [-1] * len(corridor.lamps)  # a zone that is busy: very late
        self._told_ms: dict[int, int] = {}  # lamps at full, and when that was said last
        gap_m = max(
            (b - a for a, b in zip(corridor.positions_m, corridor.positions_m[1:], strict=False)),
            default=0.0,
        )
        self._gap_ms = round(1000 * gap_m / corridor.v_min_mps)
        self._beyond_m = corridor.reach_m + corridor.sensor_range_m

    def begins(self, at_ms: int) -> None:
        """From now on the sensors tell of what they see; anybody may be anywhere until then."""
        self._until_ms = [at_ms + self._gap_ms] * len(self.corridor.lamps)

    def saw(self, lamp: int, at_ms: int, is_there: bool) -> None:
        """The sensor of `lamp` (index) began or ceased to see somebody at `at_ms`."""
        until = at_ms + (1000 * self.corridor.busy_s if is_there else self._gap_ms)
        self._until_ms[lamp] = until

    def due(self, now_ms: int) -> list[Change]:
        """What is to be commanded now, raises first; a hold that is half over is said again."""
        places = self.corridor.positions_m
        busy = [places[lamp] for lamp, until in enumerate(self._until_ms) if now_ms < until]
        changes: list[Change] = []
        for lamp, place in enumerate(places):
            wanted = any(abs(place - other) <= self._beyond_m for other in busy)
            told = self._told_ms.get(lamp)
            if wanted and (told is None or now_ms - told >= 500 * self.corridor.hold_s):
                self._told_ms[lamp] = now_ms
                changes.append(Change(lamp, True, "somebody near"))
            elif told is not None and not wanted:
                del self._told_ms[lamp]
                changes.append(Change(lamp, False, "nobody near"))
        return sorted(changes, key=lambda change: not change.full)

    def next_ms(self) -> int | None:
        """When `due` may have something without any edge before; None: never."""
        if not self._told_ms:
            return None
        renew = min(self._told_ms.values()) + 500 * self.corridor.hold_s
        return min(renew, *(until for until in self._until_ms if until >= 0))
