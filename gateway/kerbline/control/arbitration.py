"""Who may command an asset now: safety before operator before control before schedule.

A command that is let through claims its asset for as long as the node will hold it, and a
lower rank waits until then. The node's own schedule never asks; it is what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from kerbline.control.moment import Moment
from kerbline.model import Command

UNTIL_RELEASED = -1


class Rank(IntEnum):
    """How much a source may say; the higher wins, equals follow one another."""

    SCHEDULE = 0
    CONTROL = 1
    OPERATOR = 2
    SAFETY = 3


# The first part of Command.source ("control/dimming ...") names its rank; any other source is a
# person or a system outside: an operator.
RANKS: Mapping[str, Rank] = {
    "safety": Rank.SAFETY,
    "operator": Rank.OPERATOR,
    "mqtt": Rank.OPERATOR,
    "control": Rank.CONTROL,
    "schedule": Rank.SCHEDULE,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """An asset in somebody's hands until `until_ms` of street time, or UNTIL_RELEASED."""

    rank: Rank
    until_ms: int
    source: str

    def holds(self, street_ms: int) -> bool:
        """Is the claim still in force at `street_ms`?"""
        return self.until_ms == UNTIL_RELEASED or street_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims in force, at most one an asset."""

    by_asset: Mapping[str, Claim] = field(default_factory=dict)


def rank(source: str) -> Rank:
    """The rank of a Command.source."""
    return RANKS.get(source.partition("/")[0], Rank.OPERATOR)


def admit(claims: Claims, command: Command, now: Moment) -> tuple[Claims, str]:
    """The claims after `command` and why it is refused; an empty reason lets it through.

    Only `set_level` claims and only `release` frees; other operations (identify, reboot) are
    let through by the same ranks and leave the claims alone.
    """
    mine = rank(command.source)
    held = claims.by_asset.get(command.asset)
    if held is not None and held.rank > mine and held.holds(now.street_ms):
        return claims, f"held by {held.source}"
    if command.operation == "set_level":
        hold_s = command.whole("hold_s")
        until_ms = now.street_ms + 1000 * hold_s if hold_s else UNTIL_RELEASED
        claim = Claim(mine, until_ms, command.source)
        return replace(claims, by_asset={**claims.by_asset, command.asset: claim}), ""
    if command.operation == "release":
        left = {asset: claim for asset, claim in claims.by_asset.items() if asset != command.asset}
        return replace(claims, by_asset=left), ""
    return claims, ""
