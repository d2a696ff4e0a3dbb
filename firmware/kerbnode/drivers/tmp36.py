"""Analog Devices TMP36: 10 mV a degree and 500 mV at 0 degrees Celsius (rev. H, table 1)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

ZERO_UV = 500_000
UV_PER_DEGREE = 10_000
COLDEST_C = -40
WARMEST_C = 125


class Tmp36:
    """The temperature in the housing; `fault` is "range", "silent" (no reading) or ""."""

    def __init__(self, adc: "Adc"):
        self.fault = ""
        self._adc = adc

    def celsius(self) -> "int | None":
        """Whole degrees, or None when the voltage is none that the chip can give."""
        try:
            microvolts = self._adc.read_uv()
        except OSError:  # a chip that was never calibrated
            self.fault = "silent"
            return None
        celsius = (microvolts - ZERO_UV + UV_PER_DEGREE // 2) // UV_PER_DEGREE
        known = COLDEST_C <= celsius <= WARMEST_C
        self.fault = "" if known else "range"
        return celsius if known else None
