"""The durable log of what came in, and what follows from it: numbers held, latest values, anchors.

Every call blocks on the disk and belongs in one thread, which `group.GroupCommit` keeps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kerbline.model import Entry, Gap, Reading
from kerbline.store.batch import Batch
from kerbline.store.begun import Begun
from kerbline.store.cursors import Cursors
from kerbline.store.database import (
    PAGE_BYTES,
    Database,
    StoreBlocked,
    StoreCorrupt,
    StoreError,
    faults,
)
from kerbline.store.decisions import Decisions
from kerbline.store.entries import Garbled, checked, packed
from kerbline.store.folded import Folded
from kerbline.store.history import Point
from kerbline.store.holdings import LAST_NUMBER, Span, spans
from kerbline.store.ledger import CommandLedger
from kerbline.store.notes import Anchor, Notes
from kerbline.store.retention import RetentionPolicy, trim
from kerbline.store.schema import checksum, sealed
from kerbwire.errors import WireError
from kerbwire.ranges import RangeSet

_BATCHES = "SELECT seq, at_ms, entries, body, crc FROM batch"


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit made durable.

    `entries` are those that were new, as batch `seq` (0 when none was); `kept` names every
    record number of the group, doubles too, so that their senders may delete them.
    """

    seq: int
    entries: tuple[Entry, ...]
    kept: tuple[Span, ...]


class Store:
    """One store file; made by `open`. A call that raises has changed nothing that lasts."""

    def __init__(self, database: Database, policy: RetentionPolicy) -> None:
        self.commands = CommandLedger(database)
        self._database = database
        self._policy = policy
        self._seq = 0
        self._last_epoch: int | None = None
        self._begun = Begun(database.path)
        self._unsaved_epoch: int | None = None
        self._undeclared: tuple[int, ...] = ()
        self._newest_at_ms = 0
        self._thinned = 0
        self._folded = Folded()
        self._cursors = Cursors()
        self._decisions = Decisions(policy.max_bytes)
        self._room_bytes = 0  # what may come before the cap is looked at

    @classmethod
    def open(cls, path: Path, policy: RetentionPolicy | None = None) -> Self:
        """Open or create the store at `path`; raises StoreError with a remedy in its text.

        A damaged file is set aside and a new one begun: see `quarantined`.
        """
        policy = policy or RetentionPolicy()
        try:
            return cls._loaded(Database.open(path), policy)
        except StoreCorrupt:  # sound pages with nonsense in them
            return cls._loaded(Database.open(path, set_aside=True), policy)

    @classmethod
    def _loaded(cls, database: Database, policy: RetentionPolicy) -> Self:
        store = cls(database, policy)
        try:
            store._load()
        except (ValueError, KeyError, TypeError, OverflowError, WireError) as error:
            store.close()
            raise StoreCorrupt(f"{database.path} holds nonsense: {error}") from error
        except StoreError:
            store.close()
            raise
        return store

    @property
    def quarantined(self) -> Path | None:
        """Where this open put a damaged predecessor, whose undelivered readings are lost."""
        return self._database.quarantined

    @property
    def cut_bytes(self) -> int:
        """Bytes of a commit that a power cut or kill ended, found at the open and left out.

        On an honest disk nothing of it was acknowledged; but see `broken_log`.
        """
        return self._database.left.cut_bytes

    @property
    def broken_log(self) -> bool:
        """Was the log damaged in its midst? Then `cut_bytes` were durable."""
        return self._database.left.damaged

    @property
    def broken_log_copy(self) -> Path | None:
        """A copy of that log, None where the disk had no room for one."""
        return self._database.left.copy

    @property
    def unsound(self) -> Mapping[str, int]:
        """Rows by table that failed their checksum at the open and are left out."""
        return self._database.unsound

    @property
    def head(self) -> int:
        """The sequence of the newest batch, 0 in a new store."""
        return self._seq

    @property
    def thinned(self) -> int:
        """Readings lost to the byte cap since the open; each is in a gap of reason "store_full"."""
        return self._thinned

    def used_bytes(self) -> int:
        """Bytes of the file's pages that are in use: what the cap counts."""
        return self._database.used_bytes()

    @property
    def undeclared(self) -> tuple[int, ...]:
        """Epochs of runs before this one whose end was not declared by an open-ended gap yet."""
        return self._undeclared

    @property
    def newest_at_ms(self) -> int:
        """Real UTC of the newest batch at the open, 0 in a new store: it can't be earlier now."""
        return self._newest_at_ms

    def begin_epoch(self, utc_s: int) -> int:
        """A durable number for this run, above every earlier one: the epoch of our own keys.

        It starts from the clock, so that a store begun anew never names an old epoch again. Where
        the disk takes nothing it is kept beside the store, and in it with the first `append`.
        """
        earlier = {*self._begun.read(), *([self._last_epoch] if self._last_epoch else [])}
        epoch = max([utc_s, *[each + 1 for each in earlier]])
        self._undeclared = tuple(sorted(earlier))
        self._begun.write({*earlier, epoch})
        try:
            with self._database.transaction() as sql:
                _write_epoch(sql, epoch)
        except StoreBlocked:
            self._unsaved_epoch = epoch
        self._last_epoch = epoch
        return epoch

    def held(self, source: str) -> tuple[int | None, RangeSet]:
        """The log epoch of a source that appeared last, and a copy of the numbers held of it."""
        return self._folded.holdings.newest(source)

    def latest(self) -> tuple[Reading, ...]:
        """The newest reading of each asset and kind, by `observed_at_ms`."""
        return self._folded.latest

    def append(self, entries: Sequence[Entry], at_ms: int, notes: Notes | None = None) -> Committed:
        """Make `entries` and `notes` durable in one transaction; `at_ms` is real UTC.

        A record number that is held already is not stored again; a gap is cut down to the numbers
        that are not held. Raises StoreBlocked or StoreCorrupt.
        """
        self._database.settle()
        notes = notes or Notes()
        new = self._folded.holdings.fresh(entries)
        seq = self._seq + 1
        with self._database.transaction() as sql:
            if new:
                row = sealed(seq, at_ms, len(new), packed(new))
                sql.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?)", row)
                self._room_bytes -= PAGE_BYTES + len(row[3])
            saved = self._cursors.save(sql, notes.cursors, every=not new)
            notes.save(sql)
            self._decisions.save(sql, notes.decisions)
            self.commands.save_late(sql)
            for command, result in notes.outcomes:
                self.commands.log(sql, command, result)
            if self._unsaved_epoch is not None:
                _write_epoch(sql, self._unsaved_epoch)
        self._unsaved_epoch = None
        self.commands.late_saved()
        self._cursors.saved(saved)
        self._decisions.saved()
        self._declared(entries)
        if new:
            self._seq = seq
            self._folded.add(new)
            if self._folded.is_due(seq) or self._room_bytes <= 0:
                with suppress(StoreBlocked):  # the group is durable; the next one tries again
                    self.keep_within(at_ms)
        kept = tuple([one for one in spans(entries) if one.last < LAST_NUMBER])
        return Committed(seq if new else 0, new, kept)

    def read(self, after: int, limit: int, sink: str = "") -> list[Batch]:
        """The batches that follow `after`, until they have `limit` entries or there are no more.

        A sink that names itself gets what it is to deliver again, then what it has not delivered.
        Its work leaves Python's lock alone; what decodes the batches is who uses them.
        """
        first, last = self._cursors.window(sink, after)
        batches: list[Batch] = []
        query = f"{_BATCHES} WHERE seq > ? AND seq <= ? ORDER BY seq"
        for row in self._database.rows(query, first, self._seq if last is None else last):
            batches.append(Batch.read(*row))
            limit -= len(batches[-1])
            if limit <= 0:
                break
        if last is not None and not batches:  # nothing is left of what was to go again
            return self.read(last, limit, sink)
        return batches

    def open_cursor(self, sink: str) -> int:
        """The batch up to which `sink` has delivered; from now on nothing above it is let go.

        It moves by the notes of `append`.
        """
        try:
            with self._database.transaction() as sql:
                return self._cursors.open(sql, sink)
        except StoreBlocked:  # the row comes with the cursor's first step
            return self._cursors.open(None, sink)

    def drop_cursors(self, but: Collection[str]) -> tuple[str, ...]:
        """Forget sinks not in `but`, which would hold the log for ever; the names of these."""
        gone = tuple([sink for sink in self._cursors.sinks if sink not in but])
        if gone:
            try:
                with self._database.transaction() as sql:
                    self._cursors.drop(sql, gone)
            except StoreBlocked:  # their rows are there at the next open, and dropped then
                self._cursors.drop(None, gone)
        return gone

    def history(self, asset: str, kind: str, value: str, since_ms: int) -> list[Point]:
        """One value of an asset by the hour, from the hour of `since_ms` on; ms since 1970."""
        with faults(self._database.path):
            sql = self._database.connection
            return self._folded.history.points(sql, asset, kind, value, since_ms)

    def anchors(self) -> Mapping[tuple[str, int], Anchor]:
        """When each known boot (node, boot id) began."""
        rows = self._database.sound_rows("boot_anchor", "id")
        return {(node, boot_id): Anchor(*about) for node, boot_id, *about in rows}

    def memories(self, rule: str) -> dict[str, str]:
        """What a rule remembers, by asset."""
        rows = self._database.sound_rows("memory")
        return {asset: body for name, asset, body in rows if name == rule}

    def keep_within(self, at_ms: int) -> None:
        """Write what follows from the batches, then hold them within the retention policy."""
        with self._database.transaction() as sql:
            forgotten = self.commands.trim(sql)
            wanted = self._cursors.kept_from(self._seq)
            delivered = self._cursors.delivered(self._seq)
            lost = trim(self._database, self._policy, wanted, delivered, at_ms)
            self._folded.save(sql, self._seq)
            saved = self._cursors.save(sql, {}, every=True)
        self._cursors.saved(saved)
        self._folded.saved(self._seq)
        self.commands.trimmed(forgotten)
        self._measure_room()
        self._thinned += lost

    def close(self) -> None:
        """Save the cursors and let go of the file."""
        with suppress(StoreError):  # else what they lag behind is delivered twice
            self._save_cursors()
        self.commands.close()
        self._database.close()

    def _save_cursors(self) -> None:
        if self._cursors.lag:
            with self._database.transaction() as sql:
                saved = self._cursors.save(sql, {}, every=True)
            self._cursors.saved(saved)

    def _load(self) -> None:
        rows = self._database.rows
        sound = self._database.sound_rows
        meta = dict(sound("meta"))
        self._last_epoch = meta.get("epoch")
        self._folded.load(self._database, meta.get("folded", 0))
        # A cursor in doubt begins anew: consumers drop doubles, and nothing is skipped.
        self._cursors.load(sound("cursor"), sound("replay"))
        # A garbled number here must not make us write over a batch.
        self._seq = self._folded.seq
        for seq, at_ms, *rest, crc in rows(f"{_BATCHES} ORDER BY seq DESC LIMIT 1"):
            self._seq = max(self._seq, seq)
            if isinstance(at_ms, int) and crc in (None, checksum(seq, at_ms, *rest)):
                self._newest_at_ms = at_ms
        for row in rows(f"{_BATCHES} WHERE seq > ? ORDER BY seq", self._folded.seq):
            try:
                self._folded.add(checked(*row))
            except Garbled:
                continue  # read() declares it
        self._measure_room()
        self._decisions.load(self._database)
        self.commands.load()

    def _declared(self, entries: Sequence[Entry]) -> None:
        """These are durable, and among them perhaps the gaps of earlier epochs."""
        ends = {entry.epoch for entry in entries if isinstance(entry, Gap) and entry.last is None}
        if ends.intersection(self._undeclared):
            self._undeclared = tuple([each for each in self._undeclared if each not in ends])
            self._begun.write(self._undeclared)

    def _measure_room(self) -> None:
        policy = self._policy
        # Where alarms and gaps alone fill the log, each commit must not go through all of it.
        room = policy.full_bytes - self._database.used_bytes()
        self._room_bytes = max(room, policy.max_bytes // 64)


def _write_epoch(sql: sqlite3.Connection, epoch: int) -> None:
    sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", sealed("epoch", epoch))
