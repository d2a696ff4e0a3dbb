"""The live lane's memory: what waits, what is underway, and what the other side has.

Entries go by log, (source, epoch), and mark: a record's number, or a gap's (first, last).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from kerbline.model import ANCHOR_KIND, Alarm, Entry, Gap, Reading

Log = tuple[str, int]
Mark = int | tuple[int, int | None]
PATIENCE_S = 0.003  # the durable lane goes on, however much is live
_NONE: frozenset[Mark] = frozenset()


def log_of(entry: Entry) -> Log:
    """The source and epoch that number an entry."""
    name = entry if isinstance(entry, Gap) else entry.key
    return name.source, name.epoch


def mark_of(entry: Entry) -> Mark:
    """What tells an entry from the others of its log."""
    return (entry.first, entry.last) if isinstance(entry, Gap) else entry.key.number


def marks_of(entries: Iterable[Entry]) -> Mapping[Log, Collection[Mark]]:
    """What of these is to be delivered, by log: all but what dates a node's records."""
    found: dict[Log, list[Mark]] = {}
    for entry in entries:
        if not isinstance(entry, Reading) or entry.kind != ANCHOR_KIND:
            found.setdefault(log_of(entry), []).append(mark_of(entry))
    return found


class Live:
    """Entries to be published at once; bounded, and empty while there is no connection.

    Whatever it drops, the durable lane delivers; so it never keeps anybody waiting.
    """

    def __init__(self, capacity: int, remembered: int, patience_s: float = PATIENCE_S) -> None:
        self._capacity = capacity
        self._remembered = remembered
        self._patience_s = patience_s
        self._open = False
        self._waiting: deque[Reading | Alarm] = deque()
        self._underway: dict[Log, set[Mark]] = {}
        self._acked: dict[Log, set[Mark]] = {}
        self._count = 0  # of the acknowledged
        self._changed = asyncio.Event()

    def open(self) -> None:
        """There is a connection: take entries."""
        self._open = True

    def shut(self) -> None:
        """The connection is gone, and with it all that was not acknowledged."""
        self._open = False
        self._waiting.clear()
        self._underway.clear()
        self._changed.set()

    def offer(self, entry: Entry) -> None:
        """Take an entry if there is room; gaps travel in the durable lane only."""
        if self._open and len(self._waiting) < self._capacity and not isinstance(entry, Gap):
            self._waiting.append(entry)
            self._underway.setdefault(log_of(entry), set()).add(entry.key.number)
            self._changed.set()

    async def take(self) -> list[Entry]:
        """All that waits, as soon as anything does."""
        while not self._waiting:
            await self._change()
        entries: list[Entry] = list(self._waiting)
        self._waiting.clear()
        return entries

    def withdraw(self, marks: Iterable[tuple[Log, Collection[Mark]]]) -> None:
        """These go another way: of them nothing waits here any more."""
        gone = {log: frozenset(some) for log, some in marks}
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            log = log_of(each)
            if each.key.number in gone.get(log, _NONE):
                self.landed(log, [each.key.number])
            else:
                self._waiting.append(each)

    def landed(self, log: Log, marks: Iterable[Mark]) -> None:
        """These are not on their way any more, acknowledged or not."""
        flying = self._underway.get(log)
        if flying is not None:
            flying.difference_update(marks)
            if not flying:
                del self._underway[log]
        self._changed.set()

    async def settled(self, marks: Iterable[tuple[Log, Iterable[Mark]]]) -> None:
        """Wait until none of these is on its way through the live lane."""
        for log, some in marks:
            while not self._underway.get(log, _NONE).isdisjoint(some):
                await self._change()

    async def quiet(self) -> None:
        """Let what is on its way go first: wait until nothing is, but not for ever."""
        await asyncio.sleep(0)  # whoever has something to offer does so now
        if self._underway:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    while self._underway:
                        await self._change()

    def acknowledge(self, log: Log, marks: Collection[Mark]) -> None:
        """The other side has these, through whichever lane; some are forgotten when too many."""
        known = self._acked.setdefault(log, set())
        before = len(known)
        known.update(marks)
        self._count += len(known) - before
        while self._count > self._remembered:
            name, some = next(iter(self._acked.items()))
            self.forget(name, tuple(islice(some, self._count - self._remembered)))
        self.landed(log, marks)

    def logs(self) -> Collection[Log]:
        """The logs of which anything that the other side has is remembered."""
        return tuple(self._acked)

    def acknowledged(self, log: Log) -> Collection[Mark]:
        """What of a log the other side has, as far as it is remembered."""
        return self._acked.get(log, ())

    async def delivered(self, marks: Iterable[tuple[Log, Collection[Mark]]]) -> None:
        """Wait until the other side has acknowledged all of these."""
        for log, some in marks:
            while not self.has(log, some):
                await self._change()

    def has(self, log: Log, marks: Collection[Mark]) -> bool:
        """Has the other side acknowledged all of these?"""
        known = self.acknowledged(log)
        return all(mark in known for mark in marks)

    def forget(self, log: Log, marks: Iterable[Mark]) -> None:
        """The cursor has passed these."""
        known = self._acked.get(log)
        if known is not None:
            before = len(known)
            known.difference_update(marks)
            self._count -= before - len(known)
            if not known:
                del self._acked[log]

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
