"""A BME280 as its datasheet has it: trimming, registers, forced mode.

What it would measure is found by halving: through the formulas in floats of the datasheet's 8.1,
which the driver does not use.
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
        self.flip: tuple[int, int] | None = (
            None  # (register, mask): turned round at each second look
        )
        self._odd = False
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
        said = bytearray(self._registers[self._chosen : self._chosen + count])
        if self.flip and 0 <= self.flip[0] - self._chosen < count:
            self._odd = not self._odd
            said[self.flip[0] - self._chosen] ^= self.flip[1] if self._odd else 0
        return bytes(said)

    def read_raw(self) -> bytes:
        """The registers of the newest measurement."""
        return bytes(self._registers[DATA : DATA + 8])

    def _finish(self) -> None:
        self._ready_ms = None
        self.measurements += 1
        celsius, percent, hectopascals = self._feel()
        control = self._registers[CONTROL]
        self._registers[CONTROL] = control & 0xFC  # asleep again
        raw_t = halved(lambda raw: fine(raw) / 5120 >= celsius, 1 << 20)
        warm = fine(raw_t)
        raw_p = halved(lambda raw: pascals(raw, warm) <= hectopascals * 100, 1 << 20)
        raw_h = halved(lambda raw: moisture(raw, warm) >= percent, 1 << 16)
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


def fine(raw: int) -> float:
    """t_fine: 5120 for a degree Celsius."""
    t1, t2, t3 = TRIM_TP[:3]
    a = raw / 16384 - t1 / 1024
    return a * t2 + a * a / 64 * t3


def pascals(raw: int, warm: float) -> float:
    """Pa at that t_fine."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = TRIM_TP[3:]
    a = warm / 2 - 64_000
    b = a * a * p6 / 32_768 + a * p5 * 2
    b = b / 4 + p4 * 65_536
    c = (1 + (p3 * a * a / 524_288 + p2 * a) / 524_288 / 32_768) * p1
    p = (1_048_576 - raw - b / 4096) * 6250 / c
    return p + (p9 * p * p / 2_147_483_648 + p * p8 / 32_768 + p7) / 16


def moisture(raw: int, warm: float) -> float:
    """% relative humidity at that t_fine, below 0 and above 100 as the polynomial has it."""
    h1, h2, h3, h4, h5, h6 = TRIM_H
    a = warm - 76_800
    moist = (raw - (h4 * 64 + h5 / 16_384 * a)) * (
        h2 / 65_536 * (1 + h6 / 67_108_864 * a * (1 + h3 / 67_108_864 * a))
    )
    return moist * (1 - h1 * moist / 524_288)
