"""A thermistor to ground, a resistor to the supply: R = R25 exp(B (1 / T - 1 / T25)), IEC 60539-1.

An ESP32 measures up to 3.1 V. With 10 kOhm at both places and 3.3 V that is -28 degrees Celsius;
a colder place wants a larger `series_ohm`.
"""

from math import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

ZERO_K = 273.15
T25_K = 298.15
COLDEST_C = -40
WARMEST_C = 125


class Ntc:
    """The temperature in the housing; `fault` is "range" (no thermistor, or a short), "silent", "".

    `beta`: B of the thermistor in kelvin; `r25_ohm`: its resistance at 25 degrees.
    """

    def __init__(
        self,
        adc: "Adc",
        beta: int = 3950,
        r25_ohm: int = 10_000,
        series_ohm: int = 10_000,
        supply_mv: int = 3300,
    ):
        self.fault = ""
        self._adc = adc
        self._beta = beta
        self._share = series_ohm / r25_ohm
        self._supply_uv = 1000 * supply_mv

    def celsius(self) -> "int | None":
        """Whole degrees, or None."""
        try:
            microvolts = self._adc.read_uv()
        except OSError:
            self.fault = "silent"
            return None
        self.fault = "range"
        if not 0 < microvolts < self._supply_uv:
            return None
        ratio = self._share * microvolts / (self._supply_uv - microvolts)
        celsius = 1 / (1 / T25_K + log(ratio) / self._beta) - ZERO_K
        if not COLDEST_C <= celsius <= WARMEST_C:
            return None
        self.fault = ""
        return int(celsius + 300.5) - 300
