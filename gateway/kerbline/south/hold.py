"""What is on its way to one node: one object at a time."""

from __future__ import annotations

import os
from collections.abc import Callable

from kerbline.south.cargo import Cargo, Carrying, Pace
from kerbwire.gateway import GatewaySession

# One after the other, from any on: a late word of the object before is none of this one, and what a
# node remembers as done, of a gateway that was killed since, does not stand for an offer anew.
HANDLES = 256


class Hold:
    """Takes in one object in the place of another, each with a handle of its own.

    One that was let go before the node had done with it keeps its handle for the next.
    """

    __slots__ = ("_cargo", "_changed", "_handle", "_now_ms", "_session")

    def __init__(
        self, session: GatewaySession, now_ms: Callable[[], int], changed: Callable[[], None]
    ) -> None:
        """`changed` is called when there is something to send."""
        self._session = session
        self._now_ms = now_ms
        self._changed = changed
        self._cargo: Cargo | None = None
        self._handle = os.urandom(1)[0]  # of what is offered next, or was last

    @property
    def carrying(self) -> Carrying | None:
        """How far the object is that is on its way there."""
        return None if self._cargo is None else self._cargo.carrying

    def load(self, kind: int, data: bytes, pace: Pace) -> None:
        """Offer an object in the place of one before, and give its blocks."""
        self._let_go()
        self._cargo = Cargo(
            self._session, self._handle, kind, data, pace, self._now_ms, self._changed
        )

    def withdraw(self) -> None:
        """What was offered is offered no more; what came of it stays with the node."""
        if self._cargo is not None:
            self._let_go()
            self._session.objects.withdraw(self._handle)
            self._end()
            self._changed()

    def wanted(self, handle: int, index: int) -> None:
        """The node wants that block."""
        if self._cargo is not None and handle == self._handle:
            self._cargo.wanted(index)

    def sent(self, handle: int) -> bytes | None:
        """The node has it all, or declines it: the digest, None for none that is carried."""
        if self._cargo is None or handle != self._handle:
            return None
        digest = self._cargo.digest
        self._let_go()
        self._end()
        return digest

    def _let_go(self) -> None:
        if self._cargo is not None:
            self._cargo.stop()
            self._cargo = None

    def _end(self) -> None:
        self._handle = (self._handle + 1) % HANDLES
