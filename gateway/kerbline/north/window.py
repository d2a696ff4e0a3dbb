"""How many messages of a backlog are under way at a time: as many as the way takes, no queue."""

from __future__ import annotations

import asyncio

A_SECOND = 2_000  # messages of a backlog: no broker is asked for more
LEAST = 2


class Window:
    """Room for messages that wait for their acknowledgement.

    What is live waits behind those of the backlog that came before it, in the socket and in the
    broker. So there are only as many as a broker at A_SECOND has acknowledged in the shortest time
    that one took: two or three on the same machine, `most` on a line with 10 ms.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = LEAST
        self._inside = 0
        self._shortest_s = float("inf")
        self._left = asyncio.Event()

    async def enter(self) -> None:
        """Wait for room."""
        while self._inside >= self._room:
            self._left.clear()
            await self._left.wait()
        self._inside += 1

    def leave(self, took_s: float) -> None:
        """Make room for the next; this one took so long."""
        self._inside -= 1
        self._left.set()
        if took_s < self._shortest_s:
            self._shortest_s = took_s
            self._room = max(LEAST, min(self._most, 1 + int(took_s * A_SECOND)))
