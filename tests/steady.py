"""An event loop whose clock stands still while this process does not run.

For a test whose two ends live in one process: a machine that stops it for seconds, or gives it a
fifth of a processor, stops both ends, and no time-out of one may pass for a silence of the other.
What waits for another process belongs in real time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import TypeVar

from kerbline.clock import Clock

Result = TypeVar("Result")

LONGEST_S = 0.02  # what one stretch of work counts at most: a stop is longer
PIECE_S = 0.01  # a wait is made of such pieces: so much of a stop within it counts
LATE_S = 0.005  # a piece that ends so late was interrupted: what came meanwhile goes first
LOOK_S = 0.02  # what a kernel that was stopped, too, may need to hand on what was written


class _Steady(selectors.SelectSelector):
    """Counts what the loop waited for, and of all other time LONGEST_S a stretch."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._seen_s = time.monotonic()

    def now_s(self) -> float:
        """The loop's time, from 0 on."""
        self._go_on(LONGEST_S)
        return self._now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready goes before the timer that was waited for."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        self._go_on(LONGEST_S)
        until_s = self._now_s + timeout
        found: list[tuple[selectors.SelectorKey, int]] = []
        while not found and self._now_s < until_s:
            left_s = until_s - self._now_s
            piece_s = min(left_s, PIECE_S)
            found = super().select(piece_s)
            if not found and time.monotonic() - self._seen_s > piece_s + LATE_S:
                found = super().select(LOOK_S)
            self._go_on(min(piece_s, max(left_s - LATE_S, 0.0)) if found else piece_s + LATE_S)
        return found

    def _go_on(self, longest_s: float) -> None:
        before_s, self._seen_s = self._seen_s, time.monotonic()
        self._now_s += min(self._seen_s - before_s, longest_s)


class SteadyLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` begins at 0."""

    def __init__(self) -> None:
        self._steady = _Steady()
        super().__init__(self._steady)

    def time(self) -> float:
        """Seconds that this process had."""
        return self._steady.now_s()


class SteadyClock(Clock):
    """The clock of a part of the gateway that runs in such a loop."""

    __slots__ = ("_began_ms",)

    def __init__(self) -> None:
        super().__init__()
        self._began_ms = super().utc_ms() - self.monotonic_ms()

    def utc_ms(self) -> int:
        """UTC, as if nobody had been stopped since this clock was made; ms."""
        return self._began_ms + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """The loop's time, ms."""
        return self.monotonic_us() // 1_000

    def monotonic_us(self) -> int:
        """The loop's time, us."""
        return int(asyncio.get_running_loop().time() * 1_000_000)


def run(main: Coroutine[object, object, Result]) -> Result:
    """`asyncio.run` in steady time."""
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        return runner.run(main)
