"""Writes the log, or a part of it, as a table: CSV, JSON lines or Parquet; streaming."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson

from kerbline import durable
from kerbline.model import Entry, Gap, Reading
from kerbline.store.database import StoreError
from kerbline.store.entries import Garbled, checked, to_json
from kerbline.store.reader import Reader

FORMATS = ("csv", "jsonl", "parquet")
INT64 = 1 << 63

# A column's type: "int", "float", "bool", "text", "time" (ms since 1970, UTC) or "list".
KEY = {"source": "text", "epoch": "int", "number": "int"}
COMMON = {"kind": "text", "asset": "text", "observed_at": "time", "uncertainty_ms": "int"}
READING = {"received_at": "time", "quality": "text"}
GAP = {"last_number": "int", "reason": "text"}
ALARM = {"rule": "text", "active": "bool", "severity": "text", "evidence": "text"}
RESERVED = {**KEY, **COMMON, **READING, **GAP, **ALARM}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries: by `observed_at` (a gap by its declaration), ms since 1970; empty means all.

    An alarm is of kind "alarm", a gap of kind "gap"; a gap is of no asset.
    """

    from_ms: int | None = None
    to_ms: int | None = None  # not included
    assets: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    def takes(self, entry: Entry) -> bool:
        """Is the entry chosen?"""
        at_ms = entry.declared_at_ms if isinstance(entry, Gap) else entry.observed_at_ms
        if self.from_ms is not None and at_ms < self.from_ms:
            return False
        if self.to_ms is not None and at_ms >= self.to_ms:
            return False
        if self.assets and (isinstance(entry, Gap) or entry.asset not in self.assets):
            return False
        return not self.kinds or _kind(entry) in self.kinds


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows were written, how many batches could not be read, what was not there."""

    rows: int
    unreadable: int
    absent: tuple[str, ...] = ()  # chosen assets and kinds of which the log has nothing


class Export:
    """One export of the entries that `choice` takes."""

    def __init__(self, reader: Reader, choice: Choice) -> None:
        self._reader = reader
        self._choice = choice
        self._head = 0
        self._unreadable = 0
        self._rows = 0
        self._missing: set[tuple[str, str]] = set()

    def to_file(self, out: Path, form: str, spared: Collection[Path] = ()) -> Written:
        """Write `out` whole or not at all, where a link leads; raises StoreError and OSError.

        Nothing of the store, nothing of `spared`, files and folders, and nothing but a regular
        file is replaced.
        """
        out = self._free(out, spared)
        part = out.with_name(f"{out.name}.{os.getpid()}.part")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            if form == "parquet":
                self._parquet(part)
            else:
                with part.open("w", encoding="utf-8", newline="") as stream:
                    self._text(stream, form)
            durable.sync(part)
            durable.settle(part, out)
        finally:
            part.unlink(missing_ok=True)
        return self._written()

    def _free(self, out: Path, spared: Collection[Path]) -> Path:
        try:
            out = out.resolve()
        except RuntimeError:  # of Python 3.12: a link to itself
            raise StoreError(f"{out} is a link that leads nowhere: name another file") from None
        store = self._reader.path.resolve()
        own = out.parent == store.parent and out.name.startswith(store.name)
        if own or any(out.is_relative_to(each.resolve()) for each in spared):
            raise StoreError(f"{out} belongs to the gateway: name another file")
        if out.exists() and not out.is_file():
            raise StoreError(f"{out} is no regular file: name another, or leave out --out")
        return out

    def to_stream(self, stream: TextIO, form: str) -> Written:
        """Write text to an open stream."""
        if form == "parquet":
            raise StoreError("Parquet needs a file: give --out FILE")
        self._text(stream, form)
        return self._written()

    def _written(self) -> Written:
        absent = sorted(f"{what} {name}" for what, name in self._missing)
        return Written(self._rows, self._unreadable, tuple(absent))

    def _text(self, stream: TextIO, form: str) -> None:
        if form == "jsonl":
            for entry in self._entries():
                stream.write(orjson.dumps(_line(entry)).decode() + "\n")
            return
        columns = self._columns()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        shown = [(name, _TEXT.get(kind, _plain)) for name, kind in columns.items()]
        for entry in self._entries():
            row = _row(entry)
            table.writerow([show(row.get(name)) for name, show in shown])

    def _parquet(self, part: Path) -> None:
        from kerbline.store import parquet

        columns = self._columns()
        parquet.write(part, columns, map(_row, self._entries()))

    def _entries(self) -> Iterator[Entry]:
        self._rows = self._unreadable = 0
        choice = self._choice
        self._missing = {("asset", each) for each in choice.assets}
        self._missing |= {("kind", each) for each in choice.kinds}
        for row in self._reader.batches():
            if self._head and row[0] > self._head:
                return  # came after the columns were known
            try:
                entries = checked(*row)
            except Garbled:
                self._unreadable += 1
                continue
            for entry in entries:
                if self._missing:
                    self._missing.discard(("kind", _kind(entry)))
                    self._missing.discard(("asset", getattr(entry, "asset", "")))
                if choice.takes(entry):
                    self._rows += 1
                    yield entry

    def _columns(self) -> dict[str, str]:
        """The columns that occur, and their types: a first walk through the log."""
        self._head = self._reader.rows("SELECT coalesce(max(seq), 0) FROM batch")[0][0] or -1
        found: set[str] = set()
        values: dict[str, str] = {}
        for entry in self._entries():
            row = _row(entry)
            found.update(RESERVED.keys() & row.keys())
            for name, value in row.items():
                if name not in RESERVED:
                    values[name] = _wider(values.get(name), _type(value))
        fixed = {name: kind for name, kind in RESERVED.items() if name in found or name in KEY}
        return fixed | dict(sorted(values.items()))


def _row(entry: Entry) -> dict[str, Any]:
    """An entry as a row of the table: times in ms since 1970, no column that it lacks."""
    if isinstance(entry, Gap):
        return {
            "source": entry.source,
            "epoch": entry.epoch,
            "number": entry.first,
            "last_number": entry.last,
            "kind": "gap",
            "observed_at": entry.declared_at_ms,
            "reason": entry.reason,
        }
    row = {
        "source": entry.key.source,
        "epoch": entry.key.epoch,
        "number": entry.key.number,
        "kind": _kind(entry),
        "asset": entry.asset,
        "observed_at": entry.observed_at_ms,
    }
    if isinstance(entry, Reading):
        row |= {
            "uncertainty_ms": entry.uncertainty_ms,
            "received_at": entry.received_at_ms,
            "quality": " ".join(entry.quality),
        }
        named = {f"value_{k}" if k in RESERVED else k: v for k, v in entry.values.items()}
        return row | named
    evidence = orjson.dumps(dict(entry.evidence)).decode()
    return row | {
        "rule": entry.rule,
        "active": entry.active,
        "severity": entry.severity.value,
        "evidence": evidence,
    }


def _line(entry: Entry) -> dict[str, Any]:
    """An entry as to_json has it, but for the times, and a gap's numbers as in a table."""
    line = {**to_json(entry), "kind": _kind(entry)}
    if isinstance(entry, Gap):
        line["number"], line["last_number"] = line.pop("first"), line.pop("last")
    for name in ("observed_at", "received_at", "declared_at"):
        if f"{name}_ms" in line:
            line[name] = rfc3339(line.pop(f"{name}_ms"))
    return line


def _kind(entry: Entry) -> str:
    if isinstance(entry, Reading):
        return entry.kind
    return "gap" if isinstance(entry, Gap) else "alarm"


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -INT64 <= value < INT64 else "text"
    if isinstance(value, float):
        return "float"
    return "list" if isinstance(value, tuple) else "text"


def _wider(one: str | None, other: str) -> str:
    if one in (None, other):
        return other
    return "float" if {one, other} == {"int", "float"} else "text"


def rfc3339(at_ms: int | None) -> str | None:
    """UTC in RFC 3339 with milliseconds; None for a moment outside the years 1 to 9999."""
    if at_ms is None:
        return None
    try:
        at = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    return _json(value) if value is None or isinstance(value, tuple) else value


def _json(value: object) -> str:
    return "" if value is None else orjson.dumps(value).decode()


_TEXT: dict[str, Callable[[Any], object]] = {"time": rfc3339, "bool": _json, "list": _json}
