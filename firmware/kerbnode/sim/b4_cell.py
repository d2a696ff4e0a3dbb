"""Electrochemical cells of four electrodes: the voltages that gas and warmth make."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.sim.noise import Noise

    Gases = tuple[float, float, float]  # NO2 and O3 in ppb, degrees Celsius

NO2_N = (1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5)  # AAN 803, at -30 .. 50 Celsius
OX_N = (0.9, 0.9, 1.0, 1.3, 1.5, 1.7, 2.0, 2.5, 3.7)


class B4Cell:
    """One cell in air that `feel` tells; zeros in microvolts, sensitivities in microvolts a ppb."""

    def __init__(
        self,
        feel: "Callable[[], Gases]",
        zeros_uv: "tuple[int, int]" = (225_000, 225_000),
        no2_uv: float = 300.0,
        o3_uv: float = 0.0,
        noise: "Noise | None" = None,
    ):
        self.dry = False  # no current flows any more
        self._feel = feel
        self._zeros_uv = zeros_uv
        self._no2_uv = no2_uv
        self._o3_uv = o3_uv
        self._noise = noise

    def microvolts(self, electrode: int) -> int:
        """At the working (0) or the auxiliary electrode's (1) output."""
        if self.dry:
            return 0
        no2, o3, celsius = self._feel()
        background = 4000.0 + 150.0 * celsius  # what both electrodes have without any gas
        above = background
        if electrode == 0:
            share = n_of(OX_N if self._o3_uv else NO2_N, celsius)
            above = share * background + no2 * self._no2_uv + o3 * self._o3_uv
        stir = self._noise.below(401) - 200 if self._noise else 0
        return int(self._zeros_uv[electrode] + above + stir)


def n_of(table: "tuple[float, ...]", celsius: float) -> float:
    """n_T on straight lines between the table's rows."""
    place = min(max((celsius + 30) / 10, 0.0), 8.0)
    row = min(int(place), 7)
    return table[row] + (table[row + 1] - table[row]) * (place - row)
