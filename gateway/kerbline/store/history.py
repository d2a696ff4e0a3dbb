"""Hourly least, mean and greatest values of each asset, for charts and loops.

An hour of one asset and kind is one row of about 40 bytes and 30 a value, kept HISTORY_HOURS:
200 lamps of six numbers take 7 MB. A reading costs one dictionary entry until the next fold.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from math import isfinite

import orjson

from kerbline.model import Reading
from kerbline.store.schema import checksum, sealed

HISTORY_HOURS = 7 * 24
HOUR_MS = 3_600_000

_NUMBER = (int, float)  # a union costs twice as much to look at
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
        self._new: dict[tuple[int, str, str], _Hour] = {}
        self._newest_hour = 0

    def add(self, reading: Reading) -> None:
        """Count a durable reading in; what is too old already is left out."""
        hour = reading.observed_at_ms // HOUR_MS
        self._newest_hour = max(self._newest_hour, hour)
        if hour <= self._newest_hour - HISTORY_HOURS:
            return
        found = self._new.setdefault((hour, reading.asset, reading.kind), {})
        for name, value in reading.values.items():  # a Modbus bridge has 5,000 of them a second
            if type(value) is not int and not (isinstance(value, _NUMBER) and isfinite(value)):
                continue
            known = found.get(name)
            if known is None:
                found[name] = [1, value, value, value]
                continue
            known[0] += 1
            known[2] += value
            if value < known[1]:
                known[1] = value
            elif value > known[3]:
                known[3] = value

    def save(self, sql: sqlite3.Connection) -> None:
        """Write what is new and drop what is old, within the caller's transaction."""
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


def _stored(sql: sqlite3.Connection, name: tuple[int, str, str]) -> _Hour:
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
