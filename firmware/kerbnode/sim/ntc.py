"""A thermistor in a divider, as an analogue input sees it."""

from math import exp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Ntc:
    """10 kOhm at 25 degrees and B = 3950 K to ground, a resistor to the supply.

    `celsius` asks for the temperature; `open_wire` and `short` are what becomes of old wiring.
    """

    def __init__(
        self, celsius: "Callable[[], float]", series_ohm: int = 10_000, supply_mv: int = 3300
    ):
        self.open_wire = self.short = False
        self._celsius = celsius
        self._series_ohm = series_ohm
        self._supply_uv = 1000 * supply_mv

    def read_uv(self) -> int:
        """Microvolts at the thermistor."""
        if self.open_wire or self.short:
            return 0 if self.short else self._supply_uv
        ohm = 10_000 * exp(3950 * (1 / (273.15 + self._celsius()) - 1 / 298.15))
        return int(self._supply_uv * ohm / (ohm + self._series_ohm) + 0.5)
