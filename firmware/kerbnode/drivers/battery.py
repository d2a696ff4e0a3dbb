"""A battery behind a divider by two."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Adc

DIVIDER = 2


class Battery:
    """The cell's voltage."""

    def __init__(self, adc: "Adc"):
        self._adc = adc

    def millivolts(self) -> int:
        """Millivolts at the cell."""
        return self._adc.read_uv() * DIVIDER // 1000
