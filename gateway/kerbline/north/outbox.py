"""Delivers the durable log to one broker, at least once, beside what is live now.

Two lanes: the live lane publishes an entry the moment it came; the durable lane follows the log
from its cursor and leaves out what the broker acknowledged already. What else goes by:
notices, the gateway's status, and the messages that come in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kerbline.counters import Counters
from kerbline.model import CommandResult, Entry, NodeState
from kerbline.north.acks import Acks, Refused
from kerbline.north.backoff import Backoff
from kerbline.north.dialect import Chunk, Dialect, Outgoing
from kerbline.north.live import PATIENCE_S, Live, Log, Mark, marks_of
from kerbline.north.notices import Notices
from kerbline.north.port import Message, NotConnected, Port
from kerbline.north.sink import Journal
from kerbline.north.window import Window
from kerbline.store import Batch, Committed, StoreBlocked

MAX_INBOX = 64
CLOSE_TIMEOUT_S = 2.0
FRESH = 4  # commits that are kept in memory, in case the live lane has delivered them whole
LIVE_BURSTS = 2  # one on its way while the other's acknowledgements come
LOOK = 32  # entries of a backlog that are taken without a look at what is live
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bounds of one outbox."""

    window: int = 12  # messages of the durable lane without an acknowledgement
    live_window: int = 12  # in LIVE_BURSTS; together the port gives a broker what it takes
    read_entries: int = 500  # taken from the log at a time
    chunk_entries: int = 16_000  # on their way, until all are acknowledged and the cursor moves
    chunk_bytes: int = 6_000_000  # of the log, the same: a few long entries are as many short ones
    live_entries: int = 1_000  # waiting in the live lane; the durable lane has the rest
    acked_keys: int = 20_000
    results: int = 2_048  # waiting for the broker: of all commands that can be open, and more
    backoff_min_s: float = 1.0
    backoff_max_s: float = 300.0
    stable_s: float = 60.0  # a connection that lasted so long resets the back-off
    patience_s: float = PATIENCE_S  # of the durable lane with what is live
    ack_timeout_s: float | None = None  # the consumer's; None: the broker's ack is enough
    hold_s: float = (
        0.0  # what is live lets a backlog go first: for who takes the last for the newest
    )


class Outbox:
    """One sink of the log. `run` is its task; it ends by cancellation only."""

    def __init__(
        self,
        sink: str,
        port: Port,
        journal: Journal,
        mapper: Dialect,
        *,
        cursor: int,
        utc_ms: Callable[[], int],
        random: Callable[[], float],
        limits: OutboxLimits | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.name = sink
        self._port = port
        self._journal = journal
        self._mapper = mapper
        self._cursor = cursor
        self._utc_ms = utc_ms
        self._limits = limits = limits or OutboxLimits()
        self._backoff = Backoff(limits.backoff_min_s, limits.backoff_max_s, random)
        self._window = Window(limits.window)
        self._landed: list[tuple[Log, Sequence[Mark]]] = []  # of a chunk that is not whole yet
        self._live = Live(limits.live_entries, limits.acked_keys, limits.patience_s)
        self._acks = None if limits.ack_timeout_s is None else Acks(self._live)
        self._counters = counters or Counters()
        self._refusals: set[str] = set()  # reasons that were said
        self._notices = Notices(mapper, limits.results)
        self._log_grew = asyncio.Event()
        self._even = asyncio.Event()  # the backlog that a connection began with is told, or held up
        self._fresh: deque[Committed] = deque(maxlen=FRESH)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(MAX_INBOX)
        self.connected = False

    @property
    def cursor(self) -> int:
        """The batch up to which the broker has everything."""
        return self._cursor

    @property
    def _holds(self) -> bool:
        """Does what is live wait for a backlog?"""
        return bool(self._limits.hold_s) and not self._even.is_set()

    def offer(self, entry: Entry) -> None:
        """Publish at once if there is a connection and room; the log delivers it anyhow."""
        self._live.offer(entry)

    def log_grew(self, committed: Committed | None = None) -> None:
        """Something was committed: the durable lane has work, or sees that it has none."""
        if committed is not None and committed.seq:
            self._fresh.append(committed)
        self._log_grew.set()

    def tell(self, result: CommandResult) -> None:
        """Publish what became of a command, when there is a connection."""
        self._notices.tell(result)

    def show(self, state: NodeState) -> None:
        """Publish how a node is, if that is news, and with each new connection."""
        self._notices.show(state)

    async def received(self) -> Message:
        """The next message from the broker, when there is room for what it may result in."""
        await self._notices.room()
        return await self._inbox.get()

    async def run(self) -> None:
        """Connect, deliver, and again when the connection breaks."""
        said = ""
        while True:
            reason = await self._connection()
            if reason != said:  # an outage of a night is one line, not a thousand
                _log.warning("%s: %s; trying again", self.name, reason)
                said = reason
            await asyncio.sleep(self._backoff.next_s())

    async def close(self) -> None:
        """Say that we are going, and go; after `run` was cancelled."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._port.publish(self._mapper.status("offline", self._utc_ms()))
        except (NotConnected, TimeoutError):
            pass  # the will says it
        await self._port.close()

    async def _connection(self) -> str:
        """One connection from beginning to end; why it ended."""
        loop = asyncio.get_running_loop()
        try:
            await self._port.connect()
            await self._port.publish(self._mapper.status("online", self._utc_ms()))
        except NotConnected as error:
            await self._port.close()
            return str(error)
        began = loop.time()
        _log.info("%s: connected", self.name)
        reason = await self._lanes()
        if loop.time() - began >= self._limits.stable_s:
            self._backoff.reset()
        await self._port.close()
        return reason

    async def _lanes(self) -> str:
        reason = ""
        self.connected = True
        self._live.open()
        self._even.clear()
        self._window = Window(self._limits.window)
        try:
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._durable_lane())
                lanes.create_task(self._live_lane())
                lanes.create_task(self._notices.run(self._port))
                lanes.create_task(self._incoming())
        except* NotConnected as lost:
            reason = str(_first_leaf(lost))
        finally:
            self.connected = False
            self._live.shut()
            for log, marks in self._landed:
                self._live.acknowledge(log, marks)
            self._landed.clear()
            if self._acks is not None:
                self._acks.again()
        return reason

    async def _durable_lane(self) -> None:
        while True:
            self._log_grew.clear()
            if not self._holds and await self._pass_delivered():
                self._even.set()
                await self._log_grew.wait()
                continue
            chunk, last = await self._chunk()
            if last == self._cursor:
                self._even.set()
                await self._log_grew.wait()
                continue
            if self._holds:
                self._live.withdraw(chunk.marks())
            await self._live.settled(chunk.marks())
            await self._publish(chunk)
            if self._acks is not None:
                await self._acknowledged(chunk, self._acks)
            self._cursor = last
            self._journal.save_cursor(self.name, last)
            self._landed.clear()
            for log, marks in chunk.marks():
                self._live.forget(log, marks)
            await self._live.quiet()
            del chunk  # or there are two of them in memory

    async def _pass_delivered(self) -> bool:
        """Go past batches that the live lane has delivered whole; were they all that is new?

        So the log is not read for what was delivered while it was written.
        """
        before = self._cursor
        while self._fresh and self._fresh[0].seq <= self._cursor + 1:
            committed = self._fresh.popleft()
            if committed.seq <= self._cursor:
                continue
            marks = marks_of(committed.entries)
            await self._live.settled(marks.items())
            if not all(self._live.has(log, some) for log, some in marks.items()):
                return False
            self._cursor = committed.seq
            self._journal.save_cursor(self.name, self._cursor)
            for log, some in marks.items():
                self._live.forget(log, some)
        rest = bool(self._fresh)
        self._fresh.clear()
        return self._cursor > before and not rest

    async def _chunk(self) -> tuple[Chunk, int]:
        """What comes next in the log, and the batch up to which it is that."""
        chunk = self._mapper.chunk()
        last = self._cursor
        looked = taken = 0
        while chunk.size < self._limits.chunk_entries and taken < self._limits.chunk_bytes:
            batches = await self._read(last)
            for batch in batches:
                for _ in chunk.fill(batch):
                    if chunk.size - looked >= LOOK:
                        looked = chunk.size
                        await self._live.quiet()
                last = batch.seq
                taken += len(batch.body)
            if not batches:
                break
        return chunk, last

    async def _publish(self, chunk: Chunk) -> None:
        """Publish what of a chunk is neither acknowledged nor waiting for it."""
        async with asyncio.TaskGroup() as publishing:
            for outgoing in chunk.outgoing(self._done):
                await self._window.enter()
                await self._live.quiet()
                publishing.create_task(self._publish_one(outgoing))

    async def _publish_one(self, outgoing: Outgoing) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            await self._deliver(outgoing)
            if self._acks is None:
                self._landed.append((outgoing.log, outgoing.marks))
        finally:
            self._window.leave(loop.time() - begun_s)

    def _done(self, log: Log) -> Collection[Mark]:
        known = self._live.acknowledged(log)
        sent = self._acks.sent(log) if self._acks else ()
        return {*known, *sent} if known and sent else known or sent

    async def _acknowledged(self, chunk: Chunk, acks: Acks) -> None:
        """Wait until the consumer has a chunk; what it leaves open is published again."""
        wait_s = self._limits.ack_timeout_s or 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await self._live.delivered(chunk.marks())
            _log.warning("%s: no acknowledgement for %g s; publishing again", self.name, wait_s)
            wait_s = min(2 * wait_s, max(self._limits.backoff_max_s, wait_s))
            acks.again()
            await self._publish(chunk)

    async def _live_lane(self) -> None:
        """Publish in bursts, of which each has one task and one wake-up."""
        if self._holds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.hold_s):
                    await self._even.wait()
            self._even.set()
        window = asyncio.Semaphore(LIVE_BURSTS)
        room = self._limits.live_window // LIVE_BURSTS
        async with asyncio.TaskGroup() as publishing:
            while True:
                outgoing = self._mapper.outgoing(await self._live.take())
                for at in range(0, len(outgoing), room):
                    await window.acquire()
                    publishing.create_task(self._deliver_live(outgoing[at : at + room], window))

    async def _incoming(self) -> None:
        while True:
            message = await self._port.receive()
            if self._acks is not None and self._mapper.is_ack(message.topic):
                try:
                    self._acks.take(message.payload)
                except Refused as refused:
                    self._refused(refused)
            else:
                await self._inbox.put(message)

    def _refused(self, refused: Refused) -> None:
        self._counters.count(f"acks.{refused.reason}")
        if refused.reason not in self._refusals:  # a consumer that errs does so each time
            self._refusals.add(refused.reason)
            _log.warning("%s: an acknowledgement is refused: %s", self.name, refused)

    async def _deliver_live(self, burst: Sequence[Outgoing], window: asyncio.Semaphore) -> None:
        try:
            await self._deliver(*burst)
            for each in burst:
                if self._acks is not None:
                    self._live.landed(each.log, each.marks)
                else:
                    self._live.acknowledge(each.log, each.marks)
        finally:
            window.release()

    async def _deliver(self, *burst: Outgoing) -> None:
        if self._acks is not None:  # before: the consumer may be quicker than the broker's ack
            for each in burst:
                self._acks.published(each.log, each.marks)
        if messages := [one for each in burst for one in each.messages]:
            await self._port.publish(*messages)

    async def _read(self, after: int) -> Sequence[Batch]:
        while True:
            try:
                return await self._journal.read(after, self._limits.read_entries, self.name)
            except StoreBlocked as error:
                _log.warning("%s: the log can't be read: %s", self.name, error)
                await asyncio.sleep(self._limits.backoff_min_s)


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
