"""What the sections of light by the clock say of each other and of the lamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kerbline.config import faults
from kerbline.config.crossings import once, refer
from kerbline.config.faults import shown, spelled
from kerbline.config.light import ABSOLUTE, KIND, PERIOD_KEYS, LampGroup, held, members
from kerbline.config.lighting_classes import level_pct
from kerbline.config.reader import Reader, hint

SECTIONS = ("calendar", "control_program", "lamp_group", "lighting_class", "power_cap")


def check(reader: Reader, groups: Iterable[LampGroup], may_join: Callable[[object], bool]) -> None:
    """Keep a fault for each reference to nothing, and for what can't be carried out.

    `may_join`: may a node join for an asset that nothing has?
    """
    if not any(reader.has((section,)) for section in SECTIONS):
        return
    if not reader.has(("light",)):
        section = next(each for each in SECTIONS if reader.has((each,)))
        remedy = "add [light] with position = [degrees north, degrees east]"
        reader.complain((section, 0), "nothing says where the lamps stand", remedy)
    _named(reader, "control_program", "program", ("calendar", "*", "default_program"))
    _named(reader, "control_program", "program", ("calendar", "*", "rule", "*", "program"))
    _named(reader, "control_program", "program", ("lamp_group", "*", "program"))
    _named(reader, "calendar", "calendar", ("lamp_group", "*", "calendar"))
    for at in (("groups", "*"), ("group",)):
        for section in ("lamp_group", "lighting_class", "power_cap"):
            _named(reader, "lamp_group", "group", (section, "*", *at))
    _periods(reader)
    _rules(reader)
    for section in SECTIONS:
        if section != "lighting_class":
            once(reader, reader.select(section, "*", "name"))
    refer(reader, reader.select("lamp_group", "*", "lamps", "*"), KIND, may_join)
    _apart(reader)
    if any(fault.key.startswith("lamp_group") for fault in reader.faults):
        return  # they may hold what is no value
    usable = list(groups)
    _rings(reader, usable)
    _lamps_once(reader, usable)
    _classes(reader, usable)
    _caps(reader, usable)
    _programmed(reader, usable)
    _clock_pairs(reader)


def _named(reader: Reader, section: str, word: str, pattern: tuple[str, ...]) -> None:
    known = [str(name) for _, name in reader.select(section, "*", "name")]
    for path, name in reader.select(*pattern):
        if name not in known:
            header = f"[[{section}]]"
            remedy = hint(str(name), known) if known else f"add a {header} of that name"
            reader.complain(path, f"{shown(name)} is no {word}'s name", remedy)


def _apart(reader: Reader) -> None:
    """An order names an asset or a group, so no name is both."""
    assets = {asset for path, asset in reader.accepted.items() if path[-1:] == ("asset",)}
    for path, name in reader.select("lamp_group", "*", "name"):
        if name in assets:
            reader.complain(path, f"{shown(name)} is an asset's name", "write another one")


def _periods(reader: Reader) -> None:
    """Each type of period has its own keys; motion is one for the night."""
    for path, kind in reader.select("control_program", "*", "active_period", "*", "type"):
        period = path[:-1]
        for key in ("start", "end") if kind == ABSOLUTE else ():
            if not reader.has((*period, key)):
                reader.complain((*period, key), "is missing", f'write {key} = "20:00"')
        for other, keys in PERIOD_KEYS.items():
            for key in keys:
                if (
                    other != kind
                    and key not in PERIOD_KEYS[str(kind)]
                    and reader.has((*period, key))
                ):
                    problem = f"is nothing for type {shown(kind)}"
                    reader.complain((*period, key), problem, f"remove it; {other} has it")
    for at in ("control_program", "*", "fixed_time"), ("lighting_class", "*", "hour"):
        once(reader, reader.select(*at, "*", "start"), within=2)


def _rules(reader: Reader) -> None:
    for path, _ in reader.select("calendar", "*", "rule", "*", "occurrences", 0):
        if not reader.has((*path[:-2], "days")):
            problem = "there are no days to count"
            reader.complain(path[:-1], problem, 'add days = ["monday"], say')
    for path, start in reader.select("calendar", "*", "rule", "*", "start_date"):
        end = reader.accepted.get((*path[:-1], "end_date"))
        if end is None or isinstance(start, str) or isinstance(end, str):
            continue
        if str(end) < str(start):  # dates of TOML sort as their texts do
            reader.complain((*path[:-1], "end_date"), "is before start_date", "write a later date")


def _rings(reader: Reader, groups: list[LampGroup]) -> None:
    """No group is in itself, by way of others either; one fault for a ring of them."""
    for number, group in enumerate(groups):
        if any(group.name in held(groups, part) for part in group.groups):
            problem = f"{shown(group.name)} is a part of itself"
            reader.complain(("lamp_group", number, "groups"), problem, "take one of them out")
            return


def _lamps_once(reader: Reader, groups: list[LampGroup]) -> None:
    """A lamp has one program; who has a program has no profile of its own."""
    profiled = {
        asset: path
        for path, asset in reader.select("node", "*", "asset")
        if reader.has((*path[:-1], "profile"))
    }
    told: dict[str, faults.Path] = {}
    for number, group in enumerate(groups):
        here = ("lamp_group", number)
        if not group.lamps and not group.groups:
            reader.complain(here, "a group of nothing", "write lamps = [ ... ] or groups = [ ... ]")
        if group.calendar and group.program:
            problem = "a group follows a calendar or one program"
            reader.complain((*here, "program"), problem, "leave one of them out")
        if not group.calendar and not group.program:
            continue
        at = (*here, "calendar" if group.calendar else "program")
        for lamp in members(groups, group.name):
            before = told.setdefault(lamp, at)
            if before != at:
                where = f"{spelled(before)}, line {reader.line(before)}"
                problem = f"{shown(lamp)} has its program by {where} already"
                reader.complain(at, problem, "leave one of them out")
                break
            if lamp in profiled:
                path = (*profiled[lamp][:-1], "profile")
                problem = f"{shown(lamp)} has its levels by {spelled(at)}"
                reader.complain(path, problem, "leave the profile out")


def _classes(reader: Reader, groups: list[LampGroup]) -> None:
    told: dict[str, faults.Path] = {}
    for path, name in reader.select("lighting_class", "*", "group"):
        for lamp in members(groups, str(name)):
            before = told.setdefault(lamp, path)
            if before != path:
                where = f"{spelled(before)}, line {reader.line(before)}"
                problem = f"{shown(lamp)} has a class by {where} already"
                reader.complain(path, problem, "leave one of them out")
                break
        here = path[:-1]
        normal = reader.accepted.get((*here, "normal"))
        keys = ("normal", "floor_pct", "hour")
        has_normal, has_floor, has_hours = (reader.has((*here, key)) for key in keys)
        if not (has_normal or has_floor or has_hours):
            remedy = 'write normal = "M4", say, or floor_pct = 20'
            reader.complain(here, "names neither a class nor a floor", remedy)
        if has_floor and (has_normal or has_hours):
            other = "normal" if has_normal else "hour"
            problem = f"{other} says it already"
            reader.complain((*here, "floor_pct"), problem, "leave one of them out")
        _hours(reader, here, normal)


def _hours(reader: Reader, here: faults.Path, normal: object) -> None:
    pct = reader.accepted.get((*here, "normal_pct"), 100)
    assert isinstance(pct, int)
    for path, _ in reader.select(*here, "hour", "*", "start"):
        hour = path[:-1]
        wanted = reader.accepted.get((*hour, "class"))
        if reader.has((*hour, "class")) == reader.has((*hour, "floor_pct")):
            remedy = 'write class = "M5", say, or floor_pct = 20'
            reader.complain(hour, "an hour has a class or a floor", remedy)
        elif isinstance(wanted, str) and not isinstance(normal, str):
            if not reader.has((*here, "normal")):
                remedy = 'write normal = "M4", say, or floor_pct here'
                reader.complain(
                    (*hour, "class"), "nothing says what the lamps were made for", remedy
                )
        elif isinstance(wanted, str) and isinstance(normal, str):
            try:
                level_pct(normal, wanted, pct)
            except ValueError as error:
                remedy = "write a class of its kind that is not above it, or floor_pct"
                reader.complain((*hour, "class"), str(error), remedy)


def _caps(reader: Reader, groups: list[LampGroup]) -> None:
    """A cap needs to know what each of its lamps draws."""
    known = watts(groups)
    for path, name in reader.select("power_cap", "*", "groups", "*"):
        unknown = [lamp for lamp in members(groups, str(name)) if lamp not in known]
        if unknown:
            problem = f"nothing says what {shown(unknown[0])} draws"
            reader.complain(path, problem, "write lamp_w = 60, say, in its [[lamp_group]]")


def _programmed(reader: Reader, groups: list[LampGroup]) -> None:
    """A node without a program has levels of its own, which know no floor and no cap."""
    programs = [each.name for each in groups if each.calendar or each.program]
    told = {lamp for name in programs for lamp in members(groups, name)}
    limited = [*reader.select("lighting_class", "*", "group")]
    limited += reader.select("power_cap", "*", "groups", "*")
    for path, name in limited:
        free = [lamp for lamp in members(groups, str(name)) if lamp not in told]
        if free:
            problem = f"{shown(free[0])} has no program that could keep it"
            reader.complain(path, problem, 'write program = "..." in a [[lamp_group]] with it')


def _clock_pairs(reader: Reader) -> None:
    for path, _ in (
        *reader.select("power_cap", "*", "start"),
        *reader.select("power_cap", "*", "end"),
    ):
        other = "end" if path[-1] == "start" else "start"
        if not reader.has((*path[:-1], other)):
            reader.complain(path, f"there is no {other} to it", f'add {other} = "20:00"')


def watts(groups: Iterable[LampGroup]) -> dict[str, float]:
    """What each lamp draws at full light, by the innermost group that says it."""
    every = list(groups)
    found: dict[str, tuple[int, float]] = {}
    for group in every:
        if group.lamp_w is None:
            continue
        lamps = members(every, group.name)
        for lamp in lamps:
            if lamp not in found or len(lamps) < found[lamp][0]:
                found[lamp] = len(lamps), group.lamp_w
    return {lamp: watt for lamp, (_, watt) in found.items()}
