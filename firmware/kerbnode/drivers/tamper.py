"""A seal: a reed contact that feels a foreign magnet, or a switch under the cover; high: broken."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Latch


class Tamper:
    """Once broken it stays so until the input rested for `hold_s`; the shortest swipe counts."""

    def __init__(self, latch: "Latch", hold_s: int = 3600):
        self._latch = latch
        self._hold_ms = 1000 * hold_s
        self._seen_ms: int | None = None

    def broken(self, uptime_ms: int) -> bool:
        """Is it, or was it within `hold_s`?"""
        if self._latch.take():
            self._seen_ms = uptime_ms
        return self._seen_ms is not None and uptime_ms - self._seen_ms < self._hold_ms
