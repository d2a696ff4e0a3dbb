"""Up to which batch each sink has delivered, and what one of them is to deliver again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kerbline.store.schema import sealed

# A cursor is written once in so many batches: its page in each commit made a tenth of all bytes at
# 33 readings a commit. What it lags behind after a kill is delivered twice.
STEPS = 8


@dataclass(frozen=True, slots=True)
class Again:
    """A sink delivers again up to batch `last`, then goes on after batch `resume`."""

    last: int
    resume: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What one transaction says of cursors, to be told to them once it is durable."""

    moved: Mapping[str, int]
    written: Mapping[str, int]
    done: Sequence[str]  # sinks that have delivered again what they were to


class Cursors:
    """The cursors of all sinks; each change is durable with the caller's transaction."""

    def __init__(self) -> None:
        self._seqs: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._again: dict[str, Again] = {}

    def load(
        self, cursors: Iterable[tuple[str, int]], replays: Iterable[tuple[str, int, int]]
    ) -> None:
        """Take over saved rows."""
        self._seqs = dict(cursors)
        self._saved = dict(self._seqs)
        self._again = {sink: Again(last, resume) for sink, last, resume in replays}

    @property
    def sinks(self) -> tuple[str, ...]:
        """The names of the sinks, in order."""
        return tuple(sorted(self._seqs))

    @property
    def lag(self) -> bool:
        """Has a cursor moved that is not written?"""
        return self._seqs != self._saved

    def kept_from(self, head: int) -> int:
        """The batch up to which nobody wants anything, repeats included."""
        return min(self._seqs.values(), default=head)

    def delivered(self, head: int) -> int:
        """The batch up to which every sink has delivered once."""
        ends = (max(seq, self._resume(sink)) for sink, seq in self._seqs.items())
        return min(ends, default=head)

    def window(self, sink: str, after: int) -> tuple[int, int | None]:
        """What `sink` is to read next: the batches above the first, up to the second if given."""
        again = self._again.get(sink)
        if again is None or after >= again.resume:
            return after, None
        return (after, again.last) if after < again.last else (again.resume, None)

    def open(self, sql: sqlite3.Connection | None, sink: str) -> int:
        """The cursor of `sink`, 0 when it is new; without `sql` it is in memory alone."""
        seq = self._seqs.setdefault(sink, 0)
        if sql is not None:
            _write(sql, {sink: seq})
            self._saved[sink] = seq
        return seq

    def save(self, sql: sqlite3.Connection, moved: Mapping[str, int], *, every: bool) -> Saved:
        """Write what is due of the cursors that moved, or `every` one that is not written."""
        written = {}
        for sink, seq in {**self._seqs, **moved}.items():
            steps = seq - self._saved.get(sink, -1)
            if steps and (every or not 0 < steps < STEPS or self._is_repeated(sink, seq)):
                written[sink] = seq
        _write(sql, written)
        done = [sink for sink, seq in moved.items() if self._is_repeated(sink, seq)]
        sql.executemany("DELETE FROM replay WHERE sink = ?", [(sink,) for sink in done])
        return Saved(moved, written, done)

    def saved(self, what: Saved) -> None:
        """The transaction of `save` is durable."""
        self._seqs.update(what.moved)
        self._saved.update(what.written)
        for sink in what.done:
            self._again.pop(sink, None)

    def drop(self, sql: sqlite3.Connection | None, sinks: Collection[str]) -> None:
        """Forget sinks; without `sql` until the next open."""
        for sink in sinks:
            if sql is not None:
                sql.execute("DELETE FROM cursor WHERE sink = ?", (sink,))
                sql.execute("DELETE FROM replay WHERE sink = ?", (sink,))
            self._seqs.pop(sink, None)
            self._saved.pop(sink, None)
            self._again.pop(sink, None)

    def _is_repeated(self, sink: str, seq: int) -> bool:
        """Is all delivered, at `seq`, that was to be delivered again?"""
        return 0 < self._resume(sink) <= seq

    def _resume(self, sink: str) -> int:
        again = self._again.get(sink)
        return again.resume if again else 0


def _write(sql: sqlite3.Connection, seqs: Mapping[str, int]) -> None:
    rows = [sealed(sink, seq) for sink, seq in seqs.items()]
    sql.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", rows)


def rewind(sql: sqlite3.Connection, sink: str, first: int, last: int) -> None:
    """Note that `sink` delivers batches `first`..`last` again, as far as it has delivered them.

    A second one before the first is done makes one of both, with what lies between.
    """
    (seq,) = sql.execute("SELECT seq FROM cursor WHERE sink = ?", (sink,)).fetchone()
    row = sql.execute("SELECT last, resume FROM replay WHERE sink = ?", (sink,)).fetchone()
    before, resume = row or (0, seq)
    last = min(max(last, before), resume)
    sql.execute("INSERT OR REPLACE INTO replay VALUES (?, ?, ?, ?)", sealed(sink, last, resume))
    at = min(first - 1, seq)
    sql.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", sealed(sink, at))
