"""The live side of a sink: what is newest and what stands, to be upserted at once.

It tells the durable lane what it delivered, and notes on disk what the broker may have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from kerbline.model import Alarm, NodeState, Reading
from kerbline.north.live import Live, log_of, mark_of
from kerbline.north.ngsi_ld import memory, models
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.lanes import LiveLane
from kerbline.north.ngsi_ld.memory import Memory
from kerbline.north.ngsi_ld.newest import FUTURE_MS, Entity, Name, Newest, Past
from kerbline.north.ngsi_ld.pace import Key

REQUESTS = 6  # under way: those that hang hold up no more than their own entities
REMEMBERED = 20_000  # entries that the live lane delivered beyond the cursor
NOTE_S = 30.0  # between two notes of how far a backlog came
AHEAD_MS = 60_000  # so far is noted ahead what may have been upserted: a write a minute
_log = logging.getLogger(__name__)

Blocking = Callable[..., Awaitable[Any]]


class Present:
    """What of a sink's is on its way by upsert, and what arrived so."""

    def __init__(
        self,
        name: str,
        newest: Newest,
        remembered: Memory,
        past: Past,
        path: Path,
        *,
        window_s: float,
        street_ms: Callable[[], int],
        cursor: Callable[[], int],
        blocking: Blocking,
        whole: bool,
    ) -> None:
        """`remembered` of earlier lives, and the `past` that follows from it; saved to `path`.

        `whole`: an upsert alone delivers an entry.
        """
        self._name = name
        self._newest = newest
        self._platform = remembered.platform
        self._path = path
        self._window_s = window_s
        self._street_ms = street_ms
        self._cursor = cursor
        self._blocking = blocking
        self._whole = whole
        self._past = past  # as the file has it
        self._noted_s = 0.0
        # What waited at an orderly end is taken out of the file before any of it goes.
        self._reserved_ms = -1 if past.open else past.until_ms
        self._delivered = Live(0, REMEMBERED)
        self._earlier = {
            log: memory.numbers(spans, REMEMBERED) for log, spans in remembered.delivered.items()
        }
        self._earlier_after = remembered.cursor
        self._stood: dict[tuple[str, tuple[str, ...]], Change] = {}
        self._states: dict[str, NodeState] = {}
        self._moved = asyncio.Event()  # something came, went or landed

    def offer(
        self, entry: Reading | Alarm, changes: Sequence[Change], *, late: bool = False
    ) -> None:
        """Take what is newest in an entry; the rest is the durable lane's, which offers `late`."""
        latest_ms = self._street_ms() + FUTURE_MS
        name = (log_of(entry), mark_of(entry))
        self._newest.offer(changes, name, entry.observed_at_ms, latest_ms, late=late)
        self.landed()

    def stand(self, changes: Iterable[Change]) -> None:
        """Take what stands and in no log: what was told already is no news."""
        for change in changes:
            what = (change.id, tuple(change.attributes))
            if self._stood.get(what) != change:
                self._stood[what] = change
                self.repeat(change)

    def repeat(self, change: Change) -> None:
        """The same, though it be told already."""
        self._newest.stand(change, models.lacks(change))
        self._moved.set()

    def is_news(self, state: NodeState) -> bool:
        """Is a node otherwise than when this was asked last?"""
        if self._states.get(state.node) == state:
            return False
        self._states[state.node] = state
        return True

    async def run(self, lane: LiveLane) -> None:
        """Upsert what comes, for ever; an entity is in one request at a time."""
        free = asyncio.Semaphore(REQUESTS)
        async with asyncio.TaskGroup() as requests:
            while True:
                while not self._newest.ready:
                    await self._move()
                await asyncio.sleep(self._window_s)
                await free.acquire()
                await lane.passed()
                if not (entities := lane.take()):  # what was ready is under way by now
                    free.release()
                    continue
                if self._newest.furthest_ms > self._reserved_ms:
                    await self._reserve()
                requests.create_task(self._deliver(lane, entities, free))

    async def _deliver(
        self, lane: LiveLane, entities: Sequence[Entity], free: asyncio.Semaphore
    ) -> None:
        try:
            await lane.deliver(entities)
        finally:
            free.release()
            self.landed()

    def landed(self) -> None:
        """Take over which entries are delivered."""
        if self._whole:
            for name in self._newest.finished:
                self.acknowledge(name)
        self._newest.finished.clear()
        self._moved.set()

    def acknowledge(self, name: Name) -> None:
        """All of an entry is there."""
        log, mark = name
        self._delivered.acknowledge(log, (mark,))

    async def quiet(self) -> None:
        """Wait until nothing is on its way."""
        while not self._newest.quiet:
            await self._move()

    async def settled(self, names: Iterable[Name]) -> None:
        """Wait until none of these is on its way."""
        for name in names:
            while self._newest.is_open(name):
                await self._move()

    def is_open(self, name: Name) -> bool:
        """Is an entry on its way?"""
        return self._newest.is_open(name)

    def was_tried(self, name: Name) -> bool:
        """Is an entry on its way, or are parts of it there?"""
        return self._newest.is_open(name) or self._newest.parts(name) is not None

    def has(self, name: Name, seq: int = 0) -> bool:
        """Was all of an entry delivered; if of batch `seq`, perhaps in an earlier life?"""
        log, mark = name
        if seq > self._earlier_after and mark in self._earlier.get(log, ()):
            return True
        return self._delivered.has(log, (mark,))

    def parts(self, name: Name) -> Collection[Key]:
        """What of an entry was delivered that was not delivered whole."""
        return self._newest.parts(name) or ()

    def forget(self, names: Iterable[Name]) -> None:
        """The cursor has passed these."""
        for log, mark in names:
            self._delivered.forget(log, (mark,))
        self._newest.forget(names)

    def caught_up(self) -> None:
        """The cursor has passed all that earlier lives stored."""
        self._earlier.clear()

    async def close(self) -> None:
        """Note exactly what is there."""
        await self._save(Past(self._newest.furthest_ms, frozenset(self._newest.open_values())))

    async def note(self) -> None:
        """Note now and then what was delivered: so much does not go again after a kill."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._noted_s + NOTE_S:
            await self._save(self._past)

    async def _reserve(self) -> None:
        """Note ahead what may be there if we are killed now."""
        ahead_ms = self._newest.furthest_ms + AHEAD_MS
        if await self._save(Past(ahead_ms)):
            self._reserved_ms = ahead_ms

    async def _save(self, past: Past) -> bool:
        """Safe from a power cut on return; False where the disk refuses."""
        self._noted_s = asyncio.get_running_loop().time()
        logs = {*self._delivered.logs(), *self._earlier}
        delivered = {
            log: memory.spans([*self._delivered.acknowledged(log), *self._earlier.get(log, ())])
            for log in logs
        }
        # Of a replay, what is sent again is behind what earlier lives delivered.
        cursor = max(self._cursor(), self._earlier_after) if self._earlier else self._cursor()
        try:
            noted = Memory(self._platform, cursor, past, delivered)
            await self._blocking(noted.save, self._path)
        except OSError as error:
            _log.warning("%s: %s: %s", self._name, self._path, error.strerror)
            return False
        self._past = past
        return True

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()
