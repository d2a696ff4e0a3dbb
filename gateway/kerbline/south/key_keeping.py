"""The keys of one node that its session came to, until the disk has them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from kerbline.keys import KeyFault, NodeKeys

RETRY_MS = 2000  # after the disk refused a key

log = logging.getLogger("kerbline.south")


class KeyKeeping:
    """Has the newest keys stored, again and again; a disk that refuses is told of once."""

    __slots__ = ("_durable", "_newest", "_node_id", "_now_ms", "_refused", "_retry_at_ms", "_store")

    def __init__(
        self, node_id: str, store: Callable[[NodeKeys], Awaitable[None]], now_ms: Callable[[], int]
    ) -> None:
        """`store` returns when they are durable, or raises KeyFault."""
        self._node_id = node_id
        self._store = store
        self._now_ms = now_ms
        self._newest: NodeKeys | None = None  # until `done`
        self._durable = False  # are they by now?
        self._retry_at_ms = 0
        self._refused = ""  # why the disk did not take them

    @property
    def due_ms(self) -> int | None:
        """When the disk is asked again, None while there is nothing to keep."""
        return None if self._newest is None else self._retry_at_ms

    async def take(self, keys: NodeKeys) -> None:
        """Newer ones: what came before them need not be durable any more."""
        self._newest = keys
        self._durable = False
        await self.settled()

    async def settled(self) -> bool:
        """Are there keys that the session does not know as durable, and that are?"""
        if self._newest is None or self._durable:
            return self._durable
        if self._now_ms() < self._retry_at_ms:
            return False
        try:
            await self._store(self._newest)
        except KeyFault as fault:
            if str(fault) != self._refused:
                name = self._node_id
                log.error("node %s: no session until its key can be kept: %s", name, fault)
            self._refused = str(fault)
            self._retry_at_ms = self._now_ms() + RETRY_MS
            return False
        self._refused = ""
        self._durable = True
        return True

    def done(self) -> None:
        """The session knows."""
        self._newest = None
        self._durable = False
