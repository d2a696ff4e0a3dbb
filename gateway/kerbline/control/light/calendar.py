"""Which control program a night follows: TALQ's calendars (data model 2.7.1, Calendar).

A day runs from noon to noon (TALQ's dayOffset = 12), so a night belongs to the date on which it
begins. The first rule that fits a date holds; without one the calendar's default program does.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date

WEEK_D = 7
LAST = 6  # of an occurrence: the last such weekday of its month; there are never more than five


@dataclass(frozen=True, slots=True)
class YearDay:
    """A day of each year (TALQ's gMonthDay, --mm-dd), or of each month (gDay, ---dd): month 0."""

    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Span:
    """From a day to a day, both included; of days of the year it may go over New Year."""

    first: YearDay
    last: YearDay

    def covers(self, when: date) -> bool:
        """Is it one of these days?"""
        first, last = (self.first.month, self.first.day), (self.last.month, self.last.day)
        at = (when.month if self.first.month else 0, when.day)
        return first <= at <= last if first <= last else at >= first or at <= last


@dataclass(frozen=True, slots=True)
class Rule:
    """Which program holds on which dates: all that is given must fit (TALQ's CalendarRule).

    `days`: weekdays, 1 is Monday; `occurrences`: only the nth such weekday of its month, LAST for
    the last one; `dates`: any of them (TALQ's ccDay and ccDate).
    """

    program: str
    since: date | YearDay | None = None
    until: date | YearDay | None = None
    days: frozenset[int] = frozenset()
    occurrences: frozenset[int] = frozenset()
    dates: tuple[Span, ...] = ()

    def fits(self, when: date) -> bool:
        """Does it hold for the night that begins on that date?"""
        if self.days and when.isoweekday() not in self.days:
            return False
        if self.occurrences and not self.occurrences & occurrence(when):
            return False
        if self.dates and not any(span.covers(when) for span in self.dates):
            return False
        return self._in_season(when)

    def _in_season(self, when: date) -> bool:
        since, until = self.since, self.until
        if isinstance(since, date) and when < since:
            return False
        if isinstance(until, date) and when > until:
            return False
        first = since if isinstance(since, YearDay) else YearDay(1, 1)
        last = until if isinstance(until, YearDay) else YearDay(12, 31)
        return Span(first, last).covers(when)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Rules in the order of their priority, and what holds where none fits."""

    name: str
    default_program: str
    rules: tuple[Rule, ...] = ()

    def program(self, when: date) -> tuple[str, str]:
        """(program, why) of the night that begins on that date."""
        for number, rule in enumerate(self.rules, 1):
            if rule.fits(when):
                return rule.program, f"rule {number} of calendar {self.name}"
        return self.default_program, f"calendar {self.name}"


def occurrence(when: date) -> frozenset[int]:
    """Which of its weekdays in the month a date is: 1 to 5, and LAST beside it for the last."""
    nth = (when.day - 1) // WEEK_D + 1
    is_last = when.day + WEEK_D > monthrange(when.year, when.month)[1]
    return frozenset([nth, LAST]) if is_last else frozenset([nth])
