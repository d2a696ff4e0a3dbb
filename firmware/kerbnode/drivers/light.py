"""A phototransistor with a load resistor: 3 mV a lux, saturated at about 1,000 lx."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

UV_PER_LUX = 3000
OPEN_UV = 3_250_000  # above what the transistor can give: the wire is broken


class LightSensor:
    """Ambient light."""

    def __init__(self, adc: "Adc"):
        self._adc = adc

    def lux(self) -> "int | None":
        """Lux, or None when the sensor is broken."""
        uv = self._adc.read_uv()
        return None if uv > OPEN_UV else uv // UV_PER_LUX
