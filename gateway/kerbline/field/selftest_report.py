"""What a self-test tells: each check with its figure, its limits, the cause and what to do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kerbline.field import selftest_words as words


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `ok` None: it could not be measured here, as `cause` says.

    `value`, `low` and `high` are in `unit`; a limit that there is none of is None.
    """

    name: str
    value: float | str | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    ok: bool | None = True
    cause: str = ""
    remedy: str = ""

    @property
    def line(self) -> str:
        """For a person."""
        state = {True: "good", False: "BAD", None: "not measured"}[self.ok]
        told = "" if self.value is None else f" {_figure(self.value)}{_unit(self.unit)}"
        between = _between(self.low, self.high, self.unit) if self.ok is False else ""
        why = ": " + "; ".join(filter(None, (self.cause, self.remedy))) if self.cause else ""
        return f"{self.name}: {state}{told}{between}{why}"


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Is nothing bad?"""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that are bad."""
        return tuple(check for check in self.checks if check.ok is False)

    def as_json(self) -> list[dict[str, object]]:
        """For a record."""
        return [dataclasses.asdict(check) for check in self.checks]


def at_least(name: str, value: float, unit: str, low: float, said: words.Said) -> Check:
    """Good from `low` on."""
    if value >= low:
        return Check(name, value, unit, low)
    return Check(name, value, unit, low, None, False, *said)


def bad(name: str, value: str, said: words.Said) -> Check:
    """What is no figure."""
    return Check(name, value, ok=False, cause=said[0], remedy=said[1])


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.10g}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _between(low: float | None, high: float | None, unit: str) -> str:
    if low is not None and high is not None:
        return f" (good: {_figure(low)} to {_figure(high)}{_unit(unit)})"
    if low is not None:
        return f" (good: from {_figure(low)}{_unit(unit)})"
    return ""
