"""UTC as far as the node knows it: the last accepted offer, and a doubt that grows with drift.

A node has no battery-backed clock. Time since boot is exact enough for everything but the date.
"""

from kerbwire.messages import ANCHOR_ZERO_S

DRIFT_PPM = 50  # an ESP32's crystal over its whole temperature range, with ageing
LOST_MS = 600_000  # a doubt above this is worse than the night's middle learnt from light
JUMP_MS = 300_000  # an offer that moves the clock by more is worth an event
ANCHOR_GAIN_MS = 1000  # what a new anchor has to know better than the last one
UNCERTAINTY_MAX_MS = (1 << 31) - 1


class Clock:
    """UTC of monotonic instants; both in milliseconds, `now` is always the monotonic one."""

    __slots__ = ("_anchored", "_at_ms", "_uncertainty_ms", "_utc_ms", "trusted")

    def __init__(self) -> None:
        self._utc_ms: int | None = None
        self._at_ms = 0
        self._uncertainty_ms = 0
        self._anchored: tuple[int, int, int] | None = None  # UTC, when, uncertainty, all ms
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

    def anchor(self, uptime_ms: int, now: int) -> "tuple[int, int, int, int] | None":
        """An anchor's values for this uptime, if it would tell more than the last one of this boot.

        (ms of uptime, s since 2000, ms, uncertainty in ms)
        """
        utc_ms = self.utc_ms(now)
        if utc_ms is None or utc_ms < 1000 * ANCHOR_ZERO_S:
            return None
        doubt_ms = self.uncertainty_ms(now)
        if self._anchored is not None:
            before_ms, at_ms, then_ms = self._anchored
            old_ms = then_ms + (now - at_ms) * DRIFT_PPM // 1_000_000
            agree = abs(utc_ms - before_ms - (now - at_ms)) <= old_ms + doubt_ms
            if agree and old_ms < doubt_ms + ANCHOR_GAIN_MS:
                return None
        self._anchored = (utc_ms, now, doubt_ms)
        seconds = utc_ms // 1000 - ANCHOR_ZERO_S
        return uptime_ms % 1000, seconds, utc_ms % 1000, min(doubt_ms, UNCERTAINTY_MAX_MS)

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
