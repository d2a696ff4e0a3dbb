"""A BH1750FVI as its technical note has it: opcodes, measurement time, one-time and continuous."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POWER_DOWN, POWER_ON, RESET = 0x00, 0x01, 0x07
CONTINUOUS, ONCE = 0x10, 0x20
TYPICAL = 69
TIMES = range(31, 255)
TYPICAL_MS = 120
FULL = 0xFFFF


class Bh1750:
    """One chip in light that `feel` tells in lux; without a `clock` (ms) it measures at once."""

    def __init__(self, feel: "Callable[[], float]", clock: "Callable[[], int] | None" = None):
        self._feel = feel
        self._clock = clock
        self.power_on()

    def power_on(self) -> None:
        """All as at the factory: powered down, the data register zero."""
        self.time = TYPICAL
        self.awake = False
        self.measurements = 0
        self._high = TYPICAL >> 5
        self._counts = 0
        self._mode = 0
        self._ready_ms: int | None = None

    def write(self, data: bytes) -> bool:
        """One opcode a transfer; the chip takes no second one without a stop."""
        if len(data) != 1:
            return not data
        opcode = data[0]
        if opcode in (POWER_DOWN, POWER_ON):
            self.awake = opcode == POWER_ON
        elif opcode == RESET and self.awake:
            self._counts = 0
        elif opcode & 0xF8 == 0x40:
            self._high = opcode & 7
        elif opcode & 0xE0 == 0x60:
            wanted = self._high << 5 | opcode & 31
            if wanted in TIMES:
                self.time = wanted
        elif opcode & 0xCF in (0, 1, 3) and opcode & 0x30:
            self._measure(opcode)
        return True

    def read(self, count: int) -> "bytes | None":
        """The data register, high byte first; then ones."""
        if self._ready_ms is not None and (not self._clock or self._clock() >= self._ready_ms):
            self._finish()
        return (self._counts.to_bytes(2, "big") + b"\xff" * count)[:count]

    def _measure(self, mode: int) -> None:
        self.awake = True
        self._mode = mode
        length_ms = TYPICAL_MS * self.time // TYPICAL
        self._ready_ms = (self._clock() if self._clock else 0) + length_ms

    def _finish(self) -> None:
        finer = 2 if self._mode & 3 == 1 else 1
        self._counts = min(FULL, int(self._feel() * 1.2 * self.time / TYPICAL * finer))
        self.measurements += 1
        if self._mode & ONCE:
            self.awake = False
            self._ready_ms = None
