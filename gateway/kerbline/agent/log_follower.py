"""Whoever works something out of the durable log: read from where it was noted, told by records.

What a follower knows is what is durable, its own records among it: what it noted last and the log
behind that give the same after any kill, and nothing is told twice or lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any

from kerbline.agent.records import Records
from kerbline.model import Entry
from kerbline.store import Committed, GroupCommit, Store, StoreBlocked

NOTED_BATCHES = 100  # between two notes: so much of the log is read again after a kill
FRESH = 8  # commits that are kept in memory, or the log is read
READ_ENTRIES = 200  # of it at a time
LOOK_S = 10.0
BLOCKED_S = 5.0

log = logging.getLogger("kerbline.agent")


class LogFollower(ABC):
    """An `Inlet`; `run` is its task. Without a note, what comes from now on counts."""

    def __init__(self, rule: str, store: Store, group: GroupCommit) -> None:
        """`rule`: under which the store keeps what is noted."""
        self._rule = rule
        self._group = group
        self._noted = noted(store, rule)
        self._cursor = self._noted_at = min(self._noted.get("cursor", store.head), store.head)
        self._fresh: deque[Committed] = deque(maxlen=FRESH)
        self._grew = asyncio.Event()
        self._in_a_hurry = False  # what follows from an own record is told at once

    def offer(self, entry: Entry) -> None:  # noqa: B027 - nothing is to be done
        """What is not durable is not known."""

    def log_grew(self, committed: Committed | None = None) -> None:
        """There is something to look at."""
        if committed is not None and committed.seq:
            self._fresh.append(committed)
        self._grew.set()

    async def run(self, records: Records, look_s: float = LOOK_S) -> None:
        """Follow the log and tell what is due, for ever."""
        loop = asyncio.get_running_loop()
        self._mind()
        await self._catch_up(records)
        self._resume(records.now_ms())
        while True:
            self._mind()
            await self._tell(records)
            look_at = loop.time() + look_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    while not self._in_a_hurry:
                        await self._grew.wait()
                        self._grew.clear()
                        await self._follow(records)
            self._in_a_hurry = False

    def note(self) -> None:
        """Have it noted with the next commit how far this came."""
        self._noted_at = self._cursor
        body = {"cursor": self._cursor, **self._saved()}
        self._group.save_memory(self._rule, "", json.dumps(body, separators=(",", ":")))

    @abstractmethod
    def _take(self, entry: Entry, now_ms: int) -> None:
        """Of the log, in its order."""

    @abstractmethod
    async def _tell(self, records: Records) -> None:
        """Put what is due into the log."""

    @abstractmethod
    def _saved(self) -> Mapping[str, Any]:
        """What is noted, for JSON."""

    @abstractmethod
    def _resume(self, now_ms: int) -> None:
        """The log is read to its end, after a start."""

    @abstractmethod
    def _mind(self) -> None:
        """Look after what may have changed beside the log."""

    async def _catch_up(self, records: Records) -> None:
        """Read the log to its end; nothing is told before."""
        while True:
            try:
                batches = await self._group.read(self._cursor, READ_ENTRIES)
            except StoreBlocked as error:
                log.warning("%s: the log can't be read: %s", self._rule, error)
                await asyncio.sleep(BLOCKED_S)
                continue
            for batch in batches:
                self._take_batch(batch.seq, batch.entries, records.now_ms())
                await asyncio.sleep(0)
            if not batches:
                return

    async def _follow(self, records: Records) -> None:
        """Take what was committed, from memory if it is all there."""
        while self._fresh:
            committed = self._fresh.popleft()
            if committed.seq > self._cursor + 1:
                self._mind()
                await self._catch_up(records)
            elif committed.seq == self._cursor + 1:
                self._take_batch(committed.seq, committed.entries, records.now_ms())

    def _take_batch(self, seq: int, entries: tuple[Entry, ...], now_ms: int) -> None:
        for entry in entries:
            self._take(entry, now_ms)
        self._cursor = seq
        if seq - self._noted_at >= NOTED_BATCHES:
            self.note()


def noted(store: Store, rule: str) -> Mapping[str, Any]:
    """What was noted last; nothing where that is not to be read."""
    body = store.memories(rule).get("")
    found = json.loads(body) if body else {}
    return found if isinstance(found, dict) else {}
