"""Which lamps of a corridor must be full now, and until when: no clock, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kerbline.control.light.corridor import Corridor
from kerbline.control.light.passage import NEVER_MS
from kerbline.control.light.whereabouts import Whereabouts

VERSION = 2
AGAIN_MS = 1_000  # a lamp that somebody else has is asked for each second


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
        self._where = Whereabouts(corridor)
        self._full = 0  # lamps that were told to be full, as bits
        self._told_ms: dict[int, float] = {}  # when that was said last
        self._again_ms = NEVER_MS  # when a hold is half over
        self._kept_ms = NEVER_MS  # when a lamp is needed again that is not needed now
        self._next_ms = NEVER_MS
        self._renew_ms = 500.0 * corridor.hold_s

    def begins(self, at_ms: int) -> None:
        """From now on the sensors tell of what they see; anybody may be anywhere until then."""
        self._where.begin(at_ms)
        self._next_ms = -NEVER_MS

    def saw(self, lamp: int, at_ms: int, is_there: bool) -> None:  # noqa: FBT001 - often
        """The sensor of `lamp` (index) began or ceased to see somebody at `at_ms`."""
        self._where.edge(lamp, at_ms, is_there)
        self._next_ms = -NEVER_MS

    def succeed(self, before: Follower) -> None:
        """Take over the lamps of `before`, whose street had others; those that went are let be."""
        here = {name: lamp for lamp, name in enumerate(self.corridor.lamps)}
        names = before.corridor.lamps
        self._told_ms = {
            here[names[lamp]]: told_ms
            for lamp, told_ms in before._told_ms.items()
            if names[lamp] in here
        }
        self._full = sum(1 << lamp for lamp in self._told_ms)
        self._again_ms = min(self._told_ms.values(), default=NEVER_MS) + self._renew_ms
        self._kept_ms = self._next_ms = -NEVER_MS

    def refused(self, lamp: int, now_ms: int) -> None:
        """A raise of `lamp` was not let through: it is said again soon."""
        if lamp in self._told_ms:
            self._told_ms[lamp] = now_ms + AGAIN_MS - self._renew_ms
            self._again_ms = min(self._again_ms, now_ms + AGAIN_MS)
            self._next_ms = min(self._next_ms, self._again_ms)

    def due(self, now_ms: int) -> list[Change]:
        """What is to be commanded now, raises first; a hold that is half over is said again."""
        if now_ms < self._next_ms:
            return []
        where, corridor = self._where, self.corridor
        if where.ask_ms <= now_ms:
            where.ask(now_ms)
        quiet_ms = now_ms - corridor.late_ms - corridor.dating_ms
        needed = 0
        over = False
        next_ms = NEVER_MS
        for passage in where.passages:
            if passage.next_ms <= now_ms and not passage.look(now_ms, quiet_ms, corridor.lead_ms):
                over = True
                continue
            needed |= passage.lights
            if passage.next_ms < next_ms:
                next_ms = passage.next_ms
        if over:
            where.passages = [passage for passage in where.passages if passage.next_ms < NEVER_MS]
        changes: list[Change] = []
        if needed != self._full or self._kept_ms <= now_ms or self._again_ms <= now_ms:
            changes = self._changes(needed, now_ms)
        self._next_ms = min(next_ms, where.ask_ms, self._again_ms, self._kept_ms)
        return changes

    def next_ms(self) -> int | None:
        """When `due` may have something without any edge before; None: never."""
        return None if self._next_ms == NEVER_MS else math.ceil(self._next_ms)

    def _changes(self, needed: int, now_ms: float) -> list[Change]:
        changes: list[Change] = []
        if needed != self._full or self._kept_ms <= now_ms:
            self._kept_ms = NEVER_MS
            for lamp in _bits(needed & ~self._full):
                self._told_ms[lamp] = now_ms
                who = self._where.needs(lamp)
                why = who.told(self.corridor.lamps) if who is not None else ""
                changes.append(Change(lamp, True, why))
            kept = 0
            for lamp in _bits(self._full & ~needed):
                from_ms = self._where.needed_ms(lamp) - self.corridor.lead_ms
                if from_ms - now_ms < self.corridor.fall_ms:
                    self._kept_ms = min(self._kept_ms, max(from_ms, now_ms + 1))
                    kept |= 1 << lamp
                else:
                    del self._told_ms[lamp]
                    changes.append(Change(lamp, False, "nobody can be near"))
            self._full = needed | kept
            self._again_ms = min(self._told_ms.values(), default=NEVER_MS) + self._renew_ms
        if self._again_ms <= now_ms:
            for lamp, told_ms in self._told_ms.items():
                if now_ms - told_ms >= self._renew_ms:
                    self._told_ms[lamp] = now_ms
                    changes.append(Change(lamp, True, "somebody may still be near"))
            self._again_ms = min(self._told_ms.values(), default=NEVER_MS) + self._renew_ms
        return changes


def _bits(bits: int) -> list[int]:
    found: list[int] = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found
