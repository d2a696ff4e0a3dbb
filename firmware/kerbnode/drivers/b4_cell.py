"""An electrochemical gas cell of four electrodes, Alphasense NO2-B43F or OX-B431, on its board.

Application note AAN 803: the auxiliary electrode sees all but the gas, so that n_T of it is taken
off, n_T by the cell's temperature (algorithm 1). Zeros and sensitivities are those on its label.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.ads1115 import Channel

# n_T in tenths at -30, -20 .. 50 degrees Celsius.
NO2 = (13, 13, 13, 13, 10, 6, 4, 2, -15)
OX = (9, 9, 10, 13, 15, 17, 20, 25, 37)
LOOKS = 6  # until a converter of four channels has had them all


class B4Cell:
    """One cell: the working electrode at a converter's channel, the auxiliary one at the next.

    `working_zero_uv`, `auxiliary_zero_uv`: the board's own offsets; `uv_per_ppb`: sensitivity.
    `no2_uv_per_ppb`: that to NO2 of an OX cell, which feels both gases; 0 for an NO2 cell.
    """

    def __init__(
        self,
        adc: "Channel",
        working_zero_uv: int = 225_000,
        auxiliary_zero_uv: int = 225_000,
        uv_per_ppb: int = 300,
        no2_uv_per_ppb: int = 0,
    ):
        self.raw: object = None  # the newest two voltages
        self._working = adc
        self._auxiliary = adc.following()
        self._zeros_uv = working_zero_uv, auxiliary_zero_uv
        self._uv_per_ppb = uv_per_ppb
        self._no2_uv_per_ppb = no2_uv_per_ppb
        self._looks = 0

    def sample(self) -> "tuple[int, int] | tuple[()] | None":
        """Microvolts of both electrodes above their zeros, () while it converts, None without."""
        working = self._working.read_uv()
        auxiliary = self._auxiliary.read_uv()
        self._looks += 1
        if self._looks < LOOKS:
            return ()
        self._looks = 0
        if working is None or auxiliary is None:
            return None
        self.raw = working, auxiliary
        return working - self._zeros_uv[0], auxiliary - self._zeros_uv[1]

    def tenth_ppb(self, sample: "tuple[int, ...]", tenth_c: int, no2_tenth_ppb: int = 0) -> int:
        """0.1 ppb at that temperature; of ozone, where the cell feels NO2 too. Below 0 by noise."""
        corrected = (
            sample[0] * 100 - hundredth_n(OX if self._no2_uv_per_ppb else NO2, tenth_c) * sample[1]
        )
        corrected -= no2_tenth_ppb * self._no2_uv_per_ppb * 10
        return corrected // (10 * self._uv_per_ppb)


def hundredth_n(table: "tuple[int, ...]", tenth_c: int) -> int:
    """n_T in 1/100, between the table's steps of 10 degrees on a straight line."""
    above = min(max(tenth_c + 300, 0), 799)
    low, high = table[above // 100], table[above // 100 + 1]
    return low * 10 + (high - low) * (above % 100) // 10
