"""The durable side of a sink: follows the log from its cursor; what is old goes into the history.

What the live side delivered is left out. What is still newest is handed to it, and waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from kerbline.model import ANCHOR_KIND, Entry, Gap, Reading
from kerbline.north.live import log_of, mark_of
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.dead_letters import DeadLetters
from kerbline.north.ngsi_ld.lanes import HistoryLane, Item
from kerbline.north.ngsi_ld.newest import Name, lacking, without
from kerbline.north.ngsi_ld.pace import Key, Pace
from kerbline.north.ngsi_ld.present import Blocking, Present
from kerbline.north.sink import Journal
from kerbline.store import Batch, Committed, StoreBlocked

READ_ENTRIES = 1_000
CHUNK_ENTRIES = 8_000  # of the log, sorted by entity
AHEAD_ENTRIES = 8_000  # that are not settled, and yet the next are read
LOOK = 32  # entries that are sorted without a look at what is live
PATIENCE_S = 10.0  # with what is live of a chunk; then what is older of it goes
LOOK_S = 1.0  # between two looks at what is live for longer
FRESH = 4  # commits that are kept in memory, in case the live side has delivered them whole
BLOCKED_S = 5.0
_LETTER: Name = (("", 0), 0)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Chunk:
    """What was read of the log at once, up to batch `seq`, as far as it is not settled."""

    seq: int
    acknowledge: Callable[[Name], None]
    names: list[Name] = field(default_factory=list)  # of all its entries
    open: list[tuple[Name, Sequence[Change], bool]] = field(default_factory=list)  # the live side's
    aside: dict[str, list[Item]] = field(default_factory=dict)  # for the history, by entity
    _left: Counter[Name] = field(default_factory=Counter)

    @property
    def is_settled(self) -> bool:
        """Is all of it there, or given up?"""
        return not self.open and not self.aside

    def add(self, name: Name, changes: Iterable[Change]) -> None:
        """These of an entry are for the history."""
        for change in changes:
            self.aside.setdefault(change.id, []).append((name, change))
            self._left[name] += 1

    def landed(self, items: Iterable[Item]) -> None:
        """The broker has these, or they are dead letters."""
        for name, _ in items:
            self._left[name] -= 1
            if not self._left[name]:
                self.acknowledge(name)


class Durable:
    """The cursor, and what moves it."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        present: Present,
        lane: HistoryLane,
        letters: DeadLetters,
        changes: Callable[[Entry], Sequence[Change]],
        *,
        cursor: int,
        history: str,
        pace: Pace,
        blocking: Blocking,
    ) -> None:
        """`history`: "rest", "all" or "off", as the config has it."""
        self.cursor = cursor
        self._name = name
        self._journal = journal
        self._present = present
        self._lane = lane
        self._letters = letters
        self._changes = changes
        self._history = history
        self._pace = pace
        self._blocking = blocking
        self._grew = asyncio.Event()
        self._fresh: deque[Committed] = deque(maxlen=FRESH)
        self._chunks: deque[Chunk] = deque()  # read, and not all settled: the cursor is before them
        self._wanted: deque[int] = deque()  # numbers of dead letters

    def log_grew(self, committed: Committed | None) -> None:
        """There is work, or perhaps none."""
        if committed is not None and committed.seq:
            self._fresh.append(committed)
        self._grew.set()

    def resend(self, numbers: Collection[int] | None) -> int:
        """Send dead letters again, by number or all; how many these are."""
        known = [each.number for each in self._letters.letters]
        wanted = [n for n in known if (numbers is None or n in numbers) and n not in self._wanted]
        self._wanted.extend(wanted)
        self._grew.set()
        return len(wanted)

    async def run(self) -> None:
        """Follow the log, for ever."""
        while True:
            self._grew.clear()
            await self._send_letters()
            if not self._chunks and await self._pass_delivered():
                await self._grew.wait()
                continue
            batches = await self._next()
            if batches:
                self._chunks.append(await self._opened(batches))
            for chunk in self._chunks:
                await self._settle(chunk)
            while self._chunks and self._chunks[0].is_settled:
                chunk = self._chunks.popleft()
                self._move(chunk.seq, chunk.names)
            if not batches:
                await self._pause()

    async def _pause(self) -> None:
        """Until there is something to do."""
        if not self._chunks:
            self._present.caught_up()
            await self._grew.wait()
            return
        now_s = asyncio.get_running_loop().time()
        due_s = [self._lane.due_s(entity) for chunk in self._chunks for entity in chunk.aside]
        if any(chunk.open for chunk in self._chunks):
            due_s.append(now_s + LOOK_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(due_s, default=now_s) - now_s)):
                await self._grew.wait()

    def _move(self, seq: int, names: Iterable[Name]) -> None:
        self.cursor = seq
        self._journal.save_cursor(self._name, seq)
        self._present.forget(names)

    async def _pass_delivered(self) -> bool:
        """Go past commits that the live side has delivered whole; were they all that is new?"""
        before = self.cursor
        while self._fresh and self._fresh[0].seq <= self.cursor + 1:
            committed = self._fresh.popleft()
            if committed.seq <= self.cursor:
                continue
            names = [_name(each) for each in committed.entries]
            await self._settled(names)
            if not all(map(self._is_done, committed.entries)):
                return False
            self._move(committed.seq, names)
        rest = bool(self._fresh)
        self._fresh.clear()
        return self.cursor > before and not rest

    def _is_done(self, entry: Entry) -> bool:
        return isinstance(entry, Gap) or _is_anchor(entry) or self._present.has(_name(entry))

    async def _next(self) -> list[Batch]:
        """What comes next in the log, but not too far ahead of what is not settled."""
        batches: list[Batch] = []
        size = 0
        if sum(len(chunk.names) for chunk in self._chunks) > AHEAD_ENTRIES:
            return batches
        after = self._chunks[-1].seq if self._chunks else self.cursor
        while size < CHUNK_ENTRIES:
            found = await self._read(batches[-1].seq if batches else after)
            if not found:
                break
            batches += found
            size += sum(len(each) for each in found)
        return batches

    async def _opened(self, batches: Sequence[Batch]) -> Chunk:
        """All entries of these that are not delivered, offered to the live side where they may."""
        chunk = Chunk(batches[-1].seq, self._present.acknowledge)
        for batch in batches:
            for entry in batch.entries:
                if len(chunk.names) % LOOK == 0:
                    await asyncio.sleep(0)
                name = _name(entry)
                chunk.names.append(name)
                if isinstance(entry, Gap) or _is_anchor(entry):
                    continue
                changes = self._changes(entry)
                if changes and not self._present.has(name, batch.seq):
                    new = not self._present.was_tried(name)
                    if new and not self._present.has(name):
                        self._present.offer(entry, changes, late=True)
                    chunk.open.append((name, changes, new))
        await self._settled([name for name, _, _ in chunk.open])
        return chunk

    async def _settled(self, names: Sequence[Name]) -> None:
        """Wait for the live side; what it can't bring over for long holds up nothing else."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S if self._chunks else PATIENCE_S):
                await self._present.settled(names)

    async def _settle(self, chunk: Chunk) -> None:
        """Bring into the history what the live side did not deliver and is due."""
        opened, chunk.open = chunk.open, []
        for each in opened:
            name, changes, new = each
            if self._present.is_open(name):
                chunk.open.append(each)
                continue
            rest = self._left(name, changes)
            chunk.add(name, without(rest, self._pace) if new else rest)
        for entity in list(chunk.aside):
            if self._lane.due_s(entity) <= asyncio.get_running_loop().time():
                doubtful = await self._lane.deliver(chunk.aside.pop(entity), chunk.landed)
                if doubtful:
                    chunk.aside[entity] = list(doubtful)
                await self._present.note()

    def _left(self, name: Name, changes: Sequence[Change]) -> Sequence[Change]:
        """What of an entry the live side has not delivered, or all where history is apart."""
        done: Collection[Key] = ()
        if self._history != "all":
            if self._history == "off" or self._present.has(name):
                return ()
            done = self._present.parts(name)
        return lacking(changes, done)

    async def _send_letters(self) -> None:
        """Dead letters that somebody wants sent again: into the history, for newer came since."""
        letters = {each.number: each for each in self._letters.letters}
        while self._wanted:
            letter = letters.get(self._wanted[0])
            if letter is not None:
                if dated := lacking([letter.change], ()):
                    items = [(_LETTER, each) for each in dated]
                    if await self._lane.deliver(items, lambda _: None):
                        self._wanted.popleft()  # it stays a letter
                        continue
                else:
                    self._present.repeat(letter.change)
                # Or it is a new letter by now.
                try:
                    await self._blocking(self._letters.drop, {letter.number})
                except OSError as error:  # it is gone from memory; the next change writes the file
                    _log.warning("%s: %s: %s", self._name, self._letters.path, error.strerror)
            self._wanted.popleft()

    async def _read(self, after: int) -> Sequence[Batch]:
        while True:
            try:
                return await self._journal.read(after, READ_ENTRIES, self._name)
            except StoreBlocked as error:
                _log.warning("%s: the log can't be read: %s", self._name, error)
                await asyncio.sleep(BLOCKED_S)


def _name(entry: Entry) -> Name:
    return log_of(entry), mark_of(entry)


def _is_anchor(entry: Entry) -> bool:
    return isinstance(entry, Reading) and entry.kind == ANCHOR_KIND
