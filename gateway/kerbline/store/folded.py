"""What follows from the batches: numbers held, latest values, history; written now and then."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from kerbline.model import Entry, Reading
from kerbline.store.database import Database, faults
from kerbline.store.entries import from_json, to_json
from kerbline.store.history import History
from kerbline.store.holdings import Holdings
from kerbline.store.schema import sealed

# Written once in so many commits or entries; the batches since then make up for the rest at the
# next open, in a tenth of a second for each 10,000 entries. Once in 256 commits they made a tenth
# of all bytes written by a gateway of 200 nodes.
FOLD_COMMITS = 1024
FOLD_ENTRIES = 40_000


class Folded:
    """The state that all batches make up; `seq` is the batch up to which it is written."""

    def __init__(self) -> None:
        self.seq = 0
        self.holdings = Holdings()
        self.history = History()
        self._entries = 0  # since `seq`
        self._latest: dict[tuple[str, str], Reading] = {}
        self._unsaved: set[tuple[str, str]] = set()

    @property
    def latest(self) -> tuple[Reading, ...]:
        """The newest reading of each asset and kind, by `observed_at_ms`."""
        return tuple(self._latest.values())

    def load(self, database: Database, seq: int) -> None:
        """Take over what was written at batch `seq`; raises ValueError when it is not sound."""
        self.seq = seq
        self.holdings.load(database.sound_rows("held", "id"))
        if database.unsound:  # to take it for new would store twice or lose
            raise ValueError(f"rows of {', '.join(database.unsound)} fail their checksum")
        for _, _, body in database.sound_rows("latest"):
            self._note(from_json(orjson.loads(body)))
        with faults(database.path):
            self.history.load(database.connection)

    def add(self, entries: Sequence[Entry]) -> None:
        """Take a durable batch in."""
        self._entries += len(entries)
        self.holdings.add(entries)
        for entry in entries:
            self._note(entry)
            if isinstance(entry, Reading):
                self.history.add(entry)

    def is_due(self, seq: int) -> bool:
        """Is it to be written, at batch `seq`?"""
        return seq - self.seq >= FOLD_COMMITS or self._entries >= FOLD_ENTRIES

    def save(self, sql: sqlite3.Connection, seq: int) -> None:
        """Write what changed, as of batch `seq`, within the caller's transaction."""
        sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", sealed("folded", seq))
        self.holdings.save(sql)
        self.history.save(sql)
        rows = [
            (*name, orjson.dumps(to_json(self._latest[name])).decode()) for name in self._unsaved
        ]
        sql.executemany(
            "INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?)", [sealed(*row) for row in rows]
        )

    def saved(self, seq: int) -> None:
        """The caller's transaction is durable."""
        self.seq = seq
        self._entries = 0
        self.holdings.saved()
        self.history.saved()
        self._unsaved.clear()

    def _note(self, entry: Entry) -> None:
        if not isinstance(entry, Reading):
            return
        name = (entry.asset, entry.kind)
        known = self._latest.get(name)
        if known is None or known.observed_at_ms <= entry.observed_at_ms:
            self._latest[name] = entry
            self._unsaved.add(name)
