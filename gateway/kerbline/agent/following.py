"""Follows the durable log, as sinks do: from memory while it is at its end, else from the disk."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from kerbline.model import Entry
from kerbline.store import Committed, GroupCommit, StoreBlocked

FRESH = 8  # commits that are kept in memory, or the log is read
READ_ENTRIES = 200  # of it at a time
BLOCKED_S = 5.0

Take = Callable[[int, Iterable[Entry]], Awaitable[None]]  # a batch of the log by its number

log = logging.getLogger("kerbline.agent")


class Following:
    """Gives every batch after `cursor` to whoever takes it, each once and in order."""

    def __init__(self, group: GroupCommit, cursor: int, name: str) -> None:
        """`name`: who follows, for what goes wrong."""
        self._name = name
        self.cursor = cursor
        self.grew = asyncio.Event()
        self._group = group
        self._fresh: deque[Committed] = deque(maxlen=FRESH)

    def log_grew(self, committed: Committed | None) -> None:
        """There is something to look at."""
        if committed is not None and committed.seq:
            self._fresh.append(committed)
        self.grew.set()

    async def catch_up(self, take: Take) -> None:
        """Read the log to its end."""
        while True:
            try:
                batches = await self._group.read(self.cursor, READ_ENTRIES)
            except StoreBlocked as error:
                log.warning("%s: the log can't be read: %s", self._name, error)
                await asyncio.sleep(BLOCKED_S)
                continue
            for batch in batches:
                await take(batch.seq, batch.entries)
                self.cursor = batch.seq
                await asyncio.sleep(0)
            if not batches:
                return

    async def follow(self, take: Take) -> None:
        """Take what was committed, from memory if it is all there.

        What is cut short by a time limit is taken up by the next call, which has no need to wait.
        """
        while self._fresh:
            seq, entries = self._fresh[0].seq, self._fresh[0].entries
            if seq > self.cursor + 1:
                await self.catch_up(take)
                self.cursor = max(self.cursor, seq)
            elif seq == self.cursor + 1:
                await take(seq, entries)
                self.cursor = seq
            else:
                self._fresh.popleft()
        self.grew.clear()
