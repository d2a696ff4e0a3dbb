"""One object on its way to a node, a block at a time, so that its line stays free for others.

Live readings and commands go before blocks anyway: the engine sees to that. This module sees to it
that blocks take no more than their share of a line's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from kerbwire.gateway import GatewaySession
from kerbwire.limits import BLOCK_BYTES, OBJECT_HASH_BYTES

BLOCK_ROUND_BYTES = 60  # heads and tag of a block, its WANT, the POLL that asks for that
SLOW_BLOCK_MS = 250  # a block that takes longer goes over a slow link, whatever its line's rate is
LONGEST_PAUSE_MS = 60_000  # then; one that was lost in an outage is no measure of the link


class Pace:
    """When the next block may go on a line: blocks take `share` of its time."""

    def __init__(self, bytes_per_s: float, share: float) -> None:
        self._share = share
        self._per_ms = bytes_per_s * share / 1000
        self._free_ms = 0.0

    def block_ms(self, block_bytes: int) -> float:
        """What a block takes of it where nobody else sends any."""
        return (block_bytes + BLOCK_ROUND_BYTES) / self._per_ms

    def wait_ms(self, block_bytes: int, now_ms: int) -> float:
        """Take the next place for a block; how long it is until then."""
        begin_ms = max(self._free_ms, now_ms)
        self._free_ms = begin_ms + self.block_ms(block_bytes)
        return begin_ms - now_ms

    def pause_ms(self, took_ms: float) -> float:
        """How long a link is left to others whose last block took so long."""
        if took_ms <= SLOW_BLOCK_MS:
            return 0
        return min(took_ms * (1 / self._share - 1), LONGEST_PAUSE_MS)


@dataclass(frozen=True, slots=True)
class Carrying:
    """How far an object is: `index` of so many `blocks` was wanted last.

    `left_s`: at the pace so far, or of the line where there is none yet.
    """

    index: int
    blocks: int
    left_s: int


class Cargo:
    """Offers `data` to one node and gives its blocks."""

    def __init__(
        self,
        session: GatewaySession,
        handle: int,
        kind: int,
        data: bytes,
        pace: Pace,
        now_ms: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called when there is something to send."""
        self.digest = sha256(data).digest()[:OBJECT_HASH_BYTES]
        self._handle = handle
        self._session = session
        self._data = data
        self._pace = pace
        self._now_ms = now_ms
        self._changed = changed
        self._index = -1
        self._began: tuple[int, int] | None = None  # the first block that was wanted, and when
        self._given_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        session.objects.offer(handle, kind, self.digest, len(data), BLOCK_BYTES)
        changed()

    @property
    def carrying(self) -> Carrying:
        """How far it is."""
        blocks = -(-len(self._data) // BLOCK_BYTES)
        each_ms = self._pace.block_ms(BLOCK_BYTES)
        if self._began is not None and self._index > self._began[0]:
            each_ms = (self._now_ms() - self._began[1]) / (self._index - self._began[0])
        return Carrying(self._index, blocks, round((blocks - max(0, self._index)) * each_ms / 1000))

    def wanted(self, index: int) -> None:
        """The node wants that block: it goes when it is this line's time."""
        now_ms = self._now_ms()
        block = self._data[BLOCK_BYTES * index : BLOCK_BYTES * (index + 1)]
        wait_ms = self._pace.wait_ms(len(block), now_ms)
        if self._given_ms is not None:
            wait_ms = max(wait_ms, self._pace.pause_ms(now_ms - self._given_ms))
        self._index = index
        if self._began is None:
            self._began = (index, now_ms)
        self.stop()
        if wait_ms < 1:
            self._give(index, block)
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_ms / 1000, self._give, index, block)

    def stop(self) -> None:
        """No block goes any more until one is wanted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self, index: int, block: bytes) -> None:
        self._timer = None
        self._given_ms = self._now_ms()
        self._session.objects.give(self._handle, index, block)
        self._changed()
