"""What a bus found, handed out a tick at a time to the one who takes it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from kerbline.south.measured import Measured

QUEUE_BOUND = 256  # polls nobody took; then polling waits: a poll not made is no reading lost


class Burst:
    """Collects for up to `wait_s`, so that one wake-up serves a whole tick."""

    __slots__ = ("_first_s", "_found", "_released", "_taker", "_wait_s")

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._found: list[Measured] = []
        self._first_s = 0.0  # when the first of them came
        self._released = False
        self._taker: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """No more is to be found until somebody has taken."""
        return len(self._found) >= QUEUE_BOUND

    def add(self, found: Iterable[Measured], now_s: float) -> None:
        """Something was found."""
        if not self._found:
            self._first_s = now_s
        self._found += found

    def settle(self, now_s: float, *, over: bool) -> float:
        """Hand out what is there when the tick is over, or has lasted; when to look again."""
        if not self._found or self._released:
            return math.inf
        late_s = self._first_s + self._wait_s
        if not over and late_s > now_s and not self.full:
            return late_s
        self.release()
        return math.inf

    def release(self) -> None:
        """Hand out what is there now."""
        self._released = True
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    async def next(self) -> list[Measured]:
        """What was handed out since the last call; waits for it."""
        while not self._released:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
        found, self._found = self._found, []
        self._released = False
        return found
