"""What the doctor finds: one fact with its cause and what to do, for people and for programs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a finding is meant; UNKNOWN: it could not be looked at here, and `what` says why."""

    GOOD = "good"
    NOTE = "note"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, for programs; `subject` is what was looked at: a port, a file, a broker."""

    code: str
    level: Level
    subject: str
    what: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """For people: cause, then what to do."""
        does = f"; {self.remedy}" if self.remedy else ""
        return f"{self.level:<7} {self.subject}: {self.what}{does}"

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return dataclasses.asdict(self)


def good(code: str, subject: str, what: str) -> Finding:
    """All is well there."""
    return Finding(code, Level.GOOD, subject, what)


def note(code: str, subject: str, what: str, remedy: str = "") -> Finding:
    """Nothing is broken, and somebody may want to know."""
    return Finding(code, Level.NOTE, subject, what, remedy)


def fault(code: str, subject: str, what: str, remedy: str) -> Finding:
    """It is broken, and this mends it."""
    return Finding(code, Level.FAULT, subject, what, remedy)


def unknown(code: str, subject: str, what: str, remedy: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(code, Level.UNKNOWN, subject, what, remedy)
