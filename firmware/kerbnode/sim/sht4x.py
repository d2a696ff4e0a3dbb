"""An SHT4x as its datasheet has it: a command, some milliseconds, two words with checksums."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TIMES_MS = {0xFD: 8.3, 0xF6: 4.5, 0xE0: 1.6}
SERIAL, RESET = 0x89, 0x94


class Sht4x:
    """One chip in air that `feel` tells: degrees Celsius and % relative humidity.

    Without a `clock` (ms) it measures at once. `flip`: (byte, mask) of an answer that is disturbed.
    """

    def __init__(
        self,
        feel: "Callable[[], tuple[float, float]]",
        clock: "Callable[[], int] | None" = None,
    ):
        self.flip: tuple[int, int] | None = None
        self.measurements = 0
        self._feel = feel
        self._clock = clock
        self._ready_ms: float | None = None
        self._serial = False

    def write(self, data: bytes) -> bool:
        """One command; none is taken while a measurement runs."""
        now = self._clock() if self._clock else 0
        if len(data) != 1 or (self._clock and self._ready_ms is not None and now < self._ready_ms):
            return False
        self._ready_ms = None
        self._serial = data[0] == SERIAL
        if data[0] in TIMES_MS:
            self._ready_ms = now + TIMES_MS[data[0]]
        return self._serial or self._ready_ms is not None or data[0] == RESET

    def read(self, count: int) -> "bytes | None":
        """Two words, each with its checksum; nobody answers before they are there."""
        if self._serial:
            words = (0x1234, 0x5678)
            self._serial = False
        elif self._ready_ms is None or (self._clock and self._clock() < self._ready_ms):
            return None
        else:
            celsius, percent = self._feel()
            words = int((celsius + 45) * 65_535 / 175 + 0.5), int((percent + 6) * 524.28 + 0.5)
            self.measurements += 1
            self._ready_ms = None
        answer = bytearray()
        for word in words:
            pair = min(0xFFFF, max(0, word)).to_bytes(2, "big")
            answer += pair + bytes([checksum(pair)])
        if self.flip:
            answer[self.flip[0]] ^= self.flip[1]
        return bytes(answer[:count])


def checksum(pair: bytes) -> int:
    """CRC-8 by polynomial division: x^8 + x^5 + x^4 + 1, all ones before."""
    value = (pair[0] << 8 | pair[1]) << 8 ^ 0xFF << 16
    for bit in range(15, -1, -1):
        if value >> bit + 8 & 1:
            value ^= 0x131 << bit
    return value
