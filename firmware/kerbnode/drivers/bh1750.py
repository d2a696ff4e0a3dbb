"""ROHM BH1750FVI: light over I2C.

Technical note 2009.04 rev. B: lux = counts / 1.2 at a measurement time register of 69 (p. 11); one
opcode a write (p. 7); 180 ms at most for a measurement at 69.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

POWER_ON = 0x01
ONCE = 0x20  # one measurement in H-resolution mode, then power down
FINE = 69  # to 54,612 lx
COARSE = 31  # to 121,557 lx
FULL = 65_535
COARSE_LUX = 30_000  # below that the fine range does


class Bh1750:
    """One chip, at 0x23 or (ADDR high) 0x5C; `fault` is "silent", "range" or ""."""

    def __init__(self, i2c: "I2c", address: int = 0x23):
        self.fault = ""
        self._i2c = i2c
        self._address = address
        self._time = FINE
        self._counts = bytearray(2)
        self._opcode = bytearray(1)
        self._begun = False
        self._measure()

    def lux(self) -> "int | None":
        """What the measurement gave that the call before began; ask no sooner than in 200 ms.

        None when the chip does not answer. Too bright for the fine range gives that range's end,
        and the next measurement is a coarse one.
        """
        lux = None
        try:
            if self._begun:
                self._begun = False
                self._i2c.readfrom_into(self._address, self._counts)
                lux = self._decode()
        except OSError:
            self.fault = "silent"
        self._measure()
        return None if self.fault else lux

    def _decode(self) -> int:
        counts = self._counts[0] << 8 | self._counts[1]
        lux = counts * 345 // (6 * self._time)  # 5 / 6 for the 1.2
        # Brighter than the sun: nobody drives the bus.
        self.fault = "range" if counts == FULL and self._time == COARSE else ""
        self._time = FINE if lux < COARSE_LUX or self.fault else COARSE
        return lux

    def _measure(self) -> None:
        """Start the next measurement; power on, time in two parts, mode."""
        try:
            self._tell(POWER_ON)
            self._tell(0x40 | self._time >> 5)
            self._tell(0x60 | self._time & 31)
            self._tell(ONCE)
            self._begun = True
        except OSError:
            self.fault = "silent"

    def _tell(self, opcode: int) -> None:
        self._opcode[0] = opcode
        self._i2c.writeto(self._address, self._opcode)
