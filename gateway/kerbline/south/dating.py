"""Dates a node's records: they carry the seconds since a boot, and the boot is anchored in time.

A record can't arrive before it was made, so the earliest "arrival - uptime" of a boot is the best
estimate of when it began. All times are street time, ms since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.clock import Clock
from kerbline.store import BOOTS_KEPT, Anchor

RESOLUTION_MS = 1_000  # of the uptime in a record
LINK_DELAY_MS = 100  # real time that a live frame may have been under way
DRIFT_PPM = 100  # of a node's crystal: how fast an old anchor loses its authority
CLOCK_STEP_MS = 1_000  # UTC against monotonic time: a larger change is a clock that was set
CLOCK_SET_BACK_MS = 3_600_000  # how far an operator may set it back below the newest commit
UNKNOWN_BOOT_MS = 30 * 86_400_000  # how far back a boot may lie that nobody heard of


class BootClock:
    """The boots of one node and when each began."""

    __slots__ = (
        "_anchors",
        "_clock",
        "_current",
        "_earliest_ms",
        "_fresh",
        "_offset_ms",
        "_renewed_ms",
    )

    def __init__(self, clock: Clock, anchors: Mapping[int, Anchor], earliest_ms: int = 0) -> None:
        """`earliest_ms`: real UTC that has surely passed; a clock before it is not set yet."""
        self._clock = clock
        self._earliest_ms = earliest_ms - CLOCK_SET_BACK_MS
        self._fresh: set[int] = set()  # boots whose anchor was made by this run's clock
        self._offset_ms = clock.utc_ms() - clock.monotonic_ms()
        self._anchors = dict(anchors)  # by boot id
        self._current = 0
        # What was known before a restart keeps its authority: an arrival now may be a late one.
        self._renewed_ms = clock.street_ms(clock.utc_ms())

    def hear(self, boot_id: int, uptime_s: int) -> Anchor | None:
        """The running boot is at least `uptime_s` old now: its anchor if that changed."""
        utc_ms = self._clock.utc_ms()
        self._current = boot_id
        if utc_ms < self._earliest_ms:
            return None
        stepped = self._mind_steps(utc_ms)
        now_ms = self._clock.street_ms(utc_ms)
        latest_ms = now_ms - RESOLUTION_MS * uptime_s
        known = self._anchors.get(boot_id)
        if known is not None:
            drift_ms = max(0, now_ms - self._renewed_ms) * DRIFT_PPM // 1_000_000
            if latest_ms >= known.street_ms + drift_ms:
                return known if stepped else None
        delay_ms = now_ms - self._clock.street_ms(utc_ms - LINK_DELAY_MS)
        # Any record's uptime hides up to a second, and the one just heard may have hidden none.
        anchor = Anchor(latest_ms, RESOLUTION_MS + delay_ms)
        if known is not None and not stepped and _surer(known, anchor):
            return None
        self._remember(boot_id, anchor)
        self._fresh.add(boot_id)
        self._renewed_ms = now_ms
        return anchor

    def tie(self, boot_id: int, uptime_ms: int, utc_ms: int, uncertainty_ms: int) -> Anchor | None:
        """A node's word: real UTC at that uptime, give or take so much. The anchor if that is news.

        A record's uptime is in whole seconds: it was made half a second after them, on average.
        """
        street_ms = self._clock.street_ms
        low_ms, high_ms = street_ms(utc_ms - uncertainty_ms), street_ms(utc_ms + uncertainty_ms)
        began_ms = (low_ms + high_ms) // 2 - uptime_ms
        half_ms = RESOLUTION_MS // 2
        anchor = Anchor(began_ms + half_ms, half_ms + (high_ms - low_ms + 1) // 2)
        known = self._anchors.get(boot_id)
        now_ms = self._now_ms()
        drift_ms = 0
        if boot_id == self._current:
            drift_ms = max(0, now_ms - self._renewed_ms) * DRIFT_PPM // 1_000_000
        if known is not None and _surer(
            Anchor(known.street_ms, known.uncertainty_ms + drift_ms), anchor
        ):
            return None
        self._remember(boot_id, anchor)
        self._fresh.discard(boot_id)  # its date is not of our clock of now
        self._renewed_ms = now_ms
        return anchor

    def _remember(self, boot_id: int, anchor: Anchor) -> None:
        """Anchor a boot; as in the store, of the other ones the newest are remembered."""
        self._anchors[boot_id] = anchor
        while len(self._anchors) > BOOTS_KEPT:
            oldest = next(known for known in self._anchors if known not in (self._current, boot_id))
            del self._anchors[oldest]
            self._fresh.discard(oldest)

    def _mind_steps(self, utc_ms: int) -> bool:
        """When UTC was set, what this run had dated by the old clock moves along."""
        offset_ms = utc_ms - self._clock.monotonic_ms()
        step_ms = offset_ms - self._offset_ms
        if abs(step_ms) < CLOCK_STEP_MS:
            return False
        self._offset_ms = offset_ms
        moved_ms = self._clock.street_ms(utc_ms) - self._clock.street_ms(utc_ms - step_ms)
        self._renewed_ms += moved_ms
        for boot_id in self._fresh & self._anchors.keys():
            old = self._anchors[boot_id]
            self._anchors[boot_id] = Anchor(old.street_ms + moved_ms, old.uncertainty_ms)
        return True

    def date(self, boot_id: int, uptime_s: int) -> tuple[int, int, tuple[str, ...]]:
        """(observed at, half width, quality flags) of a record."""
        anchor = self._anchors.get(boot_id)
        if anchor is not None:
            return anchor.street_ms + RESOLUTION_MS * uptime_s, anchor.uncertainty_ms, ()
        return (*self._between_boots(uptime_s), ("undated",))

    def _between_boots(self, uptime_s: int) -> tuple[int, int]:
        """The interval of a boot that no gateway heard: after an older one, before the present."""
        current = self._anchors.get(self._current)
        end_ms = current.street_ms if current else self._now_ms()
        older = [a.street_ms for a in self._anchors.values() if a.street_ms < end_ms]
        start_ms = max(older, default=end_ms - UNKNOWN_BOOT_MS) + RESOLUTION_MS * uptime_s
        start_ms = min(start_ms, end_ms)
        return (start_ms + end_ms) // 2, (end_ms - start_ms) // 2

    def _now_ms(self) -> int:
        return self._clock.street_ms(max(self._clock.utc_ms(), self._earliest_ms))


def _surer(known: Anchor, other: Anchor) -> bool:
    """Does `known` say it more closely, without a contradiction?"""
    apart_ms = abs(known.street_ms - other.street_ms)
    agree = apart_ms <= known.uncertainty_ms + other.uncertainty_ms
    return agree and known.uncertainty_ms < other.uncertainty_ms
