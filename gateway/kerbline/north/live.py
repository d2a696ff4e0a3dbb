"""The live lane's memory: what waits, what is underway, and what the broker has acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from kerbline.model import Alarm, Entry, Gap, Key, Reading


class Live:
    """Entries to be published at once; bounded, and empty while there is no connection.

    Whatever it drops, the durable lane delivers; so it never keeps anybody waiting.
    """

    def __init__(self, capacity: int, remembered: int) -> None:
        self._capacity = capacity
        self._remembered = remembered
        self._open = False
        self._waiting: deque[Reading | Alarm] = deque()
        self._underway: set[Key] = set()
        self._acked: dict[Key, None] = {}  # in the order of their acknowledgement
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
            self._underway.add(entry.key)
            self._changed.set()

    async def take(self) -> list[Entry]:
        """All that waits, as soon as anything does."""
        while not self._waiting:
            await self._change()
        entries: list[Entry] = list(self._waiting)
        self._waiting.clear()
        return entries

    def acknowledge(self, keys: Iterable[Key]) -> None:
        """The broker has these, through whichever lane; the oldest are forgotten when too many."""
        for key in keys:
            self._underway.discard(key)
            self._acked[key] = None
        while len(self._acked) > self._remembered:
            del self._acked[next(iter(self._acked))]
        self._changed.set()

    def acknowledged(self, key: Key) -> bool:
        """Does the broker have it?"""
        return key in self._acked

    def forget(self, keys: Iterable[Key]) -> None:
        """The cursor has passed these."""
        for key in keys:
            self._acked.pop(key, None)

    async def settled(self, keys: set[Key]) -> None:
        """Wait until none of `keys` is on its way through the live lane."""
        while not keys.isdisjoint(self._underway):
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
