"""ST LPS22HB: air pressure over I2C."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ADDRESS = 0x5C
START = b"\x10\x10"  # CTRL_REG1: one measurement a second
PRESSURE = b"\x28"  # PRESS_OUT_XL, three bytes, lowest first
COUNTS_PER_HPA = 4096


class Lps22:
    """One chip; `start` it before the first sample."""

    def __init__(self, i2c: "I2c"):
        self._i2c = i2c
        self._counts = bytearray(3)

    def start(self) -> None:
        """Begin measuring; a chip that does not answer shows in `sample`."""
        try:
            self._i2c.writeto(ADDRESS, START)
        except OSError:
            pass

    def sample(self) -> "int | None":
        """0.1 hPa, or None."""
        try:
            self._i2c.writeto(ADDRESS, PRESSURE)
            self._i2c.readfrom_into(ADDRESS, self._counts)
        except OSError:
            return None
        counts = int.from_bytes(self._counts, "little")
        return counts * 10 // COUNTS_PER_HPA if counts else None
