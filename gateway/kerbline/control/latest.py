"""The latest time that was seen, and what a clock is worth that stands behind it.

A clock that was not set yet comes right by itself; until then nothing is to be concluded. One that
stays behind for hours is right, and what went before it was the error.
"""

from __future__ import annotations

from dataclasses import dataclass

HOUR_MS = 3_600_000
PATIENCE_MS = 6 * HOUR_MS


@dataclass(slots=True)
class Latest:
    """Street time, ms since 1970; -1 for none."""

    seen_ms: int = -1
    behind_ms: int = -1  # since when, by its own account, a clock has been behind

    def is_behind(self, now_ms: int) -> bool:
        """Is it an hour earlier than it was already?"""
        if now_ms >= self.seen_ms - HOUR_MS:
            self.seen_ms = max(self.seen_ms, now_ms)
            self.behind_ms = -1
            return False
        if not 0 <= self.behind_ms <= now_ms:
            self.behind_ms = now_ms
        return True

    def was_wrong(self, now_ms: int) -> bool:
        """Has a clock been behind for so long that it is right? Time begins anew then."""
        if self.behind_ms < 0 or now_ms - self.behind_ms < PATIENCE_MS:
            return False
        self.seen_ms, self.behind_ms = now_ms, -1
        return True
