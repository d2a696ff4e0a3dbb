"""A motion sensor with a digital output: PIR, or radar."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Latch


class Motion:
    """Does not believe a sensor that is still warming up, nor one that never rests.

    `warm_s`: a PIR needs a minute, a radar some seconds; `stuck_s`: high for so long is no traffic.
    """

    def __init__(self, latch: "Latch", warm_s: int = 60, stuck_s: int = 3600):
        self.fault = ""  # "stuck" until it rests again
        self._latch = latch
        self._warm_ms = 1000 * warm_s
        self._stuck_ms = 1000 * stuck_s
        self._rested_ms: int | None = None

    def take(self, uptime_ms: int) -> bool:
        """Was there motion since this was asked last?"""
        seen = self._latch.take()
        if self._rested_ms is None or not seen:
            self._rested_ms = uptime_ms
            self.fault = ""
        elif uptime_ms - self._rested_ms >= self._stuck_ms:
            self.fault = "stuck"
        return seen and uptime_ms >= self._warm_ms and not self.fault
