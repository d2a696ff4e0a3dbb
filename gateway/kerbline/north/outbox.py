"""Delivers the durable log to one broker, at least once, beside what is live now.

Two lanes: the live lane publishes an entry the moment it came; the durable lane follows the log
from its cursor and leaves out what the broker acknowledged already. What else goes by: the
results of commands, the gateway's status, and the messages that come in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kerbline.model import CommandResult, Entry, Gap
from kerbline.north.backoff import Backoff
from kerbline.north.live import Live
from kerbline.north.mapping import Mapper, Outgoing
from kerbline.north.port import Message, NotConnected, Port
from kerbline.store import Batch, StoreBlocked

MAX_INBOX = 64
CLOSE_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class Journal(Protocol):
    """What the outbox needs of the durable log."""

    async def read(self, after: int, limit: int) -> Sequence[Batch]:
        """The batches after `after`, until they have `limit` entries."""

    def save_cursor(self, sink: str, seq: int) -> None:
        """Note that `sink` has delivered all up to batch `seq`."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bounds of one outbox. Both windows together stay below the 20 that brokers allow."""

    window: int = 12  # messages of the durable lane without an acknowledgement
    live_window: int = 6
    read_entries: int = 2_000  # taken from the log at a time
    live_entries: int = 1_000  # waiting in the live lane; the durable lane has the rest
    acked_keys: int = 20_000
    results: int = 256  # waiting for the broker; the oldest go, their senders may ask again
    backoff_min_s: float = 1.0
    backoff_max_s: float = 300.0
    stable_s: float = 60.0  # a connection that lasted so long resets the back-off


class Outbox:
    """One sink of the log. `run` is its task; it ends by cancellation only."""

    def __init__(
        self,
        sink: str,
        port: Port,
        journal: Journal,
        mapper: Mapper,
        *,
        cursor: int,
        utc_ms: Callable[[], int],
        random: Callable[[], float],
        limits: OutboxLimits | None = None,
    ) -> None:
        self._sink = sink
        self._port = port
        self._journal = journal
        self._mapper = mapper
        self._cursor = cursor
        self._utc_ms = utc_ms
        self._limits = limits = limits or OutboxLimits()
        self._backoff = Backoff(limits.backoff_min_s, limits.backoff_max_s, random)
        self._live = Live(limits.live_entries, limits.acked_keys)
        self._results: deque[Outgoing] = deque(maxlen=limits.results)
        self._results_came = asyncio.Event()
        self._log_grew = asyncio.Event()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(MAX_INBOX)
        self.connected = False

    @property
    def cursor(self) -> int:
        """The batch up to which the broker has everything."""
        return self._cursor

    def offer(self, entry: Entry) -> None:
        """Publish at once if there is a connection and room; the log delivers it anyhow."""
        self._live.offer(entry)

    def log_grew(self) -> None:
        """Something was committed: the durable lane has work."""
        self._log_grew.set()

    def tell(self, result: CommandResult) -> None:
        """Publish what became of a command, when there is a connection."""
        self._results.append(self._mapper.result(result))
        self._results_came.set()

    async def received(self) -> Message:
        """The next message from the broker."""
        return await self._inbox.get()

    async def run(self) -> None:
        """Connect, deliver, and again when the connection breaks."""
        said = ""
        while True:
            reason = await self._connection()
            if reason != said:  # an outage of a night is one line, not a thousand
                _log.warning("%s: %s; trying again", self._sink, reason)
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
        _log.info("%s: connected", self._sink)
        reason = await self._lanes()
        if loop.time() - began >= self._limits.stable_s:
            self._backoff.reset()
        await self._port.close()
        return reason

    async def _lanes(self) -> str:
        reason = ""
        self.connected = True
        self._live.open()
        try:
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._durable_lane())
                lanes.create_task(self._live_lane())
                lanes.create_task(self._result_lane())
                lanes.create_task(self._incoming())
        except* NotConnected as lost:
            reason = str(_first_leaf(lost))
        finally:
            self.connected = False
            self._live.shut()
        return reason

    async def _durable_lane(self) -> None:
        window = asyncio.Semaphore(self._limits.window)
        while True:
            self._log_grew.clear()
            batches = await self._read()
            if not batches:
                await self._log_grew.wait()
                continue
            entries = [entry for batch in batches for entry in batch.entries]
            keys = {entry.key for entry in entries if not isinstance(entry, Gap)}
            await self._live.settled(keys)
            rest = [entry for entry in entries if not self._has(entry)]
            async with asyncio.TaskGroup() as publishing:
                for outgoing in self._mapper.outgoing(rest):
                    await window.acquire()
                    publishing.create_task(self._deliver(outgoing, window))
            self._cursor = batches[-1].seq
            self._journal.save_cursor(self._sink, self._cursor)
            self._live.forget(keys)

    async def _live_lane(self) -> None:
        window = asyncio.Semaphore(self._limits.live_window)
        async with asyncio.TaskGroup() as publishing:
            while True:
                for outgoing in self._mapper.outgoing(await self._live.take()):
                    await window.acquire()
                    publishing.create_task(self._deliver(outgoing, window))

    async def _result_lane(self) -> None:
        while True:
            self._results_came.clear()
            while self._results:
                result = self._results[0]
                await self._port.publish(result.message)
                if self._results and self._results[0] is result:  # else it was pushed out meanwhile
                    self._results.popleft()
            await self._results_came.wait()

    async def _incoming(self) -> None:
        while True:
            await self._inbox.put(await self._port.receive())

    async def _deliver(self, outgoing: Outgoing, window: asyncio.Semaphore) -> None:
        try:
            await self._port.publish(outgoing.message)
            self._live.acknowledge(outgoing.keys)
        finally:
            window.release()

    async def _read(self) -> Sequence[Batch]:
        while True:
            try:
                return await self._journal.read(self._cursor, self._limits.read_entries)
            except StoreBlocked as error:
                _log.warning("%s: the log can't be read: %s", self._sink, error)
                await asyncio.sleep(self._limits.backoff_min_s)

    def _has(self, entry: Entry) -> bool:
        """Has the broker acknowledged it already?"""
        return not isinstance(entry, Gap) and self._live.acknowledged(entry.key)


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
