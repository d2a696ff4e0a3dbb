"""A VEML7700 as its datasheet has it: registers, gains, integration times, and its bent scale."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FINEST_LUX = 0.0042  # of a count, at gain 2 and 800 ms
GAINS = (1.0, 2.0, 0.125, 0.25)
TIMES_MS = {0: 100, 1: 200, 2: 400, 3: 800, 8: 50, 12: 25}
SHUT_DOWN = 1
FULL = 0xFFFF
CONF, AMBIENT = 0, 4
START_MS = 3  # 2.5 ms until the oscillator runs


class Veml7700:
    """One chip in light that `feel` tells in lux; without a `clock` (ms) it measures at once."""

    def __init__(self, feel: "Callable[[], float]", clock: "Callable[[], int] | None" = None):
        self._feel = feel
        self._clock = clock
        self.power_on()

    def power_on(self) -> None:
        """All as at the factory: shut down, nothing measured."""
        self.conf = SHUT_DOWN
        self._counts = 0
        self._chosen: int | None = None
        self._ready_ms: int | None = None

    def write(self, data: bytes) -> bool:
        """A command code alone, or with the two bytes of its register."""
        if len(data) not in (1, 3) or data[0] > 6:
            return False
        self._chosen = data[0]
        if len(data) == 3 and data[0] == CONF:
            self.conf = data[1] | data[2] << 8
            self._ready_ms = None
            if not self.conf & SHUT_DOWN:
                now = self._clock() if self._clock else 0
                self._ready_ms = now + START_MS + TIMES_MS[self.conf >> 6 & 15]
        return True

    def read(self, count: int) -> "bytes | None":
        """The chosen register, low byte first; which one must be said in the same breath."""
        if self._chosen is None or count > 2:
            return None
        if self._ready_ms is not None and (not self._clock or self._clock() >= self._ready_ms):
            self._counts = min(FULL, int(bent(self._feel()) / self.resolution()))
        value = {CONF: self.conf, AMBIENT: self._counts}.get(self._chosen, 0)
        self._chosen = None
        return value.to_bytes(2, "little")[:count]

    def resolution(self) -> float:
        """Lux of a count at the gain and integration time of now."""
        gain = GAINS[self.conf >> 11 & 3]
        return FINEST_LUX * 2 / gain * 800 / TIMES_MS[self.conf >> 6 & 15]


def bent(lux: float) -> float:
    """What the chip feels of so much light: less and less of it above 1000 lx."""
    if lux <= 1000:
        return lux
    low, high = 0.0, lux
    for _ in range(60):
        middle = (low + high) / 2
        straight = (
            6.0135e-13 * middle**4 - 9.3924e-9 * middle**3 + 8.1488e-5 * middle**2 + 1.0023 * middle
        )
        low, high = (middle, high) if straight < lux else (low, middle)
    return low
