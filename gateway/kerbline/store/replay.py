"""Makes a sink deliver again what it delivered in a span of time; only while no gateway runs.

The gateway that starts next follows the note that is left in the file. Consumers drop doubles by
their keys, so that a span too wide costs time alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kerbline.store.cursors import rewind
from kerbline.store.database import Database, StoreError


@dataclass(frozen=True, slots=True)
class Ordered:
    """Batches `first`..`last` go out again: so many entries."""

    first: int
    last: int
    entries: int


def order(path: Path, sink: str, from_ms: int, to_ms: int) -> Ordered:
    """Let `sink` send again what was stored from `from_ms` to before `to_ms`, real UTC.

    Raises StoreTaken while a gateway runs, and StoreError when there is nothing to send.
    """
    database = Database.own(path)
    try:
        with database.transaction() as sql:
            sinks = [name for (name,) in sql.execute("SELECT sink FROM cursor ORDER BY sink")]
            if sink not in sinks:
                known = ", ".join(sinks) or "none yet"
                raise StoreError(f"{path}: no sink is called {sink!r}: there is {known}")
            first, last, entries = sql.execute(
                "SELECT min(b.seq), max(b.seq), sum(b.entries) FROM batch b, cursor c"
                " LEFT JOIN replay r ON r.sink = c.sink WHERE c.sink = ?"
                " AND b.at_ms >= ? AND b.at_ms < ? AND b.seq <= max(c.seq, coalesce(r.resume, 0))",
                (sink, from_ms, to_ms),
            ).fetchone()
            if first is None:
                raise StoreError(
                    f"{path}: {sink} has delivered nothing that was stored in that time and is"
                    " still in the log: `kerbline store info` tells from when it is"
                )
            rewind(sql, sink, first, last)
    finally:
        database.close()
    return Ordered(first, last, entries)
