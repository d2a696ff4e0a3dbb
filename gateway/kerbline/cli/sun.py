"""`kerbline sun`: when the sun rises and sets, as a node finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kerbline.sim.node_code import Sun

_COLUMNS = ("date", "lat", "lon", "event", "zenith")
_FOUND = "utc_seconds_of_day"
_BOUNDS = {"lat": (-90.0, 90.0), "lon": (-180.0, 180.0), "zenith": (0.0, 180.0)}
_SENSES = {"rise": 1, "set": -1}  # from which of a day's two midnights it is looked for
_DAY_S = 86_400
_HOUR_S, _HOUR_DEG = 3600, 15


@click.command("sun")
@click.argument("file", type=click.Path(path_type=Path))
def sun(file: Path) -> int:
    """Print the rows of a CSV file with the seconds from 00:00 UTC of its date to an event.

    Its columns are date (of the place's solar day: UTC and an hour for 15 degrees), lat and lon
    (degrees north and east), event (rise or set) and zenith (the sun's angle from the vertical in
    degrees, without refraction: 90.8333 is sunrise and sunset). The seconds may be negative or
    over 86,400; where the sun does not pass that height on that day there are none.
    """
    from kerbline.cli.csv_files import rows_of, write
    from kerbline.sim import node_code

    node = node_code.sun()
    rows = rows_of(file, _COLUMNS)
    told: list[Sequence[object]] = []
    for line, row in rows:
        seconds = _seconds(node, file, line, row)
        found = "" if seconds is None else f"{seconds:.2f}"
        told.append(list({**row, _FOUND: found}.values()))
    write(list(dict.fromkeys([*rows.columns, _FOUND])), told)
    return 0


def _seconds(node: Sun, file: Path, line: int, row: Mapping[str, str]) -> int | None:
    """From the date's beginning; None if there is no such event."""
    from kerbline.cli.csv_files import BadFile, brief, number_of

    try:
        day = date.fromisoformat(row["date"].strip())
    except ValueError:
        problem = f"{brief(row['date'])} is no date; write 2026-03-29"
        raise BadFile(f"{file}, line {line}: date: {problem}") from None
    numbers: dict[str, float] = {}
    for name, (low, high) in _BOUNDS.items():
        value = number_of(file, line, name, row[name])
        if value is None or not low <= value <= high:
            problem = f"{brief(row[name])} is none; write {low:g} to {high:g}"
            raise BadFile(f"{file}, line {line}: {name}: {problem}")
        numbers[name] = value
    sense = _SENSES.get(row["event"].strip().lower())
    if sense is None:
        problem = f"{brief(row['event'])} is none; write rise or set"
        raise BadFile(f"{file}, line {line}: event: {problem}")
    begin_s = int(datetime.combine(day, time(), UTC).timestamp())
    near_s = begin_s - round(numbers["lon"] * _HOUR_S / _HOUR_DEG) + (_DAY_S if sense < 0 else 0)
    middle_s = node.midnight(near_s, numbers["lon"])
    found_s = node.crossing(middle_s, numbers["lat"], numbers["lon"], 90 - numbers["zenith"], sense)
    if found_s in (middle_s, middle_s + sense * node.HALF_S):
        return None
    return found_s - begin_s
