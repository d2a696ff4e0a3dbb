"""Sensirion SCD41: carbon dioxide, temperature and humidity over I2C (datasheet of April 2023)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ADDRESS = 0x62
START = b"\x21\xb1"  # start_periodic_measurement, one every 5 s
READ = b"\xec\x05"  # read_measurement; refused (NACK) until there is a new one
PERIOD_MS = 5000


class Scd41:
    """One chip; `start` it, and ask no sooner than every 5 s."""

    def __init__(self, i2c: "I2c"):
        self._i2c = i2c
        self._words = bytearray(9)

    def start(self) -> None:
        """Begin measuring; a chip that does not answer shows in `sample`."""
        try:
            self._i2c.writeto(ADDRESS, START)
        except OSError:
            pass

    def sample(self) -> "tuple[int | None, int | None, int | None]":
        """(ppm, 0.1 degrees Celsius, 0.1 % relative humidity), or three times None."""
        words = self._words
        try:
            self._i2c.writeto(ADDRESS, READ)
            self._i2c.readfrom_into(ADDRESS, words)
        except OSError:
            return None, None, None
        for at in (0, 3, 6):
            if crc8(words[at : at + 2]) != words[at + 2]:
                return None, None, None
        ppm = words[0] << 8 | words[1]
        celsius = 1750 * (words[3] << 8 | words[4]) // 65_535 - 450
        humidity = 1000 * (words[6] << 8 | words[7]) // 65_535
        return ppm, celsius, humidity


def crc8(data: "bytes | bytearray") -> int:
    """Sensirion's checksum: polynomial 0x31, start 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
