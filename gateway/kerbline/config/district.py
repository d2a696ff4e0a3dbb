"""`[[district]]`: a metered district, whose leaks are looked for in its inflow and its meters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated

from kerbline.config import faults
from kerbline.config.faults import Complaint, shown, spelled
from kerbline.config.modbus import ModbusBus, Register
from kerbline.config.reader import Key, OrOne, Reader
from kerbline.config.rules import Between, Filled, Matching, OneOf
from kerbline.config.terms import Name

STEPS_MIN = (5, 10, 15, 20, 30, 60)  # 15 is what meters are read at; each divides a day
LEAST_NEIGHBOURS = 2  # as inflow_common has it
NAMED = ("inflow", "outflow", "meters", "except")
Total = Annotated[
    str, Matching(r"[a-z][a-z0-9_]{0,40}_(l|m3)", "a totaliser's name, which ends in _l or _m3")
]


class Moment:
    """A date and time of TOML with its offset from UTC."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge any value."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return None
        return Complaint(
            f"{shown(str(value))} is no time with its offset from UTC",
            "write it without quotes: 2026-11-22T22:00:00Z, or with +01:00",
        )


class Day:
    """A date of TOML."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge any value."""
        if isinstance(value, date) and not isinstance(value, datetime):
            return None
        return Complaint(f"{shown(str(value))} is no date", "write it without quotes: 2026-12-25")


class TimeZone:
    """A name of the IANA time zone database."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Look it up."""
        from zoneinfo import ZoneInfo  # it costs a start 20 ms

        assert isinstance(value, str)
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            return Complaint(
                f"{shown(value)} is no time zone that this machine knows",
                'write one like "Europe/Amsterdam"; `apt install tzdata` if that is not known',
            )
        return None


@dataclass(frozen=True, slots=True)
class Planned:
    """Water that is let out on purpose: what flows in meanwhile tells of no leak."""

    begin: Annotated[object, Key("from"), Moment()]
    end: Annotated[object, Key("to"), Moment()]
    reason: Annotated[str, Matching(r"[^\x00-\x1f\x7f]{1,100}", "one line of up to 100 characters")]

    def spans(self, from_ms: int, to_ms: int) -> bool:
        """Does it touch these milliseconds since 1970, the last one excluded?"""
        assert isinstance(self.begin, datetime) and isinstance(self.end, datetime)
        return self.begin.timestamp() * 1000 < to_ms and from_ms < self.end.timestamp() * 1000


@dataclass(frozen=True, slots=True)
class Pipes:
    """What the International Water Association's leakage index is worked out from."""

    mains_km: Annotated[float, Between(0.01, 100_000)]
    connections: Annotated[int, Between(1, 10_000_000)]
    pressure_m: Annotated[float, Between(1, 200)]
    private_km: Annotated[float, Between(0, 100_000)] = 0.0  # from the street's edge to the meters


@dataclass(frozen=True, slots=True)
class Valve:
    """What an operator may have closed; the gateway never closes it by itself."""

    asset: Name
    close: Annotated[dict[str, object], Filled()]  # registers and their values, as written to it


@dataclass(frozen=True, slots=True)
class District:
    """A zone with meters at its inlets and outlets, consumer meters, or both."""

    zone: Name
    inflow: Annotated[tuple[Name, ...], OrOne()] = ()
    outflow: Annotated[tuple[Name, ...], OrOne()] = ()
    inflow_value: Annotated[tuple[Total, ...], OrOne(), Filled()] = ("volume_l",)
    meters: tuple[Name, ...] = ()  # those of the zone in the list of assets
    left_out: Annotated[tuple[Name, ...], Key("except"), OrOne()] = ()
    inflow_alone: bool = False  # judge the inflow by itself although there are meters
    neighbours: tuple[Name, ...] = ()  # zones of other districts, whose use follows the same days
    temperature: Name | None = None  # whose readings carry `temperature_c`
    step_min: Annotated[int, OneOf(*STEPS_MIN)] = 15
    wait_min: Annotated[int, Between(0, 1440)] = 60
    time_zone: Annotated[str, TimeZone()] = "UTC"
    holidays: tuple[Annotated[object, Day()], ...] = ()
    critical_lph: Annotated[float, Between(1, 1e9)] = 2_000.0
    critical_l: Annotated[float, Between(1, 1e12)] = 200_000.0
    meter_critical_lph: Annotated[float, Between(0.1, 1e6)] = 60.0
    meter_critical_l: Annotated[float, Between(1, 1e9)] = 10_000.0
    pipes: Pipes | None = None
    valve: Valve | None = None
    planned: Annotated[tuple[Planned, ...], Key("planned")] = field(default=())

    @property
    def mains(self) -> tuple[str, ...]:
        """Its inlets and outlets."""
        return (*self.inflow, *self.outflow)

    @property
    def signs(self) -> tuple[int, ...]:
        """Of each main: 1 where water flows in, -1 where it leaves."""
        return (1,) * len(self.inflow) + (-1,) * len(self.outflow)

    def counted(self, listed: Iterable[str]) -> tuple[str, ...]:
        """Its consumer meters, where the list of assets has these water meters in its zone."""
        others = {*self.mains, *self.left_out}
        return self.meters or tuple(sorted(name for name in listed if name not in others))


def check(reader: Reader, may_join: Callable[[object], bool]) -> None:
    """Keep a fault for what the keys of a district say of each other and of other sections."""
    assets = {str(asset) for pattern in ASSETS for _, asset in reader.select(*pattern)}
    warmth = reader.select("district", "*", "temperature")
    for path, asset in [*_named(reader, *NAMED), *warmth]:
        if asset not in assets and not may_join(asset):
            remedy = "write the asset of a [[node]], [[serial]] or [[modbus.device]]"
            reader.complain(path, f"{shown(asset)} is measured by nothing here", remedy)
    _apart(reader)
    _around(reader)
    written = {asset for _, asset in reader.select("modbus", "*", "device", "*", "asset")}
    for path, asset in reader.select("district", "*", "valve", "asset"):
        if asset not in written:
            remedy = "write the asset of a [[modbus.device]] with a register that is writable"
            reader.complain(path, f"{shown(asset)} is no Modbus device's", remedy)
    has_city = any(reader.select("city", "id"))
    for path, _ in reader.select("district", "*", "zone"):
        here = path[:-1]
        if has_city or reader.has((*here, "inflow")) or reader.has((*here, "meters")):
            continue
        remedy = 'write inflow = "...", or meters = [ ... ], or add [city] with a list of assets'
        reader.complain(path, "names neither an inflow nor meters", remedy)
    for path, _ in reader.select("district", "*", "outflow"):
        if not reader.has((*path[:-1], "inflow")):
            reader.complain(path, "no inflow is named", 'write inflow = "..."')
    for path, _ in reader.select("district", "*", "except"):
        if reader.has((*path[:-1], "meters")):
            remedy = "leave it out there, and this line out"
            reader.complain(path, "meters says which ones count", remedy)
    ends = dict(reader.select("district", "*", "planned", "*", "to"))
    for path, begin in reader.select("district", "*", "planned", "*", "from"):
        end = ends.get((*path[:-1], "to"))
        if isinstance(begin, datetime) and isinstance(end, datetime) and begin >= end:
            reader.complain((*path[:-1], "to"), "is not after from", "write a later time")


def check_valves(reader: Reader, buses: Iterable[ModbusBus]) -> None:
    """Keep a fault for what a valve would refuse to have written; its registers are known now."""
    if reader.faults:
        return
    devices = {device.asset: device for bus in buses for device in bus.devices}
    for path, close in reader.select("district", "*", "valve", "close"):
        asset = str(reader.accepted[*path[:-1], "asset"])
        writable = {each.name: each for each in devices[asset].registers if each.writable}
        assert isinstance(close, dict)
        for name, value in close.items():
            if name not in writable:
                offer = f"write one of {', '.join(writable)}" if writable else "make one writable"
                reader.complain((*path, name), f"is no writable register of {asset}", offer)
            elif why := _refused(writable[name], value):
                reader.complain((*path, name), f"{shown(value)} is not what it takes", why)


def _refused(register: Register, value: object) -> str:
    """What to write in place of a value that the register can't be given; empty if it can."""
    kind, may = register.type, register.writable
    assert may is not None
    if kind == "bool":
        return "" if isinstance(value, bool) else "write true or false"
    if kind == "string":
        return "" if isinstance(value, str) else 'write "text" in quotes'
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            return "write a number"
        if may.values and number not in may.values:
            return f"write one of {', '.join(f'{each:g}' for each in may.values)}"
        low, high = (may.min, may.max) if may.min is not None else (-math.inf, math.inf)
        if not low <= number <= (math.inf if high is None else high):
            return f"write {low:g} to {high:g}"
    return ""


def _named(reader: Reader, *keys: str) -> Iterator[tuple[faults.Path, object]]:
    """Assets under these keys of all districts."""
    for key in keys:
        yield from reader.select("district", "*", key, "*")


def _apart(reader: Reader) -> None:
    """A main stands at one side of a district, and is nowhere a consumer's meter.

    An outlet of one district may be the inlet of another.
    """
    mains: dict[object, faults.Path] = {}
    sides: dict[tuple[object, object], faults.Path] = {}
    for path, asset in _named(reader, "inflow", "outflow"):
        mains.setdefault(asset, path)
        before = sides.setdefault((path[1], asset), path)
        if before[2] != path[2]:
            remedy = "name the net totaliser of a main that flows both ways as inflow alone"
            reader.complain(path, _stands(reader, asset, before), remedy)
    for path, asset in _named(reader, "meters", "except"):
        if asset in mains:
            remedy = "write consumer meters; a main that leaves the district is an outflow"
            reader.complain(path, _stands(reader, asset, mains[asset]), remedy)


def _around(reader: Reader) -> None:
    """What is common to districts matters where an inflow is judged alone."""
    inflows = {path[1]: zone for path, zone in reader.select("district", "*", "zone")}
    inflows = {at: zone for at, zone in inflows.items() if reader.has(("district", at, "inflow"))}
    for path, zone in _named(reader, "neighbours"):
        if zone == inflows.get(path[1]) or zone not in inflows.values():
            known = [str(each) for at, each in inflows.items() if at != path[1]]
            remedy = f"write some of {', '.join(known)}" if known else "leave it out"
            reader.complain(path, f"{shown(zone)} is no other district with an inflow", remedy)
    for path, zones in reader.select("district", "*", "neighbours"):
        if isinstance(zones, tuple) and len(set(zones)) < LEAST_NEIGHBOURS:
            remedy = f"write {LEAST_NEIGHBOURS} or more, or leave it out"
            reader.complain(path, "one alone is no common measure", remedy)
    for key in ("neighbours", "temperature"):
        for path, _ in reader.select("district", "*", key):
            here = path[:-1]
            alone = reader.accepted.get((*here, "inflow_alone")) is True
            if not reader.has((*here, "inflow")) or (reader.has((*here, "meters")) and not alone):
                remedy = "add inflow_alone = true, or leave it out"
                reader.complain(path, "no inflow is judged alone here", remedy)


def _stands(reader: Reader, asset: object, at: faults.Path) -> str:
    return f"{shown(asset)} stands at {spelled(at)}, line {reader.line(at)} already"


ASSETS = (
    ("node", "*", "asset"),
    ("modbus", "*", "device", "*", "asset"),
    ("serial", "*", "asset"),
    ("serial", "*", "assets", "*"),
)
