"""What control decided and why, as it came: a bounded table whose oldest rows go first.

One row a commit, its decisions compressed together, so that a night of passing cars costs some
bytes each. They are numbered, so that it shows how many of them there are no more.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from kerbline.store.database import Database
from kerbline.store.reader import Reader
from kerbline.store.schema import checksum, sealed

BYTES_KEPT = 4_000_000  # of bodies, 300,000 decisions: 3 days of a street that 2,000 pass a day
SHARE = 16  # at most this part of what the whole log may take
ROWS_KEPT = 50_000
ROW_BYTES = 40  # what a row costs beside its body
MAX_BODY = 64_000_000
LEVEL = 6
_THERE = "SELECT 1 FROM sqlite_schema WHERE name = 'decision'"


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision as it was given, its number, and its street time (ms since 1970)."""

    number: int
    at_ms: int
    body: str


class Decisions:
    """The table of one store, within the transactions of who commits."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: what the whole log may take."""
        self._most_bytes = min(BYTES_KEPT, max_bytes // SHARE)
        self._before = 0  # the number of the newest one of earlier runs
        self._rows: list[tuple[int, int]] = []  # (last number, bytes) of each row, oldest first
        self._bytes = 0
        self._saving: tuple[int, int, int] | None = None

    def load(self, database: Database) -> None:
        """Learn what is kept; a disk that refused at the open may have given us no table yet."""
        if not list(database.rows(_THERE)):
            return
        query = "SELECT last, length(body) FROM decision ORDER BY last"
        self._rows = [
            (last, size + ROW_BYTES)
            for last, size in database.rows(query)
            if isinstance(last, int) and isinstance(size, int)
        ]
        self._bytes = sum(size for _, size in self._rows)
        self._before = self._rows[-1][0] if self._rows else 0

    def save(self, sql: sqlite3.Connection, given: Sequence[tuple[int, int, str]]) -> None:
        """Keep (number of this run, at_ms, body) of each; `saved` follows when that is durable."""
        if not given:
            return
        last = self._before + given[-1][0]
        body = zlib.compress(orjson.dumps([each[1:] for each in given]), LEVEL)
        size = len(body) + ROW_BYTES
        times = [at_ms for _, at_ms, _ in given]
        sql.execute(
            "INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?)",
            sealed(last, len(given), min(times), max(times), body),
        )
        gone = self._over(size)
        if gone:
            sql.execute("DELETE FROM decision WHERE last <= ?", (self._rows[gone - 1][0],))
        self._saving = (last, size, gone)

    def saved(self) -> None:
        """The caller's transaction is durable."""
        if self._saving is None:
            return
        last, size, gone = self._saving
        self._saving = None
        self._bytes += size - sum(each for _, each in self._rows[:gone])
        del self._rows[:gone]
        self._rows.append((last, size))

    def _over(self, more_bytes: int) -> int:
        """How many of the oldest rows have to go for one more."""
        left = self._bytes + more_bytes
        gone = 0
        while gone < len(self._rows) and (
            left > self._most_bytes or len(self._rows) - gone >= ROWS_KEPT
        ):
            left -= self._rows[gone][1]
            gone += 1
        return gone


def newest_first(reader: Reader, before_ms: int) -> Iterator[Kept]:
    """What was decided until a street time, as far as it is kept and can be read."""
    if not _there(reader):
        return
    query = (
        "SELECT last, entries, from_ms, to_ms, body, crc FROM decision"
        " WHERE from_ms <= ? AND last < ? ORDER BY last DESC LIMIT 16"
    )
    below = 1 << 62
    while rows := reader.rows(query, before_ms, below):
        for *row, crc in rows:
            if checksum(*row) == crc:
                yield from reversed([each for each in _unpacked(row) if each.at_ms <= before_ms])
        below = rows[-1][0]


def oldest_first(reader: Reader, from_ms: int, to_ms: int) -> Iterator[Kept]:
    """What was decided between two street times, as far as it is kept and can be read."""
    if not _there(reader):
        return
    query = (
        "SELECT last, entries, from_ms, to_ms, body, crc FROM decision"
        " WHERE to_ms >= ? AND from_ms < ? AND last > ? ORDER BY last LIMIT 16"
    )
    above = -1
    while rows := reader.rows(query, from_ms, to_ms, above):
        for *row, crc in rows:
            if checksum(*row) == crc:
                yield from [each for each in _unpacked(row) if from_ms <= each.at_ms < to_ms]
        above = rows[-1][0]


def lost(reader: Reader) -> tuple[int, int]:
    """How many decisions there are no more, and the street time of the oldest that is kept, ms."""
    if not _there(reader):
        return 0, 0
    rows = reader.rows("SELECT last, entries, from_ms FROM decision ORDER BY last")
    if not rows:
        return 0, 0
    kept = sum(entries for _, entries, _ in rows)
    return max(0, rows[-1][0] - kept), rows[0][2]


def _there(reader: Reader) -> bool:
    """A store that an earlier version wrote has none."""
    return bool(reader.rows(_THERE))


def _unpacked(row: Sequence[object]) -> list[Kept]:
    last, entries, _, _, body = row
    if not isinstance(last, int) or not isinstance(entries, int) or not isinstance(body, bytes):
        return []
    try:
        stream = zlib.decompressobj()
        given = orjson.loads(stream.decompress(body, MAX_BODY))
        return [
            Kept(last - entries + 1 + at, at_ms, text) for at, (at_ms, text) in enumerate(given)
        ]
    except (zlib.error, ValueError, TypeError):
        return []
