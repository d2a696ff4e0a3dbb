"""Assets that sections of control name: those of nodes that may join have none in the file.

A name of nobody is a fault where no node may join, and awaited where one may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerbline.config import light_rules
from kerbline.config.light import KIND
from kerbline.config.reader import Reader

if TYPE_CHECKING:
    from kerbline.config.sections import Config

LAMP, METER, STATION = KIND, "water_meter", "air_quality"
ALIKE = 0.8  # of 1; lamp-14 and lamp-41 are that much alike
DEVICES = (
    ("gateway", "id"),
    ("node", "*", "asset"),
    ("modbus", "*", "device", "*", "asset"),
    ("serial", "*", "asset"),
    ("serial", "*", "assets", "*"),
)


@dataclass(frozen=True, slots=True)
class Named:
    """An asset that a section names; `kind` is what its node has to be, "" for any."""

    asset: str
    kind: str
    section: str
    number: int = 0

    @property
    def where(self) -> str:
        """The section as a person counts it: dimming[1]."""
        return f"{self.section}[{self.number}]" if self.number else self.section


@dataclass(frozen=True, slots=True)
class Awaited:
    """No node has joined for it yet; `near` is one that nothing names and that may be meant."""

    asset: str
    where: tuple[str, ...]
    near: str = ""

    def __str__(self) -> str:
        meant = f"; is {self.near} meant, which is there?" if self.near else ""
        return f"awaited: {self.asset}, not joined yet ({', '.join(self.where)}){meant}"


@dataclass(frozen=True, slots=True)
class Misfit:
    """There is a node for it, of a kind that these sections have no use for."""

    asset: str
    kind: str
    wanted: str
    where: tuple[str, ...]

    def __str__(self) -> str:
        sections = ", ".join(self.where)
        return f"{self.asset} is of kind {self.kind}, not {self.wanted}: left out of {sections}"


def joinable(reader: Reader) -> Callable[[object], bool]:
    """May a node join for an asset? Not for one that is a device's of the file."""
    shared = any(value is True for _, value in reader.select("node", "*", "bus"))
    lines = shared or any(reader.select("udp", "listen")) or reader.has(("enrolment",))
    taken = {asset for pattern in DEVICES for _, asset in reader.select(*pattern)}
    return lambda asset: lines and asset not in taken


def named(config: Config) -> Iterator[Named]:
    """Every asset that a section of control names, once for each section."""
    for number, corridor in enumerate(config.corridors, 1):
        yield from (Named(lamp, LAMP, "dimming", number) for lamp in corridor.lamps)
    for number, leak in enumerate(config.leaks, 1):
        yield Named(leak.meter, METER, "leak", number)
    for number, group in enumerate(config.lamp_groups, 1):
        yield from (Named(lamp, LAMP, "lamp_group", number) for lamp in group.lamps)
    for number, zone in enumerate(config.districts, 1):
        warmth = () if zone.temperature is None else (zone.temperature,)
        measured = dict.fromkeys((*zone.mains, *zone.meters, *zone.left_out, *warmth))
        yield from (Named(asset, "", "district", number) for asset in measured)
    if config.air is not None:
        reference = () if config.air.reference is None else (config.air.reference,)
        stations = dict.fromkeys((*config.air.stations, *config.air.together, *reference))
        yield from (Named(station, STATION, "air") for station in stations)
    for number, rule in enumerate(config.rules, 1):
        lamps = dict.fromkeys(light_rules.own_lamps(rule))
        asked = dict.fromkeys(light_rules.asked(rule))
        yield from (Named(lamp, LAMP, "rule", number) for lamp in lamps)
        yield from (Named(asset, "", "rule", number) for asset in asked if asset not in lamps)


def awaited(found: Iterable[Named], kinds: Mapping[str, str]) -> list[Awaited]:
    """Those that are not there; `kinds` is what each asset that is there is."""
    every = tuple(found)
    lacking: dict[str, list[Named]] = {}
    for each in every:
        if each.asset not in kinds:
            lacking.setdefault(each.asset, []).append(each)
    return [
        Awaited(asset, _sections(by), _near(by[0], every, kinds)) for asset, by in lacking.items()
    ]


def misfits(found: Iterable[Named], kinds: Mapping[str, str]) -> list[Misfit]:
    """Those whose node is of another kind than their section needs; other devices may do."""
    wrong: dict[tuple[str, str], list[Named]] = {}
    for each in found:
        kind = kinds.get(each.asset)
        if each.kind and kind in light_rules.NODE_KINDS and kind != each.kind:
            wrong.setdefault((each.asset, each.kind), []).append(each)
    return [
        Misfit(asset, kinds[asset], wanted, _sections(by)) for (asset, wanted), by in wrong.items()
    ]


def _sections(by: Iterable[Named]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.where for each in by))


def _near(lacks: Named, every: Iterable[Named], kinds: Mapping[str, str]) -> str:
    """Who is there, fits, and is named by no section of that name: the likeliest slip."""
    import difflib  # only where somebody is awaited

    told = {each.asset for each in every if each.section == lacks.section}
    free = [
        asset for asset, kind in kinds.items() if asset not in told and lacks.kind in ("", kind)
    ]
    return next(iter(difflib.get_close_matches(lacks.asset, free, 1, ALIKE)), "")
