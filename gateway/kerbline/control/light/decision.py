"""What control decided for lamps, by which rule of which version, and from what: kept, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from kerbline.model import Value

BEGINS, GOES_ON, ENDS = "begins", "goes on", "ends"
RULE = "rule"
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
            texts = (by, version, what, operation)
            numbers = (at_ms, level_pct, hold_s)
            sound = all(isinstance(each, str) for each in texts)
            if not (sound and all(isinstance(each, int) for each in numbers)):
                raise ValueError(f"no decision: {body[:80]}")
            inputs = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
            return cls(*numbers[:1], *texts, *numbers[1:], tuple(lamps), dict(refused), inputs)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no decision: {body[:80]}") from error
