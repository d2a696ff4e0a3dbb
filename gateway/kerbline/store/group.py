"""Group commit: many entries, one durable write; and the one thread that touches the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from kerbline.model import Command, CommandResult, Entry, Reading
from kerbline.store.backlog import Backlog
from kerbline.store.batch import Batch
from kerbline.store.database import StoreBlocked
from kerbline.store.notes import Anchor, Notes
from kerbline.store.store import Committed, Store

P = ParamSpec("P")
T = TypeVar("T")

MAX_GROUP = 500  # entries a commit at most, so that a backlog is not one huge row
MAX_OUTCOMES = 1_000
MAX_DECISIONS = 2_000
SETTLE_S = 0.03  # a tick of many devices is on its way north within that


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """Commit at `readings` entries or `interval_s` after the first; wait at `max_pending`."""

    readings: int = 100
    interval_s: float = 10.0
    max_pending: int = 10_000
    retry_s: float = 2.0  # after the disk refused


class GroupCommit:
    """The only way to a Store while an event loop runs.

    `run` is its task. Entries go in by `put`, what became durable comes out of `committed`.
    Gaps and alarms are committed at once. When the disk refuses, the group is kept and tried
    again, and of `max_pending` entries room is made by `Backlog`; `put` waits only for a disk that
    is slow, or where nothing is left that may go.
    """

    def __init__(
        self, store: Store, policy: GroupPolicy, utc_ms: Callable[[], int], own: str = ""
    ) -> None:
        """`own` is the source that we number: of its readings nobody else has a copy."""
        self._store = store
        self._policy = policy
        self._utc_ms = utc_ms
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._group: list[Entry] = []  # under way to the disk
        self._backlog = Backlog(own)
        self._notes = Notes()
        self._first_at = 0.0  # loop time at which the oldest of what waits came
        self._urgent = False
        self._stopping = False
        self._decided = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._done: asyncio.Queue[Committed] = asyncio.Queue(64)
        self.blocked = ""  # why the disk refuses, empty when it does not

    @property
    def pending(self) -> int:
        """Entries that are not durable yet."""
        return len(self._group) + len(self._backlog)

    async def put(self, entry: Entry) -> None:
        """Hand over an entry; waits for room, which `Backlog` makes while the disk refuses."""
        while self.pending >= self._policy.max_pending:
            if self.blocked and self._backlog.thin():
                break
            self._room.clear()
            await self._room.wait()
        self._begin()
        self._backlog.append(entry)
        self._urgent = self._urgent or not isinstance(entry, Reading)
        if self._urgent or len(self._backlog) in (1, self._policy.readings):
            self._changed.set()

    def passed_over(self) -> frozenset[str]:
        """Sources of readings that were let go and are to be asked for again; they are told once.

        Empty while the disk refuses, or much waits that they would send a second time.
        """
        if self.blocked or len(self._backlog) >= MAX_GROUP:
            return frozenset()
        return self._backlog.passed_over()

    def save_cursor(self, sink: str, seq: int) -> None:
        """Note that `sink` delivered all up to batch `seq`; durable with the next commit."""
        self._begin()
        self._notes.cursors[sink] = seq

    def save_anchor(self, node: str, boot_id: int, anchor: Anchor) -> None:
        """Note when a boot began; durable with the next commit, as the readings that it dates."""
        self._begin()
        self._notes.anchors[node, boot_id] = anchor

    def save_memory(self, rule: str, asset: str, body: str) -> None:
        """Note what a rule remembers of an asset; durable with the next commit."""
        self._begin()
        self._notes.memories[rule, asset] = body

    def log_outcome(self, command: Command, result: CommandResult) -> None:
        """Note a command of our own with its outcome for the audit, durable with the next commit.

        While the disk refuses, those above MAX_OUTCOMES are dropped, oldest first.
        """
        self._begin()
        self._notes.outcomes.append((command, result))
        del self._notes.outcomes[:-MAX_OUTCOMES]

    def note_decision(self, at_ms: int, body: str) -> None:
        """Note what control decided at a street time; durable with the next commit.

        While the disk refuses, those above MAX_DECISIONS are dropped, oldest first: their numbers
        are missed.
        """
        self._begin()
        self._decided += 1
        self._notes.decisions.append((self._decided, at_ms, body))
        del self._notes.decisions[:-MAX_DECISIONS]

    async def committed(self) -> Committed:
        """The next group that became durable, in order; to be pulled, or committing stops."""
        return await self._done.get()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the store in its thread."""
        return await self.begin(function, *args, **kwargs)

    def begin(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """The same, for who waits for it later: it has its turn from now on."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._worker, lambda: function(*args, **kwargs))

    async def read(self, after: int, limit: int, sink: str = "") -> list[Batch]:
        """Store.read, in the store's thread."""
        return await self.call(self._store.read, after, limit, sink)

    async def run(self) -> None:
        """Commit what is due; after `stop` the rest, then return.

        Raises StoreCorrupt, and StoreBlocked if the disk refuses the last group.
        """
        while True:
            await self._due()
            await self._settle()
            if self._backlog or self._notes:
                await self._commit()
            elif self._stopping:
                return

    def stop(self) -> None:
        """Let `run` commit what waits and return."""
        self._stopping = True
        self._changed.set()

    async def close(self) -> None:
        """Close the store; after `run` has ended."""
        await self.call(self._store.close)
        self._worker.shutdown()

    def _begin(self) -> None:
        if not self._backlog and not self._notes:
            self._first_at = asyncio.get_running_loop().time()
            self._changed.set()

    async def _settle(self) -> None:
        """Let what came with the last of them go its way first: a thread would be in it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not (self._urgent or self._stopping or len(self._backlog) >= MAX_GROUP):
                    self._changed.clear()
                    await self._changed.wait()

    async def _due(self) -> None:
        """Wait until something is to be committed now, or `stop`."""
        while not (self._urgent or self._stopping or len(self._backlog) >= self._policy.readings):
            wait_s = None
            if self._backlog or self._notes:
                age_s = asyncio.get_running_loop().time() - self._first_at
                wait_s = self._policy.interval_s - age_s
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _commit(self) -> None:
        group = self._group = self._backlog.take(MAX_GROUP)
        notes = Notes()
        if not self._backlog:  # what a note follows from is never behind it
            notes, self._notes = self._notes, notes
        self._urgent = False
        while True:
            try:
                committed = await self.call(self._store.append, group, self._utc_ms(), notes)
                break
            except StoreBlocked as error:
                self.blocked = str(error)
                self._room.set()  # there may be something to let go
                if self._stopping:
                    raise  # nothing of it was acknowledged: the nodes still have theirs
                await asyncio.sleep(self._policy.retry_s)
        self.blocked = ""
        self._group = []
        self._first_at = asyncio.get_running_loop().time()
        if gaps := self._backlog.declared(self._utc_ms()):
            self._backlog.extend(gaps)
            self._urgent = True
        if len(group) == MAX_GROUP and self._backlog:
            self._urgent = True
        self._room.set()
        if group:
            await self._done.put(committed)
