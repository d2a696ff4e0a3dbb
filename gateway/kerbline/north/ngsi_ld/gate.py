"""When a lane may ask again: what the broker wished, its own back-off, and how often at most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from kerbline.north.backoff import Backoff

JITTER = 0.1  # of what a broker wished, on top of it
JITTER_S = (0.05, 5.0)  # at least and at most
FASTER = 0.95  # with each request that went; twice as slow with each that the broker put off
SLOWEST_S = 10.0
REST = 2.0  # times what a broker wished, on top: what is live is not shut out by a backlog alone
LONGEST_REST_S = 120.0


class Gate:
    """Shut for all lanes until a time that the broker named: one wish, one broker."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._until_s = 0.0
        self.back_s = 0.0  # when a lane last got through again
        self._back = asyncio.Event()

    def shut(self, after_s: float) -> None:
        """Nothing goes for so long, and a little more so that gateways don't come back as one."""
        spread_s = min(max(after_s * JITTER, JITTER_S[0]), JITTER_S[1])
        until_s = asyncio.get_running_loop().time() + after_s + spread_s * self._random()
        self._until_s = max(self._until_s, until_s)

    def back(self) -> None:
        """A lane got through after it had failed: who waits by a back-off may look again."""
        self.back_s = asyncio.get_running_loop().time()
        self._back.set()
        self._back = asyncio.Event()

    async def passed(self, not_before_s: Callable[[], float] = lambda: 0.0) -> None:
        """Wait until it is open, and the lane's own time has come."""
        loop = asyncio.get_running_loop()
        while (wait_s := max(self._until_s, not_before_s()) - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):  # and it may be shut for longer meanwhile
                async with asyncio.timeout(wait_s):
                    await self._back.wait()


class Lane:
    """One lane's way through the gate: its back-off, and at most `a_second` requests."""

    def __init__(
        self,
        gate: Gate,
        backoff_s: tuple[float, float],
        random: Callable[[], float],
        a_second: float = 0.0,
    ) -> None:
        """`a_second` 0: as many as there are."""
        self._gate = gate
        self._backoff = Backoff(*backoff_s, random)
        self._least_s = 1.0 / a_second if a_second else 0.0
        self._apart_s = self._least_s
        self._not_before_s = 0.0
        self._failed_s = -1.0  # when, if nothing went since

    async def passed(self) -> None:
        """Wait for this lane's next request."""
        await self._gate.passed(self._own_s)
        if self._apart_s:
            self._not_before_s = asyncio.get_running_loop().time() + self._apart_s

    async def shut_since(self) -> None:
        """Wait where the gate was shut after this lane's request had its time."""
        await self._gate.passed()

    def went(self) -> None:
        """The broker took something."""
        if self._failed_s >= 0:
            self._failed_s = -1.0
            self._gate.back()
        self._backoff.reset()
        self._apart_s = max(self._least_s, self._apart_s * FASTER)

    def failed(self, after_s: float | None = None) -> float:
        """Try again after what the broker wished, else by the back-off; how long that is."""
        self._failed_s = asyncio.get_running_loop().time()
        if after_s is not None:
            self._gate.shut(after_s)
            if self._least_s:  # or what is live would wait with us, again and again
                self._apart_s = min(self._apart_s * 2, SLOWEST_S)
                rest_s = min(after_s * REST, LONGEST_REST_S)
                self._not_before_s = asyncio.get_running_loop().time() + after_s + rest_s
            if after_s >= 1:
                return after_s
        wait_s = self._backoff.next_s()
        self._not_before_s = asyncio.get_running_loop().time() + wait_s
        return wait_s

    def _own_s(self) -> float:
        """Before when this lane does not go; what is newest does not wait where history goes."""
        is_back = 0 <= self._failed_s < self._gate.back_s
        return 0.0 if is_back and not self._least_s else self._not_before_s
