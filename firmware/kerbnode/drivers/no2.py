"""An electrochemical NO2 cell behind its amplifier: 2 mV a ppb above 500 mV."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

ZERO_UV = 500_000
UV_PER_TENTH_PPB = 200
BROKEN_UV = 100_000  # far below zero: the cell has dried out


class No2Cell:
    """Nitrogen dioxide."""

    def __init__(self, adc: "Adc"):
        self._adc = adc

    def tenth_ppb(self) -> "int | None":
        """0.1 ppb, or None when the cell is broken."""
        uv = self._adc.read_uv()
        return None if uv < BROKEN_UV else max(0, uv - ZERO_UV) // UV_PER_TENTH_PPB
