"""Bosch BME280: temperature, humidity and pressure over I2C.

Datasheet BST-BME280-DS001 1.6: 4.2.2 trimming, 4.2.3 compensation in whole numbers, 5 registers,
9.1 measuring time (10 ms at single oversampling). It sleeps between, as a weather station (3.5.1).
"""

from struct import unpack

from kerbnode import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

SKIPPED = 0x80000  # what a measurement leaves that was not made
# Pairs of register and content: ctrl_hum and ctrl_meas, each quantity once, forced mode.
MEASURE = b"\xf2\x01\xf4\x25"


class Bme280:
    """One chip, at 0x76 or 0x77 (SDO high).

    `fault` is "silent", "address", "trimming", "reset", "range" or "".
    """

    def __init__(self, i2c: "I2c", address: int = 0x76):
        self.fault = ""
        self.raw: object = None  # the newest measurement as the chip gave it
        self._i2c = i2c
        self._address = address
        self._trim: tuple[int, ...] = ()
        self._measuring = False

    def sample(self) -> "tuple[int, int, int] | None":
        """(0.1 Celsius, 0.1 % humidity, 0.1 hPa) of what the look before began, or None."""
        found = None
        try:
            if not self._trim:
                self._learn()
            if self._measuring:
                self._measuring = False
                found = self._decode(self._read(0xF7, 8))
            if self._trim:
                self._i2c.writeto(self._address, MEASURE)
                self._measuring = True
        except OSError:
            self.fault = "silent"
            self._trim = ()  # another chip may be there when it comes back
            return None
        return found

    def _read(self, register: int, count: int) -> bytearray:
        data = bytearray(count)
        self._i2c.readfrom_mem_into(self._address, register, data)
        return data

    def _learn(self) -> None:
        from kerbnode.drivers import bme280_trim

        found = bme280_trim.read(self._read)
        loaded.forget("kerbnode.drivers", ("bme280_trim",))
        if isinstance(found, str):
            self.fault = found
        else:
            self._trim = found

    def _decode(self, raw: bytearray) -> "tuple[int, int, int] | None":
        pressure, low, temperature, low_t, humidity = unpack(">HBHBH", raw)
        temperature = temperature << 4 | low_t >> 4
        pressure = pressure << 4 | low >> 4
        if temperature == SKIPPED or pressure == SKIPPED:
            self.fault = "reset"  # it measured nothing: it lost what it was told
            self._trim = ()
            return None
        self.raw = raw
        t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1, h2, h3, h4, h5, h6 = self._trim
        x = (temperature >> 4) - t1
        fine = (((temperature >> 3) - 2 * t1) * t2 >> 11) + ((x * x >> 12) * t3 >> 14)
        celsius = fine * 5 + 128 >> 8  # 0.01 degrees

        # Less of 64 bits than in 4.2.3, for what an int has above 30 is garbage: within 1 Pa.
        x = fine - 128_000
        square = (x >> 4) * (x >> 4)
        c = ((1 << 29) + (square * p3 >> 18) + ((x >> 3) * p2 >> 3)) * p1 >> 15
        p = 0  # Pa
        if c:
            offset = (square * p6 >> 9) + x * p5 + (p4 << 18)
            p = ((1_048_576 - pressure << 14) - offset) * (3125 << 9) // c
            q = p >> 10
            p = p + (p9 * (q * q >> 13) >> 10) + (p8 * q >> 9) + (p7 << 4) >> 8

        x = fine - 76_800
        h = ((x * h6 >> 10) * ((x * h3 >> 11) + 32_768) >> 10) + 2_097_152
        h = ((humidity << 14) - (h4 << 20) - h5 * x + 16_384 >> 15) * (h * h2 + 8192 >> 14)
        h -= ((h >> 15) * (h >> 15) >> 7) * h1 >> 4  # 1 / 2 ** 22 %
        if not (-4000 <= celsius <= 8500 and 30_000 <= p <= 110_000):
            self.fault = "range"
            return None
        self.fault = ""
        percent = min(max(h, 0), 100 << 22) * 10 + (1 << 21) >> 22
        return (celsius + 5) // 10, percent, (p + 5) // 10
