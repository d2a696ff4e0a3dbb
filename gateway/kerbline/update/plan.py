"""What a campaign was asked for: its bundle, its nodes in their order, its stages and its hours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kerbline.errors import KerblineError
from kerbline.update.declared import as_declared

MINUTE_MS = 60_000
DAY_MIN = 1_440
MOST_SOAK_MIN = 30 * DAY_MIN
MOST_STAGES = 10
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class PlanFault(KerblineError):
    """What was asked of a campaign can't be; the text says what to write."""

    code = "plan"


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a campaign, the line that it shares with others, and the street that it lights.

    `street` is empty for what gives no light: it may restart beside its neighbours.
    """

    node: str
    line: str
    street: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom a release is brought to, in which order and when; `build` and all else for people.

    `stages`: percent of the nodes, rising to 100. `window`: minutes of the local day in which
    nodes restart. `expires_ms`: UTC, 0 never.
    """

    version: str
    build: bytes
    board: str
    sequence: int
    began_ms: int
    members: tuple[Member, ...]
    stages: tuple[float, ...] = (1, 10, 100)
    soak_min: int = 30
    window: tuple[int, int] | None = None
    time_zone: str = ""  # "": the one of the machine
    expires_ms: int = 0
    hands_over_to: str = ""  # fingerprint of the root of the releases after it, where that changes

    def stage_end(self, stage: int) -> int:
        """How many nodes are in the stages up to this one, at least one more than before."""
        count = len(self.members)
        end = 0
        for share in self.stages[: stage + 1]:
            end = min(count, max(end + 1, -int(-share * count // 100)))
        return count if stage >= len(self.stages) - 1 else end

    def in_window(self, now_ms: int) -> bool:
        """May nodes restart at this moment?"""
        if self.window is None:
            return True
        zone = ZoneInfo(self.time_zone) if self.time_zone else None
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
        minute = 60 * local.hour + local.minute
        first, last = self.window
        if first <= last:
            return first <= minute < last
        return minute >= first or minute < last

    def encoded(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self) | {"build": self.build.hex()}

    @classmethod
    def decoded(cls, found: Mapping[str, Any]) -> Plan:
        """From what `encoded` gave; ValueError, KeyError or TypeError for anything else."""
        known = dict(found)
        known["build"] = bytes.fromhex(known["build"])
        known["members"] = tuple(as_declared(Member(**each)) for each in known["members"])
        known["stages"] = tuple(map(float, known["stages"]))
        known["window"] = tuple(map(int, known["window"])) if known["window"] else None
        made = as_declared(cls(**known))
        if not made.members or made.stages[-1:] != (100,):
            raise ValueError("a plan without nodes, or without its last stage")
        if made.window is not None and len(made.window) != 2:
            raise ValueError("a window without two ends")
        zone_of(made.time_zone or "UTC")
        return made


def in_order(members: Iterable[Member], build: bytes, there: Callable[[str], bool]) -> list[Member]:
    """As if drawn by lot, another draw for each build, so that a stage is a sample of the fleet.

    Nodes that are not `there` come last: a stage of silent nodes proves nothing.
    """

    def lot(member: Member) -> tuple[bool, bytes]:
        return not there(member.node), sha256(build + member.node.encode()).digest()

    return sorted(members, key=lot)


def stages_of(text: str) -> tuple[float, ...]:
    """`1,10,100%` as percent of the nodes; the last one is 100 anyway. Raises PlanFault."""
    fault = PlanFault(f"stages: {text!a} is not like 1,10,100%: rising, in percent of the nodes")
    shares: list[float] = []
    for part in text.split(","):
        try:
            share = float(part.strip().removesuffix("%"))
        except ValueError:
            raise fault from None
        if not (shares[-1] if shares else 0) < share <= 100:
            raise fault
        shares.append(share)
    if len(shares) > MOST_STAGES:
        raise PlanFault(f"stages: at most {MOST_STAGES} are taken")
    return tuple(shares if shares[-1] == 100 else [*shares, 100.0])


def window_of(text: str) -> tuple[int, int]:
    """`01:00-04:30` as minutes of the day; it may pass midnight. Raises PlanFault."""
    first, _, last = text.partition("-")
    found = [_CLOCK.fullmatch(part.strip()) for part in (first, last)]
    minutes = [60 * int(each[1]) + int(each[2]) for each in found if each]
    if len(minutes) != 2 or minutes[0] == minutes[1]:
        raise PlanFault(f"window: {text!a} is not like 01:00-04:30")
    return minutes[0], minutes[1]


def zone_of(name: str) -> str:
    """A time zone's name that this machine knows; raises PlanFault."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise PlanFault(f"time zone: this machine does not know {name!a}") from None
    return name
