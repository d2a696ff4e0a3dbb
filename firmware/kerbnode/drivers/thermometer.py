"""A TMP36: 10 mV a degree, 500 mV at 0 degrees Celsius."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

ZERO_UV = 500_000
UV_PER_DEGREE = 10_000
RANGE_C = (-50, 130)


class Thermometer:
    """The temperature in the housing."""

    def __init__(self, adc: "Adc"):
        self._adc = adc

    def celsius(self) -> "int | None":
        """Whole degrees, or None when the voltage is none that the chip can give."""
        celsius = (self._adc.read_uv() - ZERO_UV + UV_PER_DEGREE // 2) // UV_PER_DEGREE
        return celsius if RANGE_C[0] <= celsius <= RANGE_C[1] else None
