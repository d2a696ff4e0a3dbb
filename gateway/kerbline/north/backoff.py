"""How long to wait before the next try: exponential with full jitter."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Doubles its ceiling from `min_s` to `max_s`; `random` gives numbers in [0, 1)."""

    def __init__(self, min_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._random = random
        self._ceiling_s = min_s

    def next_s(self) -> float:
        """The next wait: anything up to the ceiling, so that gateways don't come back as one."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self._max_s, ceiling_s * 2)
        return ceiling_s * self._random()

    def reset(self) -> None:
        """Start over, after a stable time."""
        self._ceiling_s = self._min_s
