"""What comes up from the nodes: each value here is pulled by the agent from one bounded queue."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.model import Gap, Reading
from kerbline.store import Anchor


@dataclass(frozen=True, slots=True)
class Joined:
    """A node's session is up (again): what waits for it may be sent."""

    node: str
    asset: str


@dataclass(frozen=True, slots=True)
class Anchored:
    """The moment a boot of a node began is known (better): it dates the records of that boot."""

    node: str
    boot_id: int
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class Answered:
    """A node's answer to a command; `reason` is empty when it was carried out.

    `note`: what was changed of it before it went.
    """

    command_id: str
    asset: str
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something to remember over a restart: `body` under a rule and a name."""

    rule: str
    name: str
    body: str


Arrival = Reading | Gap | Joined | Anchored | Answered | Noted
