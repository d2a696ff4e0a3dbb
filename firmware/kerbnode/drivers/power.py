"""A Hall-effect power sensor: 10 mV a watt above 500 mV."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

ZERO_UV = 500_000
UV_PER_DW = 1000


class PowerSensor:
    """What the lamp draws."""

    def __init__(self, adc: "Adc"):
        self._adc = adc

    def power_dw(self) -> int:
        """Deci-watts, never negative."""
        return max(0, self._adc.read_uv() - ZERO_UV) // UV_PER_DW
