"""Reads a month off those before: a clock was wrong, or nobody read for as long.

Nobody knows which, so a district begins with them as a new one and the one of before is kept. If
the clock comes back it goes on; where the new one has seen some days it was no clock.
"""

from __future__ import annotations

from collections.abc import Callable

from kerbline.control.leaks.district import District

DAY_MS = 86_400_000
FAR_MS = 30 * DAY_MS
DOUBT_MS = 3 * DAY_MS


class Leap:
    """Which one of a zone's districts a read belongs to; a function of the reads in their order."""

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self.aside: District | None = None  # of before, while nobody knows

    def of(
        self, one: District, at_ms: int, came_ms: int, fresh: Callable[[], District]
    ) -> District:
        """That of a read that was observed at `at_ms` and came when our clock said `came_ms`."""
        before = self.aside
        if before is not None and not self._is_far(before, came_ms, came_ms):
            self.aside = None
            return before
        has_lasted = one.lasted * self._step_ms >= DOUBT_MS
        if has_lasted:
            self.aside = None
        if not self._is_far(one, at_ms, came_ms):
            return one
        if has_lasted:
            self.aside = one
        return fresh()

    def _is_far(self, one: District, at_ms: int, came_ms: int) -> bool:
        """Late reads of long ago come now, so only our own clock can go back."""
        if one.first < 0:
            return False
        newest_ms = max(one.first, one.newest) * self._step_ms
        return at_ms > newest_ms + FAR_MS or came_ms < one.first * self._step_ms - FAR_MS
