"""A meter's reed contact: closes once a pulse, and bounces for a millisecond or two.

A closing counts behind `bounce_ms` without an edge. An interrupt that comes late (flash is written
for 0.3 s) may find the contact open again: that was a pulse where a look had seen it rest open,
else the last one's bounces. So nothing is lost or invented of a contact that is open for 0.4 s.
"""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kerbnode.hal.board import Edges

TICKS = 0x3FFF_FFFF  # time.ticks_ms() goes round


def _host_ms() -> int:
    return time.time_ns() // 1_000_000


class Reed:
    """Pulses since the last look; one is `litres_per_pulse` / `pulses_per_litre` litres."""

    def __init__(
        self,
        contact: "Edges",
        pulses_per_litre: int = 1,
        litres_per_pulse: int = 1,
        bounce_ms: int = 10,
        ticks: "Callable[[], int] | None" = None,
    ):
        self.weight = litres_per_pulse, pulses_per_litre
        self._contact = contact
        self._bounce_ms = bounce_ms
        known: "Any" = ticks or getattr(time, "ticks_ms", _host_ms)
        self._ticks: "Callable[[], int]" = known
        self._edge_ms = self._ticks()
        self._closed = not contact.value()  # to ground
        self._odd_ms = -1  # the last edge, by when a look found what it had not told
        self._rested = True  # a look found it at rest since the last edge
        self._new = 0
        contact.irq(self._edge)

    def take(self) -> int:
        """New pulses. What two looks find and no edge told was dropped: eight wait at most."""
        closed = not self._contact.value()
        if closed == self._closed:
            self._odd_ms = -1
            self._rested = (self._ticks() - self._edge_ms) & TICKS >= self._bounce_ms
        elif self._odd_ms == self._edge_ms:
            self._new += closed
            self._closed = closed
        else:
            self._odd_ms = self._edge_ms
        new = self._new
        self._new -= new
        return new

    def _edge(self, contact: "Edges") -> None:
        now = self._ticks()
        closed = not contact.value()
        if not self._closed and (closed or self._rested):
            if (now - self._edge_ms) & TICKS >= self._bounce_ms:
                self._new += 1
        self._edge_ms = now
        self._rested = False
        self._closed = closed
