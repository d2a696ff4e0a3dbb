"""Vishay VEML7700: light over I2C.

Datasheet rev. 1.8: setting in register 0, ambient light in 4, low byte first. Application note
84323 (2025): lux of a count by gain and integration time, and the correction above 1000 lx.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ADDRESS = 0x10
CONF = 0
AMBIENT = 4
# The setting (gain, integration time) and the lux of a count.
FINE = (b"\x00\x18", 0.2688)  # 1/4, 100 ms: 17,616 lx before the correction
COARSE = (b"\x00\x13", 2.1504)  # 1/8, 25 ms
FULL = 65_535
FEW = 1000  # counts of the coarse range below which the fine one does
BRIGHTEST = 160_000  # more than the sun gives


class Veml7700:
    """One chip; `fault` is "silent", "reset" (it lost its setting), "range" or ""."""

    def __init__(self, i2c: "I2c"):
        self.fault = ""
        self._i2c = i2c
        self._range = FINE
        self._word = bytearray(2)
        self._set(FINE)

    def lux(self) -> "int | None":
        """The newest measurement; ask no sooner than every 200 ms. None when there is none."""
        try:
            self._i2c.readfrom_mem_into(ADDRESS, CONF, self._word)
            if self._word != self._range[0]:
                self._set(self._range)
                self.fault = "reset"
                return None
            self._i2c.readfrom_mem_into(ADDRESS, AMBIENT, self._word)
        except OSError:
            self.fault = "silent"
            return None
        counts = self._word[0] | self._word[1] << 8
        lux = counts * self._range[1]
        if self._range is FINE:
            wanted = COARSE if counts == FULL else FINE
        else:
            wanted = FINE if counts < FEW else COARSE
        if lux > 1000:
            lux *= 1.0023 + lux * (8.1488e-5 + lux * (6.0135e-13 * lux - 9.3924e-9))
        self.fault = ""
        if wanted is not self._range:
            self._set(wanted)
        if lux > BRIGHTEST:
            self.fault = "range"
            return None
        return int(lux + 0.5)

    def _set(self, wanted: "tuple[bytes, float]") -> None:
        self._range = wanted
        try:
            self._i2c.writeto_mem(ADDRESS, CONF, wanted[0])
        except OSError:
            self.fault = "silent"
