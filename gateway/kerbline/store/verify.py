"""Finds what is damaged in a store's file, and says which readings that concerns.

SQLite's own check walks the pages; each row's checksum covers what stands in them; the log beside
the file has checksums of its own; and what follows from the batches is compared with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline.store import schema
from kerbline.store.database import StoreCorrupt, StoreError, StoreTooNew
from kerbline.store.entries import Garbled, checked, unpacked
from kerbline.store.holdings import spans
from kerbline.store.reader import Reader
from kerbline.store.suspects import Affected, Suspects
from kerbline.store.wal import LogEnd, log_end

MAX_FAULTS = 200  # named one by one; a medium that fails has more
PROBES = 1_000_000  # single batches looked for where the order of the log is lost
_NAMES = {  # how a row of a table is called
    "meta": 1,
    "held": 2,
    "latest": 2,
    "cursor": 1,
    "boot_anchor": 2,
    "memory": 2,
    "command": 1,
    "command_audit": 2,
    "replay": 1,
    "history": 3,
    "decision": 1,
}
_ROW = "SELECT seq, at_ms, entries, body, crc FROM batch WHERE seq = ?"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and the records concerned as far as they are known."""

    what: str
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and the faults; `unchecked` batches of format 1 have no checksum."""

    batches: int
    entries: int
    unchecked: int
    faults: tuple[Fault, ...]


def verify(path: Path) -> Verdict:
    """Look at every byte that counts; raises StoreError where there is no store to look at."""
    try:
        reader = Reader.open(path)
    except StoreTooNew:
        raise
    except StoreCorrupt as error:
        faults = [Fault(f"nothing can be read: {error}")]
        if (end := log_end(path)).damaged:
            faults.append(Fault(_broken(end)))
        return Verdict(0, 0, 0, tuple(faults))
    try:
        return _Walk(reader).verdict()
    finally:
        reader.close()


def _broken(end: LogEnd) -> str:
    return (
        f"the log beside the file is damaged, it breaks at byte {end.used_bytes}:"
        f" {end.frames_after} pages after it are not used"
    )


class _Walk:
    """One look through a store."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._faults: list[Fault] = []
        self._suspects = Suspects()
        self._batches = self._entries = self._unchecked = 0
        self._checked_from = 0
        self._made: set[str] = set()

    def verdict(self) -> Verdict:
        """Everything, in the order of what can be trusted."""
        self._tables()
        self._pages()
        self._rows()
        for seq in self._numbers():
            self._batch(seq)
        self._faults += [Fault(what, found) for what, found in self._suspects.faults()]
        self._log()
        faults = self._faults[:MAX_FAULTS]
        if len(self._faults) > MAX_FAULTS:
            faults.append(Fault(f"and {len(self._faults) - MAX_FAULTS} more"))
        return Verdict(self._batches, self._entries, self._unchecked, tuple(faults))

    def _fault(self, what: str) -> None:
        self._faults.append(Fault(what))

    def _tables(self) -> None:
        fresh = sqlite3.connect(":memory:", isolation_level=None)
        schema.make(fresh, 0)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        try:
            found, known = set(self._reader.rows(query)), set(fresh.execute(query))
            self._made = {name for name in _NAMES if any(name == row[1] for row in found)}
            beside = {row for row in known if row[1] == schema.BESIDE}
            if not known - beside <= found <= known:  # an earlier version had none beside
                self._fault("the definitions of the tables are not kerbline's")
        except (sqlite3.Error, StoreError) as error:
            self._fault(f"the definitions of the tables: {error}")
        fresh.close()

    def _pages(self) -> None:
        try:
            found = [text for (text,) in self._reader.rows("PRAGMA integrity_check(20)")]
        except (sqlite3.Error, StoreError) as error:
            found = [str(error)]
        for text in found:
            if text != "ok":
                self._fault(f"SQLite: {' '.join(str(text).split())}")

    def _rows(self) -> None:
        """The small tables, as they are at one moment."""
        try:
            self._reader.rows("BEGIN")
            names = [name for name in _NAMES if name != schema.BESIDE or name in self._made]
            tables = {name: self._table(name) for name in names}
            (head,) = self._reader.rows("SELECT coalesce(max(seq), 0) FROM batch")[0]
            self._reader.rows("COMMIT")
        except (sqlite3.Error, StoreError) as error:
            self._fault(str(error))
            return
        meta = dict(tables["meta"])
        self._checked_from = meta.get("checked_from", 0)
        folded = meta.get("folded", 0)
        head = max(head, folded)
        for sink, seq in tables["cursor"]:
            if not 0 <= seq <= head:
                self._fault(f"cursor {sink}: batch {seq} was never written")
        for sink, last, resume in tables["replay"]:
            if not 0 <= last <= resume <= head:
                self._fault(f"replay {sink}: batches to {last}, then {resume}, of {head}")
        try:
            self._suspects.believe(folded, head, tables["held"], tables["latest"])
        except (ValueError, KeyError, TypeError) as error:
            self._fault(f"held or latest: {error}")

    def _table(self, name: str) -> list[tuple[Any, ...]]:
        """The sound rows; the others are faults."""
        columns = schema.CHECKED[name]
        sound: list[tuple[Any, ...]] = []
        try:
            for *row, crc in self._reader.rows(f"SELECT {', '.join(columns)}, crc FROM {name}"):
                if schema.checksum(*row) == crc:
                    sound.append(tuple(row))
                else:
                    called = " ".join(str(value) for value in row[: _NAMES[name]])
                    self._fault(f"{name} {called}: the row's checksum differs")
        except (sqlite3.Error, StoreError) as error:
            self._fault(f"{name}: {error}")
        return sound

    def _numbers(self) -> Iterator[int]:
        """The batches that there are, around what can't be read."""
        after = -(1 << 63)
        while True:
            try:
                found = self._keys(">", after, "ASC")
            except (sqlite3.Error, StoreError):
                end = self._from_above(after)
                yield from range(max(after + 1, 0), min(end, max(after, 0) + PROBES))
                after = end - 1
                if end > self._suspects.head:
                    return
                continue
            if not found:
                return
            yield from found
            after = found[-1]

    def _from_above(self, after: int) -> int:
        """The first batch above a break that is reached from the log's end."""
        end = self._suspects.head + 1
        while True:
            try:
                found = self._keys("<", end, "DESC")
            except (sqlite3.Error, StoreError):
                return end
            if not found or found[-1] <= after:
                return end
            end = found[-1]

    def _keys(self, side: str, seq: int, order: str) -> list[int]:
        query = f"SELECT seq FROM batch WHERE seq {side} ? ORDER BY seq {order} LIMIT 64"
        return [int(found) for (found,) in self._reader.rows(query, seq)]

    def _batch(self, seq: int) -> None:
        try:
            rows = self._reader.rows(_ROW, seq)
        except (sqlite3.Error, StoreError):
            self._suspects.lost(seq, "can't be read")
            return
        for row in rows:  # none: it went while we looked, or never was
            self._batches += 1
            number, at_ms, count, body, crc = row
            if crc is None and seq <= self._checked_from:
                self._unchecked += 1
            try:
                entries = checked(number, at_ms, count, body, crc)
                if len(entries) != count:
                    raise Garbled(f"{len(entries)} entries instead of {count}")
            except Garbled as error:
                self._doubtful(seq, body, str(error))
                continue
            if crc is None and seq > self._checked_from:
                self._suspects.known(seq, "has no checksum", spans(entries))
            self._entries += count
            self._suspects.sound(seq, entries)

    def _doubtful(self, seq: int, body: object, why: str) -> None:
        """A batch that is not what was written; its body may still be (zlib checks it)."""
        try:
            entries = unpacked(body) if isinstance(body, bytes) else None
        except Garbled:
            entries = None
        if entries is None:
            self._suspects.lost(seq, why)
        else:
            self._suspects.known(seq, why, spans(entries))

    def _log(self) -> None:
        end = log_end(self._reader.path)
        if end.damaged:
            self._faults.append(Fault(_broken(end), self._suspects.after_all()))
        elif end.cut_bytes and not self._reader.in_use():
            self._faults.append(
                Fault(
                    f"the last {end.cut_bytes} bytes of the log beside the file are no whole"
                    " commit: normal after a power cut or kill, else damage",
                    self._suspects.after_all(),
                )
            )
