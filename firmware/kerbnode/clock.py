"""UTC as far as the node knows it: the last accepted offer, and a doubt that grows with drift.

A node has no battery-backed clock. Time since boot is exact enough for everything but the date.
"""

DRIFT_PPM = 50  # an ESP32's crystal over its whole temperature range, with ageing
LOST_MS = 600_000  # a doubt above this is worse than the night's middle learnt from light
JUMP_MS = 300_000  # an offer that moves the clock by more is worth an event


class Clock:
    """UTC of monotonic instants; both in milliseconds, `now` is always the monotonic one."""

    __slots__ = ("_at_ms", "_uncertainty_ms", "_utc_ms", "trusted")

    def __init__(self) -> None:
        self._utc_ms: int | None = None
        self._at_ms = 0
        self._uncertainty_ms = 0
        self.trusted = False  # an offer was accepted in this session

    def offer(self, utc_ms: int, uncertainty_ms: int, now: int) -> int:
        """Take an offer that is surer than our own idea, or contradicts it; the jump in seconds.

        The jump is 0 unless the clock moved by more than JUMP_MS.
        """
        self.trusted = True
        ours = self.utc_ms(now)
        moved = 0
        if ours is not None:
            doubt = self.uncertainty_ms(now)
            moved = utc_ms - ours
            if uncertainty_ms > doubt and abs(moved) <= uncertainty_ms + doubt:
                return 0
        self._utc_ms = utc_ms
        self._at_ms = now
        self._uncertainty_ms = uncertainty_ms
        return _seconds(moved) if abs(moved) > JUMP_MS else 0

    def utc_ms(self, now: int) -> "int | None":
        """UTC, or None before the first offer."""
        return None if self._utc_ms is None else self._utc_ms + now - self._at_ms

    def uncertainty_ms(self, now: int) -> int:
        """Half the width of the interval around utc_ms."""
        return self._uncertainty_ms + (now - self._at_ms) * DRIFT_PPM // 1_000_000

    def known_ms(self, now: int) -> "int | None":
        """UTC for the schedule: None also when the doubt has grown too large."""
        return None if self.uncertainty_ms(now) > LOST_MS else self.utc_ms(now)


def _seconds(span_ms: int) -> int:
    return span_ms // 1000 if span_ms >= 0 else -(-span_ms // 1000)
