"""Hourly least, mean and greatest values of each asset, for charts and loops.

An hour of one asset and kind is one row of about 40 bytes and 30 a value, kept HISTORY_HOURS:
200 lamps of six numbers take 7 MB. A value costs eight bytes until its column is counted.
"""

from __future__ import annotations

import sqlite3
import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from kerbline.model import Reading, Value
from kerbline.store.schema import checksum, sealed

HISTORY_HOURS = 7 * 24
HOUR_MS = 3_600_000
COLUMN_VALUES = 1 << 16  # together, before they are counted: half a megabyte
KEY_VALUES = 64  # take as much memory as what readings with the same names have in common

_Name = tuple[int, str, str]  # hour, asset and kind
_Hour = dict[str, list[float]]  # by value name: count, min, sum, max


@dataclass(frozen=True, slots=True)
class Point:
    """What one value did in the hour that begins at `from_ms`."""

    from_ms: int
    count: int
    least: float
    mean: float
    greatest: float


class History:
    """What came since the last fold; the rows hold what came before it."""

    def __init__(self) -> None:
        self._new: dict[_Name, _Hour] = {}
        self._columns: dict[tuple[_Name, tuple[str, ...]], array[float]] = {}  # not in it yet,
        self._room = COLUMN_VALUES  # reading by reading
        self._newest_hour = 0

    def add(self, reading: Reading) -> None:
        """Count a durable reading in; what is too old already is left out."""
        hour = reading.observed_at_ms // HOUR_MS
        self._newest_hour = max(self._newest_hour, hour)
        names, numbers = _numbers(reading.values)
        if hour <= self._newest_hour - HISTORY_HOURS or not names:
            return
        key = (hour, reading.asset, reading.kind), names
        rows = self._columns.get(key)
        if rows is None:
            self._columns[key] = numbers
            self._room -= KEY_VALUES
        else:
            rows.extend(numbers)
        self._room -= len(numbers)
        if self._room < 0:
            self._count()

    def _count(self) -> None:
        """Count the columns in: a Modbus bridge has 5,000 values a second, too many one by one."""
        for (name, names), rows in self._columns.items():
            columns = [sorted(rows[at :: len(names)]) for at in range(len(names))]
            new = {
                each: [len(column), column[0], sum(column), column[-1]]
                for each, column in zip(names, columns, strict=True)
            }
            _merge(self._new.setdefault(name, {}), new)
        self._columns.clear()
        self._room = COLUMN_VALUES

    def save(self, sql: sqlite3.Connection) -> None:
        """Write what is new and drop what is old, within the caller's transaction."""
        self._count()
        for name, new in self._new.items():
            hour = _stored(sql, name)
            _merge(hour, new)
            row = sealed(*name, orjson.dumps(hour).decode())
            sql.execute("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?)", row)
        (newest,) = sql.execute("SELECT coalesce(max(hour), 0) FROM history").fetchone()
        sql.execute("DELETE FROM history WHERE hour <= ?", (newest - HISTORY_HOURS,))

    def saved(self) -> None:
        """The caller's transaction is durable."""
        self._new.clear()

    def points(
        self, sql: sqlite3.Connection, asset: str, kind: str, value: str, since_ms: int
    ) -> list[Point]:
        """One value's hours since `since_ms` that have readings, oldest first."""
        self._count()
        first = max(since_ms // HOUR_MS, self._newest_hour - HISTORY_HOURS + 1)
        points = []
        for hour in range(first, self._newest_hour + 1):
            merged = _stored(sql, (hour, asset, kind))
            _merge(merged, self._new.get((hour, asset, kind), {}))
            if value in merged:
                count, least, total, greatest = merged[value]
                mean = total / count
                points.append(Point(hour * HOUR_MS, int(count), least, mean, greatest))
        return points

    def load(self, sql: sqlite3.Connection) -> None:
        """Learn the newest hour of the rows."""
        (self._newest_hour,) = sql.execute("SELECT coalesce(max(hour), 0) FROM history").fetchone()


def _numbers(values: Mapping[str, Value]) -> tuple[tuple[str, ...], array[float]]:
    """The names and values of the finite numbers among `values`."""
    numbers: list[Any] = [*values.values()]
    try:
        if isfinite(sum(numbers)):
            # From a list an array would take each number twice as long.
            return tuple(values), array("d", struct.pack(f"{len(numbers)}d", *numbers))
    except (TypeError, OverflowError):  # not all are numbers, or not all of a float's size
        pass
    largest = sys.float_info.max
    some = {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and -largest <= value <= largest
    }
    return tuple(some), array("d", some.values())


def _stored(sql: sqlite3.Connection, name: _Name) -> _Hour:
    query = "SELECT body, crc FROM history WHERE hour = ? AND asset = ? AND kind = ?"
    row = sql.execute(query, name).fetchone()
    if row is None or checksum(*name, row[0]) != row[1]:
        return {}
    found: _Hour = orjson.loads(row[0])
    return found


def _merge(into: _Hour, new: _Hour) -> None:
    for name, (count, least, total, greatest) in new.items():
        known = into.get(name)
        if known is None:
            into[name] = [count, least, total, greatest]
        else:
            known[0] += count
            known[1] = min(known[1], least)
            known[2] += total
            known[3] = max(known[3], greatest)
