"""Messages of a simulated street, by way of the gateway: late, lost, and sent again.

From lamp to lamp is `latency_ms`, half of it each way; each copy of each half is lost by `loss`.
What is urgent goes out again in short order, then as the link sends any frame again.
"""

from __future__ import annotations

from math import ceil, log
from random import Random

from kerbwire.limits import COPIES, COPY_MS

AGAIN_MS = 1000  # between those that follow the copies


class Line:
    """One way of all messages, with its own chance."""

    def __init__(self, latency_ms: float, loss: float, chance: Random):
        self._half_ms = latency_ms / 2
        self._loss = loss
        self._log = log(loss) if 0 < loss < 1 else -1.0
        self._chance = chance

    def arrival_ms(self, sent_ms: int) -> int | None:
        """When the first copy is there that is not lost; None: never."""
        late_ms = self._half_ms
        if self._loss >= 1:
            return None
        if self._loss > 0:
            copy = int(log(1.0 - self._chance.random()) / self._log)  # geometric
            late_ms += COPY_MS * min(copy, COPIES) + AGAIN_MS * max(0, copy - COPIES)
        return sent_ms + ceil(late_ms)
