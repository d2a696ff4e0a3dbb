"""What an outbox needs of the form in which a broker wants its messages: one protocol, no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kerbline.model import CommandResult, Entry, NodeState
from kerbline.north.live import Log, Mark
from kerbline.north.port import Message
from kerbline.store import Batch


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages that together deliver the entries `marks` of one log.

    None of either: no entry for a command's result; no message where a dialect has no word for it.
    """

    messages: tuple[Message, ...]
    log: Log = ("", 0)
    marks: Sequence[Mark] = ()

    @property
    def message(self) -> Message:
        """The first; raises IndexError where there is none."""
        return self.messages[0]


class Chunk(Protocol):
    """Entries of the log on their way."""

    @property
    def size(self) -> int:
        """How many."""

    def fill(self, batch: Batch) -> Iterator[None]:
        """Take what is in a batch, some of it each time that the next is asked for."""

    def marks(self) -> Iterable[tuple[Log, Collection[Mark]]]:
        """All that is in it."""

    def outgoing(
        self, done: Callable[[Log], Collection[Mark]] = lambda _: ()
    ) -> Iterator[Outgoing]:
        """Messages with all but what is `done`, each made when it is asked for."""


class Dialect(Protocol):
    """From what the gateway knows to messages. Pure, but for what it remembers of what it made."""

    def outgoing(self, entries: Iterable[Entry]) -> Sequence[Outgoing]:
        """Entries as messages."""

    def chunk(self) -> Chunk:
        """Room for entries that share messages."""

    def result(self, result: CommandResult) -> Outgoing:
        """What became of a command."""

    def status(self, state: str, at_ms: int | None) -> Message:
        """Whether the gateway is there: "online" or "offline"; a will can't know when."""

    def state(self, state: NodeState) -> Message:
        """Whether a node is there, and what runs on it."""

    def is_ack(self, topic: str) -> bool:
        """Does a consumer acknowledge here?"""
