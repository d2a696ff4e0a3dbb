"""Light by the clock: `[light]`, and programs, calendars, groups, classes and power caps of lamps.

Names of sections and keys are TALQ's where it has one (data model 2.7.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Annotated

from kerbline.config.district import TimeZone
from kerbline.config.faults import Complaint, shown
from kerbline.config.lighting_classes import MEAN
from kerbline.config.reader import Key
from kerbline.config.rules import Between, DimmingProfile, Filled, Matching, OneOf
from kerbline.config.terms import Name, Percent

KIND = "streetlight"
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
OPERATIONS = ("set", "max", "min", "add", "sub", "mul")
ABSOLUTE, ASTRO, PHOTOCELL = "absolute", "astro_clock", "photocell"
PERIOD_KEYS = {
    ABSOLUTE: ("start", "end"),
    ASTRO: ("sunset_offset_min", "sunrise_offset_min", "elevation_deg"),
    PHOTOCELL: (),
}
_YEAR_DAY = re.compile(r"--(\d\d)-(\d\d)|---(\d\d)")
_LENGTHS = (31, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # the first is any month's

Clock = Annotated[str, Matching(r"([01][0-9]|2[0-3]):[0-5][0-9]", 'a local time: "22:30"')]
Offset = Annotated[int, Between(-240, 240)]
Class = Annotated[str, OneOf(*MEAN)]


class Position:
    """Latitude and longitude in degrees."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a tuple of numbers."""
        assert isinstance(value, tuple)
        numbers = [each for each in value if isinstance(each, float)]
        if len(numbers) == len(value) == 2 and abs(numbers[0]) <= 90 and abs(numbers[1]) <= 180:
            return None
        return Complaint("this is no position", "write [degrees north, degrees east]")


class YearDays:
    """Days of each year or month in TALQ's form, or two of them with a / between."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        days = [year_day(each) for each in value.split("/")]
        alike = len({each is not None and each[0] > 0 for each in days}) == 1
        if None not in days and len(days) <= 2 and alike:
            return None
        return Complaint(
            f"{shown(value)} is no day of a year or a month",
            'write "--12-24" (24 December), "---01" (each first), or "--12-24/--12-26"',
        )


class SeasonDay:
    """A date of TOML, or a day of each year."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge any value."""
        if isinstance(value, date) and not isinstance(value, datetime):
            return None
        if isinstance(value, str) and (found := year_day(value)) is not None and found[0]:
            return None
        return Complaint(
            f"{shown(str(value))} is no date", 'write 2026-12-24 without quotes, or "--12-24"'
        )


class LampHours:
    """Steps of [lamp hours, percent] in rising order, as a node takes them."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a tuple of tuples."""
        assert isinstance(value, tuple)
        form = f"write 1 to {DimmingProfile.STEPS} steps [0 to 500_000 hours, 30 to 100 %], rising"
        before = -1
        if not 1 <= len(value) <= DimmingProfile.STEPS:
            return Complaint(f"{len(value)} steps", form)
        for step in value:
            if not isinstance(step, tuple) or len(step) != 2:
                return Complaint("a step is no pair", form)
            hours, pct = step
            if not isinstance(hours, int) or not isinstance(pct, int):
                return Complaint("a step is no pair of whole numbers", form)
            if not before < hours <= 500_000 or not 30 <= pct <= 100:
                return Complaint(f"[{hours}, {pct}] is out of range or order", form)
            before = hours
        return None


@dataclass(frozen=True, slots=True)
class Light:
    """Where this gateway's lamps stand, and when it is night there."""

    position: Annotated[tuple[float, ...], Position()]
    time_zone: Annotated[str, TimeZone()] = "UTC"
    night_deg: Annotated[float, Between(-12, 2)] = -2.5


@dataclass(frozen=True, slots=True)
class CalendarRule:
    """The nights on which a program holds; all that is given must fit."""

    program: Name
    days: tuple[Annotated[str, OneOf(*WEEK)], ...] = ()
    occurrences: tuple[Annotated[object, OneOf(1, 2, 3, 4, 5, "last")], ...] = ()
    dates: tuple[Annotated[str, YearDays()], ...] = ()
    start_date: Annotated[object, SeasonDay()] = None
    end_date: Annotated[object, SeasonDay()] = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Rules in the order of their priority, and the program of all other nights."""

    name: Name
    default_program: Name
    rules: Annotated[tuple[CalendarRule, ...], Key("rule")] = ()


@dataclass(frozen=True, slots=True)
class ActivePeriod:
    """When a program is active; each type has its own keys."""

    type: Annotated[str, OneOf(*PERIOD_KEYS)]
    start: Clock | None = None
    end: Clock | None = None
    sunset_offset_min: Offset = 0
    sunrise_offset_min: Offset = 0
    elevation_deg: Annotated[float, Between(-12, 2)] = -0.8333


@dataclass(frozen=True, slots=True)
class FixedTime:
    """From a local time on, a level."""

    start: Clock
    level_pct: Percent


@dataclass(frozen=True, slots=True)
class AstroClockTime:
    """From an offset to sunset or sunrise on, an operation over the level."""

    event: Annotated[str, OneOf("sunset", "sunrise")]
    level_pct: Percent
    offset_min: Offset = 0
    operation: Annotated[str, OneOf(*OPERATIONS)] = "set"


@dataclass(frozen=True, slots=True)
class OnMotion:
    """What a lamp does by itself on motion."""

    level_pct: Percent = 100
    hold_s: Annotated[int, Between(1, 600)] = 20


@dataclass(frozen=True, slots=True)
class ControlProgram:
    """What level when."""

    name: Name
    active_periods: Annotated[tuple[ActivePeriod, ...], Key("active_period")] = ()
    fixed_times: Annotated[tuple[FixedTime, ...], Key("fixed_time")] = ()
    astro_clock_times: Annotated[tuple[AstroClockTime, ...], Key("astro_clock_time")] = ()
    motion: OnMotion | None = None


@dataclass(frozen=True, slots=True)
class LampGroup:
    """Lamps, or groups of them, and what they have in common."""

    name: Name
    lamps: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    calendar: Name | None = None
    program: Name | None = None
    lamp_w: Annotated[float, Between(1, 5_000)] | None = None
    clo: Annotated[tuple[tuple[int, ...], ...], LampHours()] = ()


@dataclass(frozen=True, slots=True)
class ClassHour:
    """From a local time on, another class, or a floor without one."""

    start: Clock
    lighting_class: Annotated[Class | None, Key("class")] = None
    floor_pct: Percent | None = None


@dataclass(frozen=True, slots=True)
class LightingClass:
    """The class of EN 13201-2 that a group's lamps were made for, and those of its hours."""

    group: Name
    normal: Class | None = None
    normal_pct: Annotated[int, Between(1, 100)] = 100
    floor_pct: Percent | None = None
    hours: Annotated[tuple[ClassHour, ...], Key("hour")] = ()


@dataclass(frozen=True, slots=True)
class PowerCap:
    """Groups that together may draw no more, always or between two local times."""

    name: Name
    groups: Annotated[tuple[Name, ...], Filled()]
    cap_w: Annotated[float, Between(1, 10_000_000)]
    start: Clock | None = None
    end: Clock | None = None


def minutes(clock: str) -> int:
    """The minutes of a local time "22:30"."""
    return int(clock[:2]) * 60 + int(clock[3:])


def year_day(text: str) -> tuple[int, int] | None:
    """(month, day) of TALQ's --mm-dd, month 0 of ---dd; None where it is neither."""
    found = _YEAR_DAY.fullmatch(text)
    if found is None:
        return None
    month, day = int(found[1] or 0), int(found[2] or found[3])
    return (month, day) if month <= 12 and 1 <= day <= _LENGTHS[month] else None


def members(groups: Iterable[LampGroup], name: str) -> tuple[str, ...]:
    """The lamps of a group and of the groups in it, each once, in order."""
    found = (group.lamps for group in held(groups, name).values())
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def held(groups: Iterable[LampGroup], name: str) -> dict[str, LampGroup]:
    """A group and the groups in it by their names, each once, in order."""
    by_name = {group.name: group for group in groups}
    found: dict[str, LampGroup] = {}
    open_: list[str] = [name]
    while open_:
        group = by_name.get(open_.pop(0))
        if group is None or group.name in found:
            continue
        found[group.name] = group
        open_ += group.groups
    return found
