"""What a campaign needs of whoever speaks with the nodes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Carrier(Protocol):
    """The links of all nodes; a simulation has one of its own."""

    def knows(self, node: str) -> bool:
        """Is it a node of this gateway's still?"""

    def there(self) -> set[str]:
        """Whose sessions are heard now."""

    def away(self) -> Collection[str]:
        """Whose line has been lost since this was asked last, or leads nowhere now."""

    def heard_ms(self, node: str) -> int:
        """When a node was last heard at all, by a clock of its own; 0: never."""

    def board(self, node: str) -> str:
        """The board of a node, "" until it told."""

    def offer(self, node: str, kind: int, data: bytes) -> None:
        """Offer an object, in the place of one before."""

    def drop(self, node: str) -> None:
        """Offer no more what was offered."""

    def progress(self, node: str) -> tuple[int, int] | None:
        """The block that was wanted last and how many there are, where something is offered."""

    def activate(self, node: str, expires_at_ms: int) -> bool:
        """Order a node to start what it has staged; False where that can't be sent."""
