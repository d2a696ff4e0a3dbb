"""`[[rule]]`: what an operator has lamps do, or an alarm raised, on readings, events and the clock.

Each kind of condition is a list of its own below the rule; all of them must hold, or any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from kerbline.config import faults
from kerbline.config.faults import Complaint, shown, spelled
from kerbline.config.light import KIND, WEEK, Clock, LampGroup, members
from kerbline.config.reader import Key, Reader, hint
from kerbline.config.rules import Between, Matching, OneOf
from kerbline.config.terms import Name, Percent

if TYPE_CHECKING:
    from kerbline.config.modbus import ModbusBus

SECTION = "rule"
MAX_RULES = 200
ALL, ANY = "all", "any"
SET = "set"
UP, DOWN = "up", "down"
CONDITIONS = ("reading", "state", "event", "silence", "time", "sun")
OF_ASSETS = ("reading", "state", "event", "silence")
ACTIONS = ("set_level", "release", "notify")
NODE_KINDS = (KIND, "water_meter", "air_quality")
DAY_S = 86_400

ValueName = Annotated[
    str, Matching(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", "a value's name, as the log has it")
]
Seconds = Annotated[int, Between(0, DAY_S)]
Age = Annotated[int, Between(1, 7 * DAY_S)]


class Plain:
    """A text, a number, or true or false."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge any value."""
        if isinstance(value, float) and not math.isfinite(value):
            return Complaint(f"{shown(value)} is no measurable number", "write a number")
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 100):
            return None
        return Complaint("this is no value to compare with", "write a text or a number")


class OneLine:
    """A text of one line."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        if 0 < len(value) <= 200 and value.isprintable():
            return None
        return Complaint("this is not one line", "write up to 200 characters")


@dataclass(frozen=True, slots=True)
class OfReading:
    """A value above or below a bound; once it is, until it is back at `until`."""

    asset: Name
    value: ValueName
    above: float | None = None
    below: float | None = None
    until: float | None = None
    max_age_s: Age = 3_600


@dataclass(frozen=True, slots=True)
class OfState:
    """A value that is just this."""

    asset: Name
    value: ValueName
    equals: Annotated[object, Plain()]
    max_age_s: Age = DAY_S


@dataclass(frozen=True, slots=True)
class OfEvent:
    """Something was told of an asset, no longer ago than this."""

    asset: Name
    event: ValueName
    within_s: Annotated[int, Between(1, DAY_S)] = 60


@dataclass(frozen=True, slots=True)
class OfSilence:
    """Nothing was heard of an asset for so long."""

    asset: Name
    silent_s: Age


@dataclass(frozen=True, slots=True)
class OfTime:
    """Between two local times; on these days, by the day on which it begins."""

    start: Clock
    end: Clock
    days: tuple[Annotated[str, OneOf(*WEEK)], ...] = ()


@dataclass(frozen=True, slots=True)
class OfSun:
    """While the sun is below or above a height, that of `[light]` where none is given."""

    sun: Annotated[str, Key("is"), OneOf(UP, DOWN)]
    elevation_deg: Annotated[float, Between(-18, 20)] | None = None


@dataclass(frozen=True, slots=True)
class SetLevel:
    """Lamps at a level while the rule holds, and for `hold_s` after it."""

    level_pct: Percent
    hold_s: Annotated[int, Between(10, DAY_S)]
    operation: Annotated[str, OneOf(SET, "max", "min")] = SET
    lamps: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    fade_ms: Annotated[int, Between(0, 60_000)] = 2_000


@dataclass(frozen=True, slots=True)
class Release:
    """What control had lamps do ends."""

    lamps: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """An alarm while the rule holds; of the asset of its first condition where none is named."""

    asset: Name | None = None
    severity: Annotated[str, OneOf("warning", "critical")] = "warning"
    text: Annotated[str, OneLine()] = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be done while conditions hold."""

    name: Name
    match: Annotated[str, OneOf(ALL, ANY)] = ALL
    for_s: Seconds = 0
    every_s: Seconds = 0
    priority: Annotated[int, Between(1, 9)] = 1
    readings: Annotated[tuple[OfReading, ...], Key("reading")] = ()
    states: Annotated[tuple[OfState, ...], Key("state")] = ()
    events: Annotated[tuple[OfEvent, ...], Key("event")] = ()
    silences: Annotated[tuple[OfSilence, ...], Key("silence")] = ()
    times: Annotated[tuple[OfTime, ...], Key("time")] = ()
    suns: Annotated[tuple[OfSun, ...], Key("sun")] = ()
    set_level: SetLevel | None = None
    release: Release | None = None
    notify: Notify | None = None


def alarms(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """The alarms that rules raise: the asset and the name of each."""
    for rule in rules:
        if rule.notify is not None:
            yield told_of(rule, rule.notify), alarm(rule.name)


def alarm(name: str) -> str:
    """How the alarm of a rule is called."""
    return f"rule-{name}"


def told_of(rule: Rule, notify: Notify) -> str:
    """Whose alarm it is: that of the first asset that the rule asks, where none is named."""
    return asked(rule)[0] if notify.asset is None else notify.asset


def asked(rule: Rule) -> list[str]:
    """The assets of a rule's conditions, in order."""
    lists = (rule.readings, rule.states, rule.events, rule.silences)
    return [each.asset for conditions in lists for each in conditions]


def own_lamps(rule: Rule) -> tuple[str, ...]:
    """The lamps that a rule names itself, apart from those of its groups."""
    action = rule.set_level or rule.release
    return () if action is None else action.lamps


def lamps(groups: Iterable[LampGroup], action: SetLevel | Release) -> tuple[str, ...]:
    """The lamps of an action and of its groups, each once, in order."""
    every = tuple(groups)
    named = dict.fromkeys(action.lamps)
    for group in action.groups:
        named |= dict.fromkeys(members(every, group))
    return tuple(named)


def check(reader: Reader, groups: Iterable[LampGroup], may_join: Callable[[object], bool]) -> None:
    """Keep a fault for each reference to nothing, and for each rule that can do nothing.

    `may_join`: may a node join for an asset that nothing has?
    """
    if not reader.has((SECTION,)):
        return
    count = _count(reader)
    if count > MAX_RULES:
        reader.complain((SECTION, MAX_RULES), f"{count} rules", f"write {MAX_RULES} at most")
    _names_once(reader)
    _assets(reader, may_join)
    _lamps(reader, may_join)
    _bounds(reader)
    _light(reader)
    if reader.faults:
        return
    for number in range(count):
        _rule(reader, (SECTION, number), tuple(groups))


def _count(reader: Reader) -> int:
    return len({path[1] for path in reader.lines if path[:1] == (SECTION,) and len(path) > 1})


def _names_once(reader: Reader) -> None:
    first: dict[object, faults.Path] = {}
    for path, name in reader.select(SECTION, "*", "name"):
        before = first.setdefault(name, path)
        if before != path:
            problem = f"{shown(name)} stands at {spelled(before)}, line {reader.line(before)}"
            reader.complain(path, f"{problem} already", "write another one")


def _assets(reader: Reader, may_join: Callable[[object], bool]) -> None:
    """Whoever is asked has a device here, and the value or event is one that it tells."""
    kinds = dict(_kinds(reader))
    for path, asset in _asked(reader):
        if asset in kinds:
            _told(reader, path, str(kinds[asset]))
            continue
        if may_join(asset):
            _told(reader, path, *NODE_KINDS)
            continue
        remedy = hint(str(asset), sorted(kinds)) if kinds else "add a [[node]] for it"
        reader.complain(path, f"{shown(asset)} has no device here", remedy)


def _asked(reader: Reader) -> Iterator[tuple[faults.Path, object]]:
    for condition in OF_ASSETS:
        yield from reader.select(SECTION, "*", condition, "*", "asset")
    yield from reader.select(SECTION, "*", "notify", "asset")


def _kinds(reader: Reader) -> Iterator[tuple[str, object]]:
    """Every asset that has a device, and the kind of its node; empty for other devices."""
    kinds = dict(reader.select("node", "*", "kind"))
    for path, asset in reader.select("node", "*", "asset"):
        yield str(asset), kinds.get((*path[:-1], "kind"), "")
    for pattern in (
        ("modbus", "*", "device", "*", "asset"),
        ("serial", "*", "asset"),
        ("serial", "*", "assets", "*"),
    ):
        yield from ((str(asset), "") for _, asset in reader.select(*pattern))


def _told(reader: Reader, path: faults.Path, *kinds: str) -> None:
    """Of a node it is known what it tells, also where its kind is open; others tell no events."""
    if not kinds[0]:
        for _, _ in reader.select(*path[:-1], "event"):
            nodes = sorted(asset for asset, its_kind in _kinds(reader) if its_kind)
            reader.complain(path, "only nodes tell of events", hint("", nodes))
        return
    from kerbwire import messages as m  # only for a config with rules

    here = path[:-1]
    named = reader.accepted.get((*here, "value"))
    known = sorted({value for kind in kinds for value in values(kind)})
    if named is not None and named not in known:
        problem = f"{shown(named)} is no value of a {' or a '.join(kinds)}"
        reader.complain((*here, "value"), problem, hint(str(named), known))
    event = reader.accepted.get((*here, "event"))
    events = list(m.EVENT_NAMES.values())
    if event is not None and event not in events:
        problem = f"{shown(event)} is no event of a node"
        reader.complain((*here, "event"), problem, hint(str(event), events))


def check_values(reader: Reader, buses: Iterable[ModbusBus]) -> None:
    """Keep a fault for each value that no register of its Modbus device is; they are known now."""
    if reader.faults or not reader.has((SECTION,)):
        return
    from kerbline.config.registers import value_names  # only for a config with rules

    known = {
        device.asset: sorted(name for each in device.registers for name in value_names(each))
        for bus in buses
        for device in bus.devices
    }
    for condition in ("reading", "state"):
        for path, value in reader.select(SECTION, "*", condition, "*", "value"):
            asset = reader.accepted[*path[:-1], "asset"]
            if asset in known and value not in known[str(asset)]:
                problem = f"{shown(value)} is no value of {asset}"
                reader.complain(path, problem, hint(str(value), known[str(asset)]))


def values(kind: str) -> list[str]:
    """What a node of a kind reports, single numbers only."""
    from kerbwire import catalogue  # only for a config with rules

    return sorted(
        {
            field.name
            for schema in catalogue.built_in().values()
            if schema.name == kind
            for field in schema.fields
            if field.count == 1
        }
    )


def _lamps(reader: Reader, may_join: Callable[[object], bool]) -> None:
    kinds = dict(_kinds(reader))
    known = [asset for asset, kind in kinds.items() if kind == KIND]
    groups = [str(name) for _, name in reader.select("lamp_group", "*", "name")]
    for action in ("set_level", "release"):
        for path, lamp in reader.select(SECTION, "*", action, "lamps", "*"):
            if kinds.get(str(lamp)) != KIND and not may_join(lamp):
                what = f"is a {kinds[str(lamp)]}" if kinds.get(str(lamp)) else "is no lamp"
                remedy = hint(str(lamp), known) if known else f"add a [[node]] of kind {KIND}"
                reader.complain(path, f"{shown(lamp)} {what}", remedy)
        for path, group in reader.select(SECTION, "*", action, "groups", "*"):
            if group not in groups:
                remedy = hint(str(group), groups) if groups else "add a [[lamp_group]] of that name"
                reader.complain(path, f"{shown(group)} is no group's name", remedy)


def _bounds(reader: Reader) -> None:
    """A reading is above or below one bound, and comes back on its other side."""
    for path, _ in reader.select(SECTION, "*", "reading", "*", "asset"):
        here = path[:-1]
        above, below, until = (
            reader.accepted.get((*here, key)) for key in ("above", "below", "until")
        )
        if reader.has((*here, "above")) == reader.has((*here, "below")):
            reader.complain(here, "it has one bound", "write above = ... or below = ...")
        elif isinstance(until, float):
            if isinstance(above, float) and until > above:
                reader.complain((*here, "until"), "is above `above`", f"write at most {above:g}")
            if isinstance(below, float) and until < below:
                reader.complain((*here, "until"), "is below `below`", f"write at least {below:g}")


def _light(reader: Reader) -> None:
    """The clock and the sun are those of `[light]`."""
    if reader.has(("light",)):
        return
    for number in range(_count(reader)):
        for condition in ("time", "sun"):
            if reader.has((SECTION, number, condition)):
                remedy = "add [light] with position = [degrees north, degrees east]"
                path = SECTION, number, condition
                reader.complain(path, "nothing says where the lamps stand", remedy)
                return


def _rule(reader: Reader, here: faults.Path, groups: tuple[LampGroup, ...]) -> None:
    conditions = [each for each in CONDITIONS if reader.has((*here, each))]
    if not conditions:
        known = ", ".join(f"[[rule.{each}]]" for each in CONDITIONS)
        reader.complain(here, "nothing says when", f"add one of {known}")
    done = [each for each in ACTIONS if reader.has((*here, each))]
    if not done:
        known = ", ".join(f"[rule.{each}]" for each in ACTIONS)
        reader.complain(here, "nothing is done", f"add one of {known}")
    if "set_level" in done and "release" in done:
        reader.complain((*here, "release"), "it sets a level, too", "make a rule of its own of it")
    for action in ("set_level", "release"):
        if action in done and not _some_lamp(reader, (*here, action), groups):
            reader.complain((*here, action), "no lamp is named", "write lamps = [ ... ]")
    _programmed(reader, (*here, "set_level"), groups)
    asked = any(each in OF_ASSETS for each in conditions)
    if "notify" in done and not asked and not reader.has((*here, "notify", "asset")):
        remedy = 'write asset = "..."'
        reader.complain((*here, "notify", "asset"), "nothing says of whom", remedy)


def _programmed(reader: Reader, here: faults.Path, groups: tuple[LampGroup, ...]) -> None:
    """What is over or under a program needs one."""
    at = (*here, "operation")
    if reader.accepted.get(at, SET) == SET:
        return
    has = {
        lamp
        for each in groups
        if each.calendar or each.program
        for lamp in members(groups, each.name)
    }
    within = [str(group) for _, group in reader.select(*here, "groups", "*")]
    named = [str(lamp) for _, lamp in reader.select(*here, "lamps", "*")]
    for lamp in (*named, *(lamp for group in within for lamp in members(groups, group))):
        if lamp not in has:
            remedy = 'write "set", or add it to a [[lamp_group]] with a program'
            reader.complain(at, f"{shown(lamp)} has no program", remedy)
            return


def _some_lamp(reader: Reader, here: faults.Path, groups: tuple[LampGroup, ...]) -> bool:
    named = [path for path, _ in reader.select(*here, "lamps", "*")]
    within = [str(group) for _, group in reader.select(*here, "groups", "*")]
    return bool(named) or any(members(groups, group) for group in within)
