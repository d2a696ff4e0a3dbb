"""The lamps that a config names, in the terms of `kerbline.control.light`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kerbline.config import Config
from kerbline.config import light as sections
from kerbline.config.light_checks import watts
from kerbline.config.lighting_classes import level_pct
from kerbline.control.light import calendar
from kerbline.control.light.classes import Floor, Segment
from kerbline.control.light.limits import Cap
from kerbline.control.light.profile import Limits
from kerbline.control.light.programs import (
    DAWN,
    DUSK,
    PHOTOCELL_DEG,
    Absolute,
    AstroClock,
    AstroTime,
    FixedTime,
    Motion,
    Period,
    Program,
)


@dataclass(frozen=True, slots=True)
class Lamp:
    """What the config says of a lamp."""

    limits: Limits
    calendar: calendar.Calendar | None = None  # none: its node has a profile of its own
    clo: tuple[tuple[int, ...], ...] = ()


def program(section: sections.ControlProgram) -> Program:
    """A program of the config."""
    motion = section.motion
    return Program(
        section.name,
        tuple(_period(each) for each in section.active_periods),
        tuple(FixedTime(sections.minutes(e.start), e.level_pct) for e in section.fixed_times),
        tuple(
            AstroTime(
                DUSK if each.event == "sunset" else DAWN,
                each.offset_min,
                each.operation,
                each.level_pct,
            )
            for each in section.astro_clock_times
        ),
        None if motion is None else Motion(motion.level_pct, motion.hold_s),
    )


def lamps(config: Config) -> Mapping[str, Lamp]:
    """Every lamp that a group names."""
    segments = _segments(config)
    caps = _caps(config)
    programs: dict[str, calendar.Calendar] = {}
    clo: dict[str, tuple[int, tuple[tuple[int, ...], ...]]] = {}
    calendars = {each.name: _calendar(each) for each in config.calendars}
    found: dict[str, None] = {}
    for group in config.lamp_groups:
        names = sections.members(config.lamp_groups, group.name)
        found |= dict.fromkeys(names)
        if group.calendar is not None:
            programs |= dict.fromkeys(names, calendars[group.calendar])
        elif group.program is not None:
            own = calendar.Calendar(f"group {group.name}", group.program)
            programs |= dict.fromkeys(names, own)
        if group.clo:  # the innermost group says it
            clo |= {
                name: (len(names), group.clo)
                for name in names
                if name not in clo or len(names) < clo[name][0]
            }
    shared: dict[tuple[str, tuple[str, ...]], Limits] = {}  # one for all that are limited alike
    made: dict[str, Lamp] = {}
    for lamp in found:
        segment = segments.get(lamp)
        behind = tuple(cap for cap in caps if lamp in cap.watts)
        key = (segment.name if segment else "", tuple(cap.name for cap in behind))
        if key not in shared:
            beside = {other for cap in behind for other in cap.watts}
            theirs = {other: segments[other] for other in sorted(beside) if other in segments}
            shared[key] = Limits(segment, behind, theirs)
        made[lamp] = Lamp(shared[key], programs.get(lamp), clo.get(lamp, (0, ()))[1])
    return made


def _period(section: sections.ActivePeriod) -> Period:
    if section.type == sections.ABSOLUTE:
        assert section.start is not None and section.end is not None
        return Absolute(sections.minutes(section.start), sections.minutes(section.end))
    if section.type == sections.PHOTOCELL:
        return AstroClock(elevation_deg=PHOTOCELL_DEG)
    return AstroClock(section.sunset_offset_min, section.sunrise_offset_min, section.elevation_deg)


def _calendar(section: sections.Calendar) -> calendar.Calendar:
    return calendar.Calendar(
        section.name, section.default_program, tuple(_rule(each) for each in section.rules)
    )


def _rule(section: sections.CalendarRule) -> calendar.Rule:
    spans = []
    for text in section.dates:
        days = [_year_day(each) for each in text.split("/")]
        spans.append(calendar.Span(days[0], days[-1]))
    return calendar.Rule(
        section.program,
        _season_day(section.start_date),
        _season_day(section.end_date),
        frozenset(sections.WEEK.index(day) + 1 for day in section.days),
        frozenset(each if isinstance(each, int) else calendar.LAST for each in section.occurrences),
        tuple(spans),
    )


def _year_day(text: str) -> calendar.YearDay:
    found = sections.year_day(text)
    assert found is not None  # the config's rule has judged it
    return calendar.YearDay(*found)


def _season_day(value: object) -> date | calendar.YearDay | None:
    if isinstance(value, str):
        return _year_day(value)
    return value if isinstance(value, date) else None


def _segments(config: Config) -> Mapping[str, Segment]:
    """The segment of each lamp that has a class or a floor."""
    found: dict[str, Segment] = {}
    for section in config.lighting_classes:
        floors = [_floor(section, each) for each in section.hours]
        if section.normal is not None:
            whole = Floor(0, section.normal_pct, section.normal)
        else:
            whole = Floor(0, section.floor_pct or 0)
        segment = Segment(section.group, tuple(floors) or (whole,))
        names = sections.members(config.lamp_groups, section.group)
        found |= dict.fromkeys(names, segment)
    return found


def _floor(section: sections.LightingClass, hour: sections.ClassHour) -> Floor:
    at = sections.minutes(hour.start)
    if hour.lighting_class is None or section.normal is None:
        return Floor(at, hour.floor_pct or 0)
    level = level_pct(section.normal, hour.lighting_class, section.normal_pct)
    return Floor(at, level, hour.lighting_class)


def _caps(config: Config) -> list[Cap]:
    draws = watts(config.lamp_groups)
    found = []
    for section in config.power_caps:
        names = {
            lamp for group in section.groups for lamp in sections.members(config.lamp_groups, group)
        }
        times = [sections.minutes(each) for each in (section.start, section.end) if each]
        by_lamp = {lamp: draws[lamp] for lamp in sorted(names)}
        found.append(Cap(section.name, by_lamp, section.cap_w, *times))
    return found
