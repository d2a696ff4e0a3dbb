"""Which records a damaged batch held, as far as its neighbours and the held numbers tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kerbline.model import Entry, Reading
from kerbline.store.entries import from_json
from kerbline.store.holdings import EPOCHS_KEPT, LAST_NUMBER, Span, spans
from kerbline.store.retention import STORE
from kerbwire.ranges import RangeSet

MAX_BREAKS = 100  # damaged places whose neighbours are remembered

_Source = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Affected:
    """Records `first`..`last` of a source and epoch; `last` None: all from `first` on."""

    source: str
    epoch: int
    first: int
    last: int | None


@dataclass(slots=True)
class _Break:
    """Batches `first`..`last` in a row that are lost, and what stood next to them."""

    first: int
    last: int
    why: str
    before: dict[_Source, int]
    after: dict[_Source, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)  # the first epoch of a source to end after


class Suspects:
    """Is shown every batch in order; tells at the end what is missing or contradicts."""

    def __init__(self) -> None:
        self.head = 0
        self._folded = 0
        self._held: dict[_Source, RangeSet] = {}
        self._epochs: dict[str, int] = {}
        self._latest: dict[tuple[str, str], int] = {}
        self._seen: dict[_Source, int] = {}  # the highest number of each source so far
        self._breaks: list[_Break] = []
        self._faults: list[tuple[str, tuple[Affected, ...]]] = []
        self._said: set[object] = set()

    def believe(
        self,
        folded: int,
        head: int,
        held: Iterable[Sequence[Any]],
        latest: Iterable[Sequence[Any]],
    ) -> None:
        """What the sound rows say that the batches up to `folded` held."""
        self._folded, self.head = folded, head
        for source, epoch, text in held:
            numbers = tuple([(first, last) for first, last in orjson.loads(text)])
            self._held[source, epoch] = RangeSet(numbers)
            self._epochs[source] = self._epochs.get(source, 0) + 1
        for asset, kind, body in latest:
            entry = from_json(orjson.loads(body))
            if isinstance(entry, Reading):
                self._latest[asset, kind] = entry.observed_at_ms

    def sound(self, seq: int, entries: Sequence[Entry]) -> None:
        """A batch that is as it was written."""
        found = spans(entries)
        for each in self._breaks:
            for one in found:
                name = (one.source, one.epoch)
                if one.first == LAST_NUMBER:
                    each.ended.setdefault(one.source, one.epoch)
                if one.first > each.before.get(name, 0):
                    each.after[name] = min(one.first, each.after.get(name, LAST_NUMBER))
        for one in found:
            name = (one.source, one.epoch)
            self._seen[name] = max(self._seen.get(name, 0), one.last)
        if seq <= self._folded:
            self._compare(seq, entries, found)

    def lost(self, seq: int, why: str) -> None:
        """A batch of which nothing is known but its place."""
        if self._breaks and self._breaks[-1].last == seq - 1 and not self._breaks[-1].after:
            self._breaks[-1].last = seq
        elif len(self._breaks) < MAX_BREAKS:
            self._breaks.append(_Break(seq, seq, why, dict(self._seen)))
        else:
            self._faults.append((f"batch {seq}: {why}", ()))

    def known(self, seq: int, why: str, found: Sequence[Span]) -> None:
        """A batch that is not as it was written, though its records can be told."""
        affected = tuple([Affected(s.source, s.epoch, s.first, _open(s.last)) for s in found])
        self._faults.append((f"batch {seq}: {why}", affected))

    def faults(self) -> Iterator[tuple[str, tuple[Affected, ...]]]:
        """What is wrong, and which records that concerns."""
        yield from self._faults
        for each in self._breaks:
            one = each.first == each.last
            place = f"batch {each.first}" if one else f"batches {each.first} to {each.last}"
            yield f"{place}: {each.why}", tuple(self._between(each))

    def after_all(self) -> tuple[Affected, ...]:
        """What a lost end of the log may have held: whatever follows the newest of each source."""
        return tuple(
            [
                Affected(source, epoch, last + 1, None)
                for (source, epoch), last in sorted(self._newest().items())
                if last < LAST_NUMBER
            ]
        )

    def _newest(self) -> dict[_Source, int]:
        """The highest number of each source's epoch that came last."""
        newest = {source: (source, epoch) for source, epoch in self._seen}
        return {name: self._seen[name] for name in newest.values()}

    def _between(self, each: _Break) -> Iterator[Affected]:
        for name in sorted({*each.before, *each.after, *self._held}):
            first = each.before.get(name, 0) + 1
            last = each.after.get(name, LAST_NUMBER + 1) - 1
            if each.last <= self._folded and name in self._held:
                for low, high in self._held[name].spans():
                    low, high = max(low, first), min(high, last)
                    if low <= high:
                        yield Affected(*name, low, _open(high))
            elif first <= last and (each.last > self._folded or not self._held):
                at_end = last == LAST_NUMBER - 1  # nothing but an open-ended gap comes after it
                if not at_end or first > 1 or each.ended[name[0]] == name[1]:
                    yield Affected(*name, first, None if at_end else _open(last))

    def _compare(self, seq: int, entries: Sequence[Entry], found: Sequence[Span]) -> None:
        """What follows from a batch must stand in the tables that were written later."""
        for one in found:
            name = (one.source, one.epoch)
            if name in self._held:
                if self._held[name].missing(one.first, one.last):
                    self._say(("held", name), f"held: batch {seq} has numbers that it lacks", one)
            elif one.source != STORE and self._epochs.get(one.source, 0) < EPOCHS_KEPT:
                self._say(("held", name), f"held: has nothing of an epoch of batch {seq}", one)
        for entry in entries:
            if isinstance(entry, Reading):
                latest = self._latest.get((entry.asset, entry.kind))
                if latest is None or latest < entry.observed_at_ms:
                    what = f"latest: {entry.asset} {entry.kind} is older than batch {seq}"
                    self._say((entry.asset, entry.kind), what, spans([entry])[0])

    def _say(self, name: object, what: str, one: Span) -> None:
        if name not in self._said:
            self._said.add(name)
            affected = Affected(one.source, one.epoch, one.first, _open(one.last))
            self._faults.append((what, (affected,)))


def _open(last: int) -> int | None:
    return None if last >= LAST_NUMBER else last
