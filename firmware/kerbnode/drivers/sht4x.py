"""Sensirion SHT40, SHT41, SHT45: temperature and humidity over I2C.

Datasheet version 6.5: 4.5 commands, 4.6 conversion, 4.4 checksum; 8.3 ms for a measurement of high
repeatability.
"""

from kerbnode.drivers.sensirion import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

MEASURE = b"\xfd"
COLDEST = -400
WARMEST = 1250


class Sht4x:
    """One chip; `fault` is "silent", "checksum", "range" or ""."""

    def __init__(self, i2c: "I2c", address: int = 0x44):
        self.fault = ""
        self.raw: object = None  # the newest measurement as the chip gave it
        self._i2c = i2c
        self._address = address
        self._answer = bytearray(6)
        self._measuring = False

    def sample(self) -> "tuple[int, int] | None":
        """(0.1 degrees Celsius, 0.1 % relative humidity) of what the look before began, or None."""
        found = None
        try:
            if self._measuring:
                self._measuring = False
                self._i2c.readfrom_into(self._address, self._answer)
                found = self._decode()
            self._i2c.writeto(self._address, MEASURE)
            self._measuring = True
        except OSError:
            self.fault = "silent"
            return None
        return found

    def _decode(self) -> "tuple[int, int] | None":
        found = words(self._answer)
        if found is None:
            self.fault = "checksum"
            return None
        celsius = (1750 * found[0] + 32_767) // 65_535 - 450
        humidity = (1250 * found[1] + 32_767) // 65_535 - 60
        self.raw = found
        self.fault = "" if COLDEST <= celsius <= WARMEST else "range"
        return None if self.fault else (celsius, min(1000, max(0, humidity)))
