"""Bosch BME280: temperature, humidity and pressure over I2C.

Datasheet BST-BME280-DS001 1.6: 4.2.2 trimming, 4.2.3 and 8.1 compensation in floats, 5 registers,
9.1 measuring time (10 ms at single oversampling). It sleeps between, as a weather station (3.5.1).
"""

from struct import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ID = 0x60
SKIPPED = 0x80000  # what a measurement leaves that was not made
MEASURE = b"\x25"  # ctrl_meas: once each of temperature and pressure, forced mode


class Bme280:
    """One chip, at 0x76 or 0x77 (SDO high); `fault`: silent, address, reset, range or nothing."""

    def __init__(self, i2c: "I2c", address: int = 0x76):
        self.fault = ""
        self.raw: object = None  # the newest measurement as the chip gave it
        self._i2c = i2c
        self._address = address
        self._trim: tuple[int, ...] = ()
        self._pressure: tuple[int, ...] = ()
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
                self._i2c.writeto_mem(self._address, 0xF2, b"\x01")  # humidity once
                self._i2c.writeto_mem(self._address, 0xF4, MEASURE)
                self._measuring = True
        except OSError:
            self.fault = "silent"
            return None
        return found

    def _read(self, register: int, count: int) -> bytearray:
        data = bytearray(count)
        self._i2c.readfrom_mem_into(self._address, register, data)
        return data

    def _learn(self) -> None:
        if self._read(0xD0, 1)[0] != ID:
            self.fault = "address"
            return
        first = self._read(0x88, 26)
        later = self._read(0xE1, 7)
        fourth = unpack("b", later[3:4])[0] << 4 | later[4] & 15
        fifth = unpack("b", later[5:6])[0] << 4 | later[4] >> 4
        humid = unpack("<hB", later[:3]) + (fourth, fifth) + unpack("b", later[6:])
        self._trim = unpack("<Hhh", first[:6]) + (first[25],) + humid
        self._pressure = unpack("<Hhhhhhhhh", first[6:24])

    def _decode(self, raw: bytearray) -> "tuple[int, int, int] | None":
        pressure = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4
        temperature = raw[3] << 12 | raw[4] << 4 | raw[5] >> 4
        humidity = raw[6] << 8 | raw[7]
        if temperature == SKIPPED or pressure == SKIPPED:
            self.fault = "reset"  # it measured nothing: it lost what it was told
            self._trim = ()
            return None
        self.raw = raw
        t1, t2, t3, h1, h2, h3, h4, h5, h6 = self._trim
        a = temperature / 16384 - t1 / 1024
        fine = a * t2 + a * a / 64 * t3
        celsius = fine / 5120
        b = fine - 76800
        moist = (humidity - (h4 * 64 + h5 / 16384 * b)) * (
            h2 / 65536 * (1 + h6 / 67108864 * b * (1 + h3 / 67108864 * b))
        )
        moist *= 1 - h1 * moist / 524288
        pascals = self._pascals(fine, pressure)
        if not -40 <= celsius <= 85 or not 30_000 <= pascals <= 110_000:
            self.fault = "range"
            return None
        self.fault = ""
        percent = min(100.0, max(0.0, moist))
        return round(celsius * 10), round(percent * 10), round(pascals / 10)

    def _pascals(self, fine: float, raw: int) -> float:
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self._pressure
        a = fine / 2 - 64000
        b = a * a * p6 / 32768 + a * p5 * 2
        b = b / 4 + p4 * 65536
        c = (1 + (p3 * a * a / 524288 + p2 * a) / 524288 / 32768) * p1
        if not c:
            return 0.0
        p = (1048576 - raw - b / 4096) * 6250 / c
        return p + (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16
