"""A cell behind a divider, measured seldom, and under load where the board has one to switch.

A lithium thionyl chloride cell keeps its voltage until it is almost empty: only under load does
it tell. `low_mv` by chemistry: Li-SOCl2 3100, Li-MnO2 2500, LiFePO4 3000, two alkalines 2200.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc, Output

EVERY_MS = 600_000
LEAST_MV = 500  # a divider that is broken or not fitted
MOST_MV = 20_000


class Battery:
    """The middle of three measurements; `fault` is "range", "silent" (no reading) or "".

    `divider_pct`: the cell's voltage in percent of the pin's. `load`: an output that, high, loads
    the cell; it is read one tick later.
    """

    def __init__(
        self, adc: "Adc", divider_pct: int = 200, low_mv: int = 3100, load: "Output | None" = None
    ):
        self.low_mv = low_mv
        self.fault = ""
        self._adc = adc
        self._divider_pct = divider_pct
        self._load = load
        self._loaded = False
        self._due_ms = 0
        self._last: list[int] = []

    def millivolts(self, uptime_ms: int) -> "int | None":
        """Millivolts at the cell, or None."""
        if uptime_ms >= self._due_ms:
            if self._load is not None and not self._loaded:
                self._load.value(1)
                self._loaded = True
            else:
                self._measure()
                self._due_ms = uptime_ms + EVERY_MS
        return sorted(self._last)[len(self._last) // 2] if self._last else None

    def _measure(self) -> None:
        self.fault = "range"
        millivolts = 0
        try:
            millivolts = self._adc.read_uv() * self._divider_pct // 100_000
        except OSError:  # a chip that was never calibrated
            self.fault = "silent"
        if self._load is not None:
            self._load.value(0)
            self._loaded = False
        known = LEAST_MV <= millivolts <= MOST_MV
        if known:
            self.fault = ""
        self._last = (self._last + [millivolts])[-3:] if known else []
