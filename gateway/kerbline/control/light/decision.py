"""What control decided for lamps, by which rule of which version, and from what: kept, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kerbline.model import Value

BEGINS, GOES_ON, ENDS = "begins", "goes on", "ends"
RULE = "rule"
MEMORY = "light_rule"  # under which the store remembers how each rule stands
KEPT_EVERY_MS = 300_000  # of what only goes on: often enough to see that the gateway lived
GATEWAY = "gateway"  # it began: what it had decided before is over, or decided again


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision at a street time (ms since 1970); a level in percent, -1 where none is set.

    `by`: "rule fog", "dimming" or GATEWAY; `inputs`: what it was decided from, by name. `lamps`
    carry it out, `refused` are those that do not, each with the reason; both are assets. `hold_s`:
    how long it lasts where it is not renewed.
    """

    at_ms: int
    by: str
    version: str
    what: str
    operation: str
    level_pct: int = -1
    hold_s: int = 0
    lamps: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Value] = field(default_factory=dict)

    def concerns(self, asset: str) -> bool:
        """Was anything decided for an asset?"""
        return asset in self.lamps or asset in self.refused

    def body(self) -> str:
        """As the store keeps it: a list, since there are many."""
        numbers = (self.level_pct, self.hold_s)
        head = (self.at_ms, self.by, self.version, self.what, self.operation, *numbers)
        parts = [*head, self.lamps, dict(self.refused), dict(self.inputs)]
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def parsed(cls, body: str) -> Decision:
        """What `body` gave; raises ValueError for anything else."""
        try:
            parts = json.loads(body)
            at_ms, by, version, what, operation, level_pct, hold_s, lamps, refused, given = parts
            numbers, texts = (at_ms, level_pct, hold_s), (by, version, what, operation)
            sound = all(isinstance(each, int) for each in numbers)
            if not (sound and all(isinstance(each, str) for each in texts)):
                raise TypeError(body)
            inputs = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"no decision: {body[:80]}") from error
        return cls(at_ms, *texts, level_pct, hold_s, tuple(lamps), dict(refused), inputs)


def standing(
    decisions: Iterable[Decision], lamp: str, at_ms: int
) -> dict[str, tuple[Decision, int]]:
    """What each source still asked of a lamp at a time, and until when it lasted, ms.

    `decisions`: newest first, none of them later. A rule lasts from where it begins to where it
    ends, and for its hold after that; what the gateway decided before it began anew no longer than
    its hold.
    """
    found: dict[str, tuple[Decision, int]] = {}
    over: set[str] = set()
    begun_ms = 1 << 62
    for each in decisions:
        if each.by == GATEWAY:
            begun_ms = min(begun_ms, each.at_ms)
        if each.by in over or not each.concerns(lamp):
            continue
        over.add(each.by)
        if lamp in each.refused or each.level_pct < 0:
            continue
        hold_ms = 1000 * each.hold_s
        until_ms = each.at_ms + hold_ms
        if each.by.startswith(f"{RULE} ") and each.what != ENDS:
            until_ms = min(until_ms + KEPT_EVERY_MS, begun_ms + hold_ms)
        if until_ms > at_ms:
            found[each.by] = each, until_ms
    return found
