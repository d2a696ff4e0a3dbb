"""A BME280 as its datasheet has it: trimming, registers, forced mode.

What it would measure is found by halving: through the whole-number formulas of the datasheet's
4.2.3 and 8.2, which the driver does not use.
"""

from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Trim = tuple[int, ...]

# T1..T3 and P1..P9 of the example that Bosch gives for the BMP280, and a humidity sensor's H1..H6.
TRIM_TP = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
TRIM_H = (75, 360, 0, 300, 50, 30)
ID, RESET, HUMIDITY, STATUS, CONTROL, DATA = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF7
MEASURE_MS = 10
SKIPPED = b"\x80\x00\x00\x80\x00\x00\x80\x00"


class Bme280:
    """One chip in air that `feel` tells: Celsius, % relative humidity, hPa; `identity` may lie."""

    def __init__(
        self,
        feel: "Callable[[], tuple[float, float, float]]",
        clock: "Callable[[], int] | None" = None,
        identity: int = 0x60,
    ):
        self._feel = feel
        self._clock = clock
        self._identity = identity
        self.power_on()

    def power_on(self) -> None:
        """All as at the factory."""
        self.measurements = 0
        self._registers = bytearray(256)
        self._registers[ID] = self._identity
        self._registers[0x88:0xA0] = pack("<Hhh", *TRIM_TP[:3]) + pack("<Hhhhhhhhh", *TRIM_TP[3:])
        h1, h2, h3, h4, h5, h6 = TRIM_H
        self._registers[0xA1] = h1
        middle = bytes(((h4 >> 4) & 255, h4 & 15 | (h5 & 15) << 4, (h5 >> 4) & 255))
        self._registers[0xE1:0xE8] = pack("<hB", h2, h3) + middle + pack("b", h6)
        self._registers[DATA : DATA + 8] = SKIPPED
        self._chosen = 0
        self._ready_ms: int | None = None

    def write(self, data: bytes) -> bool:
        """A register's number, and what to write there and behind."""
        if not data or (len(data) > 1 and len(data) % 2):
            return False
        self._chosen = data[0]
        for at in range(0, len(data) - 1, 2):  # pairs of number and content
            register, value = data[at], data[at + 1]
            if register == RESET and value == 0xB6:
                self.power_on()
            elif HUMIDITY <= register <= 0xF5 and register != STATUS:
                self._registers[register] = value
                if register == CONTROL and value & 3 in (1, 2):
                    self._ready_ms = (self._clock() if self._clock else 0) + MEASURE_MS
        return True

    def read(self, count: int) -> bytes:
        """From the chosen register on."""
        if self._ready_ms is not None and (not self._clock or self._clock() >= self._ready_ms):
            self._finish()
        return bytes(self._registers[self._chosen : self._chosen + count])

    def _finish(self) -> None:
        self._ready_ms = None
        self.measurements += 1
        celsius, percent, hectopascals = self._feel()
        control = self._registers[CONTROL]
        self._registers[CONTROL] = control & 0xFC  # asleep again
        raw_t = halved(lambda raw: hundredths(fine(raw)) >= celsius * 100, 1 << 20)
        warm = fine(raw_t)
        raw_p = halved(lambda raw: pascals_256(raw, warm) <= hectopascals * 25_600, 1 << 20)
        raw_h = halved(lambda raw: percent_1024(raw, warm) >= percent * 1024, 1 << 16)
        data = (raw_p << 4).to_bytes(3, "big") if control >> 2 & 7 else SKIPPED[:3]
        data += (raw_t << 4).to_bytes(3, "big") if control >> 5 else SKIPPED[3:6]
        data += raw_h.to_bytes(2, "big") if self._registers[HUMIDITY] & 7 else SKIPPED[6:]
        self._registers[DATA : DATA + 8] = data


def halved(reached: "Callable[[int], bool]", count: int) -> int:
    """The least of 0..count-1 that reaches it, or the last."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if reached(middle):
            high = middle
        else:
            low = middle + 1
    return low


def fine(raw: int) -> int:
    """t_fine."""
    t1, t2, t3 = TRIM_TP[:3]
    apart = (raw >> 4) - t1
    return (((raw >> 3) - (t1 << 1)) * t2 >> 11) + ((apart * apart >> 12) * t3 >> 14)


def hundredths(warm: int) -> int:
    """0.01 degrees Celsius."""
    return warm * 5 + 128 >> 8


def pascals_256(raw: int, warm: int) -> int:
    """1/256 Pa."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = TRIM_TP[3:]
    a = warm - 128_000
    b = a * a * p6 + (a * p5 << 17) + (p4 << 35)
    c = ((1 << 47) + (a * a * p3 >> 8) + (a * p2 << 12)) * p1 >> 33
    p = ((1_048_576 - raw << 31) - b) * 3125 // c
    return (p + (p9 * (p >> 13) * (p >> 13) >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)


def percent_1024(raw: int, warm: int) -> int:
    """1/1024 % relative humidity."""
    h1, h2, h3, h4, h5, h6 = TRIM_H
    a = warm - 76_800
    scale = ((a * h6 >> 10) * ((a * h3 >> 11) + 32_768) >> 10) + 2_097_152
    b = ((raw << 14) - (h4 << 20) - h5 * a + 16_384 >> 15) * (scale * h2 + 8192 >> 14)
    b -= ((b >> 15) * (b >> 15) >> 7) * h1 >> 4
    return min(419_430_400, max(0, b)) >> 12
