"""`[air]`: stations whose reports become hours and days of air, with indices and thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from kerbline.config.faults import shown
from kerbline.config.reader import Key, Reader
from kerbline.config.rules import Between, OneOf
from kerbline.config.terms import Name

KIND = "air_quality"  # of a node that is a station
NO_TYPE = "none"
# A sample stands for the time since the one before, at most for a node's `report_s` or for this.
REPORT_S = 900
FAULT = "sensor_fault"  # names of alarms that are told anyway
_POLLUTANTS = ("pm2_5", "pm10", "no2", "o3", "so2")
_LAWFUL = {f"{each}_{kind}" for each in _POLLUTANTS for kind in ("alert", "information")}


@dataclass(frozen=True, slots=True)
class Threshold:
    """More than so much of a pollutant, as a mean of hours, is told as an alarm."""

    name: Name
    pollutant: Annotated[str, OneOf("pm2_5", "pm10", "no2", "o3", "so2")]
    above_ugm3: Annotated[float, Between(0.1, 10_000)]
    mean_h: Annotated[int, OneOf(1, 8, 24)] = 1
    hold_h: Annotated[int, Between(1, 24)] = 1
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Air:
    """Which assets are stations (none named: each node of kind air_quality), and their sensors."""

    stations: tuple[Name, ...] = ()
    sensor_type: Annotated[str, OneOf(NO_TYPE, "plantower")] = NO_TYPE
    reference: Name | None = None
    together: tuple[Name, ...] = ()
    wait_min: Annotated[int, Between(1, 1_440)] = 15
    thresholds: Annotated[str, OneOf("eu2024", "eu2008", "none")] = "eu2024"
    own: Annotated[tuple[Threshold, ...], Key("threshold")] = ()


def check(reader: Reader, may_join: Callable[[object], bool]) -> None:
    """What `[air]` says of the devices: its stations have one, or a node may join for them."""
    if not reader.has(("air",)):
        return
    kinds = dict(reader.select("node", "*", "kind"))
    stations = [
        asset
        for path, asset in reader.select("node", "*", "asset")
        if kinds.get((*path[:-1], "kind")) == KIND
    ]
    measured = {*stations, *_bridged(reader)}
    named = list(reader.select("air", "stations", "*"))
    beside = [*reader.select("air", "reference"), *reader.select("air", "together", "*")]
    if not named and not stations:
        remedy = 'write stations = ["..."], assets of your [[modbus]] or [[serial]] devices'
        reader.complain(("air",), f"there is no [[node]] of kind {KIND}", remedy)
    for path, asset in (*named, *beside):
        if asset not in measured and not may_join(asset):
            what = "is no asset of a device that measures air"
            reader.complain(path, f"{shown(asset)} {what}", _offer(map(str, measured)))
    law = dict(reader.select("air", "thresholds")).get(("air", "thresholds"))
    for path, name in reader.select("air", "threshold", "*", "name"):
        if name == FAULT or (name in _LAWFUL and law != "none"):
            reader.complain(
                path, f"{shown(name)} is the name of another alarm", "write another one"
            )
    sensor_type = dict(reader.select("air", "sensor_type")).get(("air", "sensor_type"), NO_TYPE)
    for path, _ in reader.select("air", "reference"):
        if sensor_type == NO_TYPE:
            problem = "nothing is corrected, so a reference has nothing to teach"
            reader.complain(path, problem, 'write sensor_type = "plantower", or leave it out')


def _bridged(reader: Reader) -> Iterable[object]:
    for pattern in (
        ("modbus", "*", "device", "*", "asset"),
        ("serial", "*", "asset"),
        ("serial", "*", "assets", "*"),
    ):
        yield from (asset for _, asset in reader.select(*pattern))


def _offer(assets: Iterable[str]) -> str:
    some = sorted(assets)[:8]
    return f"write one of {', '.join(some)}" if some else f"add a [[node]] of kind {KIND}"
