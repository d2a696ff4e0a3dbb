"""Which record numbers the log has ever held, by source and epoch: what makes a double a double."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import orjson

from kerbline.model import Entry, Gap
from kerbline.store.schema import sealed
from kerbwire.ranges import RangeSet

EPOCHS_KEPT = 4  # log epochs of one source whose numbers are remembered
LAST_NUMBER = (1 << 63) - 1  # an open-ended gap: said, though no record has it


@dataclass(frozen=True, slots=True)
class Span:
    """Record numbers `first`..`last` of one source and epoch."""

    source: str
    epoch: int
    first: int
    last: int


def span(entry: Entry) -> Span:
    """The record numbers that an entry stands for."""
    if isinstance(entry, Gap):
        if entry.last is None:  # our own word: what comes after all is stored, and counts
            return Span(entry.source, entry.epoch, LAST_NUMBER, LAST_NUMBER)
        return Span(entry.source, entry.epoch, entry.first, entry.last)
    return Span(entry.key.source, entry.key.epoch, entry.key.number, entry.key.number)


def spans(entries: Iterable[Entry]) -> tuple[Span, ...]:
    """The record numbers of all entries, merged, by source and epoch in order of appearance."""
    sets: dict[tuple[str, int], RangeSet] = {}
    for entry in entries:
        one = span(entry)
        sets.setdefault((one.source, one.epoch), RangeSet()).add(one.first, one.last)
    return tuple(
        Span(source, epoch, first, last)
        for (source, epoch), numbers in sets.items()
        for first, last in numbers.spans()
    )


class Holdings:
    """The numbers held of each source; the newest epochs only."""

    def __init__(self) -> None:
        self._epochs: dict[str, dict[int, RangeSet]] = {}
        self._unsaved: set[str] = set()

    def newest(self, source: str) -> tuple[int | None, RangeSet]:
        """The epoch of a source that appeared last, with a copy of its numbers."""
        epochs = self._epochs.get(source)
        if not epochs:
            return None, RangeSet()
        epoch = next(reversed(epochs))
        return epoch, RangeSet(tuple([s for s in epochs[epoch].spans() if s[1] < LAST_NUMBER]))

    def fresh(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """What of `entries` is not held, each number once; a gap is cut to its missing parts."""
        drafts: dict[tuple[str, int], RangeSet] = {}
        return tuple([part for entry in entries for part in self._parts(entry, drafts)])

    def _parts(self, entry: Entry, drafts: dict[tuple[str, int], RangeSet]) -> Iterator[Entry]:
        one = span(entry)
        name = (one.source, one.epoch)
        if name not in drafts:
            held = self._epochs.get(one.source, {}).get(one.epoch)
            drafts[name] = held.copy() if held else RangeSet()
        for first, last in drafts[name].missing(one.first, one.last):
            if isinstance(entry, Gap):
                if entry.last is None:
                    first = drafts[name].missing(entry.first, LAST_NUMBER)[0][0]
                yield replace(entry, first=first, last=None if last == LAST_NUMBER else last)
            else:
                yield entry
        drafts[name].add(one.first, one.last)

    def add(self, entries: Iterable[Entry]) -> None:
        """Hold the numbers of `entries`, which are durable."""
        for one in spans(entries):
            epochs = self._epochs.setdefault(one.source, {})
            numbers = epochs.get(one.epoch, RangeSet())
            numbers.add(one.first, one.last)
            if one.last < LAST_NUMBER:  # a log that was found again is the newest
                epochs.pop(one.epoch, None)
            epochs[one.epoch] = numbers
            while len(epochs) > EPOCHS_KEPT:
                del epochs[next(iter(epochs))]
            self._unsaved.add(one.source)

    def load(self, rows: Iterable[tuple[str, int, bytes]]) -> None:
        """Take over saved rows (source, epoch, spans), oldest epoch first."""
        for source, epoch, text in rows:
            said = orjson.loads(text)
            numbers = RangeSet(tuple([(a if b < LAST_NUMBER else b, b) for a, b in said]))
            self._epochs.setdefault(source, {})[epoch] = numbers

    def save(self, sql: sqlite3.Connection) -> None:
        """Write what changed since `saved`, within the caller's transaction."""
        for source in self._unsaved:
            sql.execute("DELETE FROM held WHERE source = ?", (source,))
            sql.executemany(
                "INSERT INTO held (source, epoch, spans, crc) VALUES (?, ?, ?, ?)",
                [
                    sealed(source, epoch, orjson.dumps(numbers.spans()).decode())
                    for epoch, numbers in self._epochs[source].items()
                ],
            )

    def saved(self) -> None:
        """The caller's transaction is durable."""
        self._unsaved.clear()
