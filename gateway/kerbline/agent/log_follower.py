"""Whoever works something out of the durable log: read from where it was noted, told by records.

What a follower knows is what is durable, its own records among it: what it noted last and the log
behind that give the same after any kill, and nothing is told twice or lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kerbline.agent.following import Following
from kerbline.agent.records import Records
from kerbline.model import Entry
from kerbline.store import Committed, GroupCommit, Store

NOTED_BATCHES = 100  # between two notes: so much of the log is read again after a kill
LOOK_S = 10.0


class LogFollower(ABC):
    """An `Inlet`; `run` is its task. Without a note, what comes from now on counts."""

    def __init__(self, rule: str, store: Store, group: GroupCommit) -> None:
        """`rule`: under which the store keeps what is noted."""
        self._rule = rule
        self._group = group
        self._noted = noted(store, rule)
        self._noted_at = min(self._noted.get("cursor", store.head), store.head)
        self._log = Following(group, self._noted_at, rule)
        self._now_ms: Callable[[], int] = lambda: 0
        self._in_a_hurry = False  # what follows from an own record is told at once

    def offer(self, entry: Entry) -> None:  # noqa: B027 - nothing is to be done
        """What is not durable is not known."""

    def log_grew(self, committed: Committed | None = None) -> None:
        """There is something to look at."""
        self._log.log_grew(committed)

    async def run(self, records: Records, look_s: float = LOOK_S) -> None:
        """Follow the log and tell what is due, for ever."""
        loop = asyncio.get_running_loop()
        self._now_ms = records.now_ms
        self._mind()
        await self._log.catch_up(self._take_batch)
        self._resume(records.now_ms())
        while True:
            self._mind()
            await self._tell(records)
            look_at = loop.time() + look_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    while not self._in_a_hurry:
                        await self._log.grew.wait()
                        await self._log.follow(self._take_batch)
            self._in_a_hurry = False

    def note(self, cursor: int | None = None) -> None:
        """Have it noted with the next commit how far this came."""
        self._noted_at = self._cursor if cursor is None else cursor
        body = {"cursor": self._noted_at, **self._saved()}
        self._group.save_memory(self._rule, "", json.dumps(body, separators=(",", ":")))

    @property
    def _cursor(self) -> int:
        """How far the log is taken."""
        return self._log.cursor

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

    async def _take_batch(self, seq: int, entries: Iterable[Entry]) -> None:
        now_ms = self._now_ms()
        for entry in entries:
            self._take(entry, now_ms)
        if seq - self._noted_at >= NOTED_BATCHES:
            self.note(seq)


def noted(store: Store, rule: str) -> Mapping[str, Any]:
    """What was noted last; nothing where that is not to be read."""
    body = store.memories(rule).get("")
    found = json.loads(body) if body else {}
    return found if isinstance(found, dict) else {}
