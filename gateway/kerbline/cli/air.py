"""`kerbline air`: what a file's concentrations mean, worked out as the gateway does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerbline.cli.csv_files import MOST, BadFile, brief, number_of, rows_of, text_of, write

if TYPE_CHECKING:
    from kerbline.control.air.correct import Corrected, Seen, SensorType

_FILE = click.Path(path_type=Path)
_DAY_COLUMNS = ("DAILY", "A_B_Avg", "humidity_a", "temp_Celsius")
_DAY_S = 86_400
# What a column may call a pollutant, without case, dots, underscores and blanks.
_SPELLINGS = {"pm25": "pm2_5", "o31h": "o3_1h", "o38h": "o3", "ozone": "o3"}


@click.group("air")
def group() -> None:
    """Work out air quality from files: indices, NowCast, corrected sensors."""


@group.command("nowcast")
@click.argument("file", type=_FILE)
def nowcast(file: Path) -> int:
    """Print the NowCast of each list of hourly means in a JSON file.

    The file is a list of lists of 1 to 12 values, newest first, null for an hour without one.
    """
    from kerbline.control.air import aqi_us

    results = [aqi_us.nowcast(hours) for hours in _hours(file)]
    click.echo(json.dumps(results))
    return 0


@group.command("aqi")
@click.argument("file", type=_FILE)
@click.option("--index", "which", type=click.Choice(["eu", "us"]), required=True)
def aqi(file: Path, *, which: str) -> int:
    """Print the rows of a CSV file with the index and the category of each concentration.

    Its columns are pollutant and value. eu: hourly means in ug/m3 of pm2_5, pm10, no2, o3 and so2;
    the index is 1 (good) to 6. us: pm2_5 and pm10 in ug/m3 by the day, o3 (8 hours), o3_1h and co
    (8 hours) in ppm, so2 and no2 in ppb (an hour; so2 above 304 by the day); 0 to 500 and above. A
    value that has no index leaves both empty.
    """
    find = _european() if which == "eu" else _american()
    rows = rows_of(file, ("pollutant", "value"))
    told: list[Sequence[object]] = []
    for line, row in rows:
        named = row["pollutant"]
        plain = "".join(named.lower().replace("_", " ").replace(".", " ").split())
        pollutant = _SPELLINGS.get(plain, plain)
        value = number_of(file, line, "value", row["value"])
        try:
            found = ("", "") if value is None else find(pollutant, value)
        except KeyError:
            raise BadFile(
                f"{file}, line {line}: pollutant: the {which} index knows no {named!r}"
            ) from None
        told.append([*row.values(), *found])
    write([*rows.columns, "index", "category"], told)
    return 0


@group.command("correct")
@click.argument("file", type=_FILE)
@click.option("--with-reference", is_flag=True, help="Learn from `conc` of earlier days.")
@click.option("--sensor-type", "named", default="plantower", show_default=True)
def correct(file: Path, *, with_reference: bool, named: str) -> int:
    """Print the rows of a CSV file with PM2.5 corrected and the interval that holds 95 in 100.

    Its columns: sensor_index, DAILY (date), A_B_Avg (mean of both channels, ug/m3), humidity_a
    (%), temp_Celsius, and dewPoint if it is there; conc is the reference in ug/m3, and a day's own
    reference has no part in it. A row that lacks one of them, or has one that no weather and no
    counter can have, is given back with nothing added.
    """
    from kerbline.control.air.sensor_types import SENSOR_TYPES

    if named not in SENSOR_TYPES:
        raise click.BadParameter(f"{named!r} is none of {', '.join(SENSOR_TYPES)}")
    reference = ["conc"] if with_reference else []
    rows = rows_of(file, ["sensor_index", *_DAY_COLUMNS, *reference])
    days = [_day(file, line, row, with_reference=with_reference) for line, row in rows]
    found = corrected(SENSOR_TYPES[named], days)
    told: list[Sequence[object]] = []
    for (_, row), each in zip(rows, found, strict=True):
        values = (each.pm2_5, each.low95, each.high95) if each else ()
        told.append([*row.values(), *([f"{value:.4f}" for value in values] or [""] * 3)])
    write([*rows.columns, "pm2_5", "low95", "high95"], told)
    return 0


@dataclass(frozen=True, slots=True)
class Day:
    """One row of a sensor: what it saw (None: something is missing) and its reference."""

    sensor: str
    day: float
    seen: Seen | None
    reference_ug_m3: float | None


def corrected(kind: SensorType, days: Sequence[Day]) -> Sequence[Corrected | None]:
    """Each row's correction, in the rows' order; a sensor's rows are taken in order of time.

    A reference is learned when a later day of its sensor comes, so that no row knows its own.
    """
    from kerbline.control.air import correct as correction

    states: dict[str, correction.State] = {}
    due: dict[str, Day] = {}
    found: list[Corrected | None] = [None] * len(days)
    for number in sorted(range(len(days)), key=lambda number: days[number].day):
        day = days[number]
        if day.seen is None:
            continue
        state = states.get(day.sensor, correction.State())
        before = due.get(day.sensor)
        if before and before.reference_ug_m3 is not None and before.day // 1 < day.day // 1:
            state = correction.learn(state, before.reference_ug_m3)
        states[day.sensor], found[number] = correction.correct(kind, state, day.seen)
        due[day.sensor] = day
    return found


def _day(file: Path, line: int, row: Mapping[str, str], *, with_reference: bool) -> Day:
    """Of a row; a column that is empty is missing."""
    from kerbline.control.air.correct import Seen, plausible

    try:
        moment = datetime.fromisoformat(row["DAILY"].strip())
    except ValueError:
        raise BadFile(f"{file}, line {line}: DAILY: {row['DAILY']!r} is no date") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    day = moment.timestamp() / _DAY_S
    pm2_5, humidity, temperature = (
        number_of(file, line, name, row[name]) for name in _DAY_COLUMNS[1:]
    )
    dew = number_of(file, line, "dewPoint", row.get("dewPoint", ""))
    reference = number_of(file, line, "conc", row["conc"]) if with_reference else None
    seen = None
    if pm2_5 is not None and humidity is not None and temperature is not None:
        seen = plausible(Seen(day, pm2_5, humidity, temperature, dew))
    return Day(row["sensor_index"].strip(), day, seen, reference)


def _european() -> Callable[[str, float], tuple[int | str, str]]:
    from kerbline.control.air import aqi_eu

    def find(pollutant: str, value: float) -> tuple[int | str, str]:
        level = aqi_eu.level(pollutant, value)
        return (level.index, level.category) if level else ("", "")

    return find


def _american() -> Callable[[str, float], tuple[int | str, str]]:
    from kerbline.control.air import aqi_us

    def find(pollutant: str, value: float) -> tuple[int | str, str]:
        level = aqi_us.level(pollutant, value)
        return (level.index, level.category) if level else ("", "")

    return find


def _hours(file: Path) -> Sequence[Sequence[float | None]]:
    """The lists of a JSON file; each is checked."""
    from kerbline.control.air.aqi_us import NOWCAST_HOURS

    try:
        lists = json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{file}: this is no JSON: {error}") from None
    if not isinstance(lists, list):
        raise BadFile(f"{file}: a list of lists of hourly values is expected")
    for number, hours in enumerate(lists):
        if not isinstance(hours, list) or not 1 <= len(hours) <= NOWCAST_HOURS:
            raise BadFile(f"{file}: list {number} (from 0): it must hold 1 to 12 hourly values")
        for age, value in enumerate(hours):
            if value is None:
                continue
            where = f"{file}: list {number}, hour {age} (from 0)"
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise BadFile(f"{where}: {brief(value)} is no number")
            if abs(value) > MOST:
                raise BadFile(f"{where}: {brief(value)} is more than there can be")
    return lists
