"""An ADS1115 as its datasheet has it: four registers, one conversion at a time."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONVERSION, CONFIG, LOW, HIGH = range(4)
AT_RESET = {CONVERSION: 0, CONFIG: 0x8583, LOW: 0x8000, HIGH: 0x7FFF}
RATES = (8, 16, 32, 64, 128, 250, 475, 860)
RANGES_UV = (6_144_000, 4_096_000, 2_048_000, 1_024_000, 512_000, 256_000, 256_000, 256_000)
INPUTS = ((0, 1), (0, 3), (1, 3), (2, 3), (0, -1), (1, -1), (2, -1), (3, -1))
BUSY = 0x7FFF  # the mask that takes OS away


class Ads1115:
    """One chip; `feel` gives the microvolts at AIN0..3. Without a `clock` (ms) no time passes."""

    def __init__(
        self, feel: "Callable[[int], int]", clock: "Callable[[], int] | None" = None
    ) -> None:
        self._feel = feel
        self._clock = clock
        self.power_on()

    def power_on(self) -> None:
        """All as at the factory."""
        self._registers = dict(AT_RESET)
        self._chosen = CONVERSION
        self._ready_ms: float | None = None

    def write(self, data: bytes) -> bool:
        """The pointer, and the word for its register."""
        if len(data) not in (1, 3) or data[0] > HIGH:
            return False
        self._chosen = data[0]
        if len(data) == 3 and data[0] != CONVERSION:
            word = data[1] << 8 | data[2]
            self._finish()
            if data[0] == CONFIG and word & 0x8000 and self._ready_ms is None:
                rate = RATES[word >> 5 & 7]
                self._ready_ms = (self._clock() if self._clock else 0) + 1100 / rate
            self._registers[data[0]] = word
        return True

    def read(self, count: int) -> bytes:
        """The register that the pointer is at, high byte first."""
        self._finish()
        word = self._registers[self._chosen]
        if self._chosen == CONFIG:
            word = word & BUSY | (0x8000 if self._ready_ms is None else 0)
        return word.to_bytes(2, "big")[:count]

    def _finish(self) -> None:
        if self._ready_ms is None or (self._clock and self._clock() < self._ready_ms):
            return
        self._ready_ms = None
        config = self._registers[CONFIG]
        plus, minus = INPUTS[config >> 12 & 7]
        microvolts = self._feel(plus) - (self._feel(minus) if minus >= 0 else 0)
        counts = microvolts * 0x8000 // RANGES_UV[config >> 9 & 7]
        self._registers[CONVERSION] = min(0x7FFF, max(-0x8000, counts)) & 0xFFFF
