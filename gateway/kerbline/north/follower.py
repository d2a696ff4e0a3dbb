"""A sink that follows the log and hands it on in blocking calls: all but the delivery itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kerbline.model import Entry
from kerbline.north.backoff import Backoff
from kerbline.north.sink import Journal
from kerbline.store import Batch, Committed, StoreBlocked

READ_ENTRIES = 1_000
_log = logging.getLogger(__name__)


class Follower:
    """A `Sink` around `deliver`, which returns when its entries are safe, or raises OSError.

    It is called in a thread of its own: however long it hangs, it hangs alone.
    """

    connected = False

    def __init__(
        self,
        name: str,
        deliver: Callable[[Sequence[Entry]], None],
        journal: Journal,
        *,
        cursor: int,
        backoff: Backoff,
    ) -> None:
        self.name = name
        self.cursor = cursor
        self._deliver = deliver
        self._journal = journal
        self._backoff = backoff
        self._grew = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def offer(self, entry: Entry) -> None:
        """No live lane: an entry comes when it is durable."""

    def log_grew(self, _committed: Committed | None = None) -> None:
        """There is work."""
        self._grew.set()

    async def run(self) -> None:
        """Deliver what the log has, and again after a while when the other side refuses."""
        said = ""
        while True:
            self._grew.clear()
            try:
                if not await self._next():
                    await self._grew.wait()
                self._backoff.reset()
                said = ""
            except (OSError, StoreBlocked) as error:
                self.connected = False
                if str(error) != said:  # a night without a disk is one line
                    said = str(error)
                    _log.warning("%s: %s; trying again", self.name, said)
                await asyncio.sleep(self._backoff.next_s())

    async def close(self) -> None:
        """Do not wait for a call that hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self) -> bool:
        batches = await self._journal.read(self.cursor, READ_ENTRIES, self.name)
        if batches:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._hand_on, batches)
            self.cursor = batches[-1].seq
            self._journal.save_cursor(self.name, self.cursor)
            self.connected = True
        return bool(batches)

    def _hand_on(self, batches: Sequence[Batch]) -> None:
        self._deliver([entry for batch in batches for entry in batch.entries])
