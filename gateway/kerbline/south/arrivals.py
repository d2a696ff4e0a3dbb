"""What comes up from the nodes: each value here is pulled by the agent from one bounded queue."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.keys.way import Way
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


@dataclass(frozen=True, slots=True)
class Runs:
    """What a node says at the start of a session: its build (b"": none) and its message set.

    The next record of its log `epoch` gets `number`.
    """

    node: str
    build: bytes
    messages: int
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Carried:
    """An object that was offered to a node is there, or (not `whole`) was declined."""

    node: str
    digest: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class Obeyed:
    """A node's answer to an order of an update; `reason` is empty when it does it."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The sealed claim of a node that is none of ours; nothing is proven."""

    node: str
    sealed: bytes
    way: Way


UpdateWord = Runs | Carried | Obeyed
Arrival = Reading | Gap | Joined | Anchored | Answered | Noted | UpdateWord | Claimed
