"""What the agent needs of a sink, and a sink of the durable log; a sink is one file beside this.

Every sink has its own cursor, task and back-off, so a dead one holds up no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kerbline.model import Entry, NodeState
from kerbline.store import Batch, Committed


class Inlet(Protocol):
    """Who is told what comes into the log."""

    def offer(self, entry: Entry) -> None:
        """An entry that is not durable yet: deliver it at once, or wait for it in the log."""

    def log_grew(self, committed: Committed | None = None) -> None:
        """Something was committed, and what, if the caller has it at hand."""


class Sink(Inlet, Protocol):
    """Delivers the log somewhere, each entry at least once and in the log's order or by key."""

    @property
    def name(self) -> str:
        """Under which the store keeps its cursor: never another's, and the same at each start."""

    @property
    def cursor(self) -> int:
        """The batch up to which the other side has everything, safe from a power cut."""

    @property
    def connected(self) -> bool:
        """Does the other side take entries now?"""

    async def run(self) -> None:
        """Deliver until cancelled; an outage is said once and tried again, never raised."""

    async def close(self) -> None:
        """Let go of the other side in order, without hanging; after `run` was cancelled."""


class Display(Protocol):
    """Who tells the city how each node is."""

    def show(self, state: NodeState) -> None:
        """How a node is; nothing where that is known."""


class Journal(Protocol):
    """What a sink needs of the durable log."""

    async def read(self, after: int, limit: int, sink: str = "") -> Sequence[Batch]:
        """The batches after `after`, until they have `limit` entries; raises StoreBlocked.

        With its name a sink also gets what it is to deliver again.
        """

    def save_cursor(self, sink: str, seq: int) -> None:
        """Note that `sink` has delivered all up to batch `seq`."""
