"""What the outbox needs of a broker, whatever the protocol: four methods and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kerbline.errors import KerblineError


class NorthError(KerblineError):
    """Base of the errors of delivery."""

    code = "north"


class NotConnected(NorthError):
    """The broker can't be reached, refused us, or the connection broke; connect again."""

    code = "not_connected"


@dataclass(frozen=True, slots=True)
class Message:
    """A message from or for the broker."""

    topic: str
    payload: bytes
    retained: bool = False


class Port(Protocol):
    """One connection to a broker, made again and again by `connect`."""

    async def connect(self) -> None:
        """Connect and subscribe; raises NotConnected."""

    async def publish(self, *messages: Message) -> None:
        """Return when the broker has taken charge of all of these; raises NotConnected.

        Several calls may be in flight; the connection's loss ends all of them at once.
        """

    async def receive(self) -> Message:
        """The next message of a subscription; raises NotConnected when the connection is lost."""

    async def close(self) -> None:
        """Disconnect in order, or let go of a dead connection; never raises, never hangs."""
