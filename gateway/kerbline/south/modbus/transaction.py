"""Who asks on a bus, and one request under way: what schedule, line and bus hand around."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

from kerbline.model import Value
from kerbline.south.modbus.framing import BusFault, Refused, Response, Wanted
from kerbline.south.modbus.survey import Ask, Survey
from kerbline.south.modbus.unit import Unit


class Priority(IntEnum):
    """Who goes first."""

    COMMAND = 0
    FOREIGN = 1  # another master, through our server
    POLL = 2
    PROBE = 3  # of a unit that did not answer


class Job:
    """Somebody else's request, a command's or a foreign master's."""

    __slots__ = ("expires_s", "priority", "unit", "wanted")

    def __init__(self, unit: Unit, wanted: Wanted, priority: Priority, expires_s: float) -> None:
        self.unit = unit
        self.wanted = wanted
        self.priority = priority
        self.expires_s = expires_s


class Group:
    """Registers of one unit with one period, and when they were and will be polled."""

    __slots__ = ("begun_s", "due_s", "index", "period_s", "polled_s", "queued", "survey", "unit")

    def __init__(self, index: int, unit: Unit, period_s: float, survey: Survey) -> None:
        self.index = index
        self.unit = unit
        self.period_s = period_s
        self.survey = survey
        self.due_s = 0.0
        self.begun_s = 0.0
        self.polled_s = 0.0
        self.queued = False


class Polled(NamedTuple):
    """What a poll that is over came to; it began at `begun_s`."""

    group: Group
    begun_s: float
    values: dict[str, Value]
    quality: tuple[str, ...]


class Transaction:
    """A request to a unit; `response` or `fault` is set when it is over.

    Times are seconds of the line's clock. `pause_s` is how long the unit took, without the bytes'
    own time; below 0 where that can't be told. Where a group polls, `ask` is its read.
    """

    __slots__ = (
        "ask",
        "asker",
        "deadline_s",
        "fault",
        "left",
        "pause_s",
        "priority",
        "refusals",
        "response",
        "sent_s",
        "timeout_s",
        "unit",
        "wanted",
    )

    def __init__(self, asker: Job | Group, wanted: Wanted, priority: Priority) -> None:
        self.asker = asker
        self.ask: Ask | None = None
        self.unit = asker.unit
        self.wanted = wanted
        self.priority = priority
        self.timeout_s = asker.unit.patience.timeout_s
        self.refusals = True  # one that comes is the answer to this
        self.sent_s = 0.0
        self.deadline_s = math.inf
        self.pause_s = -1.0
        self.response: Response | None = None
        self.fault: BusFault | None = None
        self.left = False  # the line was closed: the unit is not to blame

    @property
    def answered(self) -> bool:
        """The unit lives: it gave what was asked, or refused it."""
        fault = self.fault
        return fault is None or (isinstance(fault, Refused) and not fault.by_gateway)
