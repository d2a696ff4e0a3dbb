"""What the log lets go of, and in which order, when it is old or too big; every loss is a gap.

First what every sink delivered, oldest first. Only then, over the cap, undelivered telemetry,
then events and meter readings; alarms and gaps never.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from kerbline.model import Entry, Gap, Reading
from kerbline.store.database import Database
from kerbline.store.entries import Garbled, checked, packed
from kerbline.store.holdings import LAST_NUMBER, spans
from kerbline.store.schema import sealed

CHUNK_BATCHES = 64
LOOK = 20_000  # batches that are asked for their age at a time
STORE = "store"  # the source of a gap in the log itself
STORE_FULL = "store_full"
_Row = tuple[int, int, int, bytes, int | None]
# Thinned last: they bill, or tell what happened.
DEAR_KINDS = frozenset(
    [
        *("water_meter", "zone_water", "water_balance", "kpi", "air_hour", "air_day"),
        *("event", "modbus_meter", "modbus_state"),
    ]
)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """`max_bytes` of pages used, exceeded by one commit at most; rows delivered live `keep_s`."""

    max_bytes: int = 2_000_000_000
    keep_s: int = 90 * 86_400

    @property
    def full_bytes(self) -> int:
        """Where the log counts as full: what is folded at that moment has room above it."""
        return self.max_bytes - self.max_bytes // 16

    @property
    def target_bytes(self) -> int:
        """Down to where a full log is emptied, so that it isn't full again at once."""
        return self.max_bytes - self.max_bytes // 8


def trim(
    database: Database, policy: RetentionPolicy, wanted: int, delivered: int, at_ms: int
) -> int:
    """Hold the log within `policy`, inside the caller's transaction; how many readings it cost.

    Every sink has batches up to `delivered`; of those up to `wanted` none is to be sent again.
    """
    sql = database.connection
    _drop_old(sql, wanted, at_ms - policy.keep_s * 1000, at_ms)
    if database.used_bytes() <= policy.full_bytes:
        return 0
    while database.used_bytes() > policy.target_bytes and _drop_delivered(sql, delivered):
        pass
    lost = 0
    for spared in (DEAR_KINDS, frozenset[str]()):
        after = delivered
        while database.used_bytes() > policy.target_bytes and (rows := _chunk(sql, after)):
            after = rows[-1][0]
            lost += _thin(sql, rows, spared, at_ms)
    return lost


def _drop_old(sql: sqlite3.Connection, delivered: int, before_ms: int, now_ms: int) -> None:
    last = 0
    for seq, at_ms in sql.execute(
        "SELECT seq, at_ms FROM batch WHERE seq <= ? AND typeof(at_ms) = 'integer'"
        " ORDER BY seq LIMIT ?",  # a flipped bit makes a text of a number
        (delivered, LOOK),
    ):
        if before_ms <= at_ms <= now_ms:  # the order of batches is that of time: look no further
            break
        if at_ms < before_ms:
            last = seq  # what lies before it was stored by a clock that ran ahead
    sql.execute("DELETE FROM batch WHERE seq <= ?", (last,))


def _drop_delivered(sql: sqlite3.Connection, delivered: int) -> bool:
    oldest = "SELECT seq FROM batch WHERE seq <= ? ORDER BY seq LIMIT ?"
    done = sql.execute(f"DELETE FROM batch WHERE seq IN ({oldest})", (delivered, CHUNK_BATCHES))
    return done.rowcount > 0


def _chunk(sql: sqlite3.Connection, after: int) -> list[_Row]:
    query = "SELECT seq, at_ms, entries, body, crc FROM batch WHERE seq > ? ORDER BY seq LIMIT ?"
    return sql.execute(query, (after, CHUNK_BATCHES)).fetchall()


def _thin(sql: sqlite3.Connection, rows: Sequence[_Row], spared: frozenset[str], at_ms: int) -> int:
    """Make one batch, at the place of the last, of what these keep and the gaps of the rest."""
    kept: list[Entry] = []
    dropped: list[Entry] = []
    lost = 0
    for row in rows:
        for entry in _entries(row, at_ms):
            if isinstance(entry, Reading) and entry.kind not in spared:
                dropped.append(entry)
                lost += 1
            elif isinstance(entry, Gap) and entry.reason == STORE_FULL:
                dropped.append(entry)  # to be merged with its neighbours
            else:
                kept.append(entry)
    for one in spans(dropped):
        last = None if one.last == LAST_NUMBER else one.last
        kept.append(Gap(one.source, one.epoch, one.first, last, STORE_FULL, at_ms))
    place, kept_at_ms = rows[-1][:2]
    sql.execute("DELETE FROM batch WHERE seq >= ? AND seq <= ?", (rows[0][0], place))
    sql.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
        sealed(place, kept_at_ms, len(kept), packed(kept)),
    )
    return lost


def _entries(row: _Row, at_ms: int) -> Sequence[Entry]:
    try:
        return checked(*row)
    except Garbled:
        return (garbled(row[0], at_ms),)


def garbled(seq: int, at_ms: int) -> Gap:
    """How the loss of a batch whose body can't be read is declared: source "store", no epoch."""
    return Gap(STORE, 0, seq, seq, "garbled", at_ms)
