"""A broker in memory, which can be away, refuse to acknowledge, and die."""

from __future__ import annotations

import asyncio

from kerbline.north.port import Message, NotConnected


class MemoryPort:
    """A `Port` whose every message is at hand; `up` and `acking` are the broker's moods."""

    def __init__(self) -> None:
        self.up = True
        self.acking = True
        self.tries = 0
        self.published: list[Message] = []
        self.slow: dict[str, asyncio.Event] = {}  # topics that are acknowledged when it is set
        self.in_flight = 0
        self.most_in_flight = 0
        self.changed = asyncio.Event()
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._lost = asyncio.Event()

    async def connect(self) -> None:
        """Connect when the broker is up."""
        self.tries += 1
        self._tell()
        if not self.up:
            raise NotConnected("away")
        self._lost = asyncio.Event()

    async def publish(self, *messages: Message) -> None:
        """Take the messages; acknowledge them when in the mood."""
        self._check()
        self.published += messages
        self.in_flight += len(messages)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._tell()
        try:
            await asyncio.sleep(0)
            for held in {self.slow[each.topic] for each in messages if each.topic in self.slow}:
                await held.wait()
            if not self.acking:
                await self._lost.wait()
            self._check()
        finally:
            self.in_flight -= len(messages)

    async def receive(self) -> Message:
        """The next message, or the loss of the connection."""
        taking = asyncio.ensure_future(self.incoming.get())
        losing = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((taking, losing), return_when=asyncio.FIRST_COMPLETED)
            self._check()
            return taking.result()
        finally:
            taking.cancel()
            losing.cancel()

    async def close(self) -> None:
        """Disconnect."""
        self._lost.set()

    def die(self) -> None:
        """The broker is gone and stays away until `up`."""
        self.up = False
        self._lost.set()

    async def until(self, count: int) -> None:
        """Wait until `count` messages were published, or `count` connections tried."""
        while len(self.published) < count and self.tries < count:
            self.changed.clear()
            await self.changed.wait()

    def _tell(self) -> None:
        self.changed.set()

    def _check(self) -> None:
        if self._lost.is_set():
            raise NotConnected("lost")
