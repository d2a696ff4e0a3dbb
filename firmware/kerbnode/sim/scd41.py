"""An SCD41 as its datasheet (1.4) has it: states, checksums, and the time each command takes."""

from kerbnode.sim.noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Air = tuple[int, int, int]  # ppm, 0.1 Celsius, 0.1 % relative humidity

EVERY_MS = 5000
# Milliseconds from a command to its answer, or to the next command.
TAKES = {
    0x3F86: 500,
    0x3682: 1,
    0x3639: 10_000,
    0x21B1: 0,
    0xE4B8: 1,
    0xEC05: 1,
    0xE000: 1,
    0x36F6: 30,
    0x36E0: 1,
}
WHILE_MEASURING = (0x3F86, 0xE4B8, 0xEC05, 0xE000)
SERIAL = (0xF896, 0x9F07, 0x3BBE)


class Scd41:
    """One chip in air that `feel` tells; without a `clock` (ms) nothing takes time."""

    def __init__(self, feel: "Callable[[], Air]", clock: "Callable[[], int] | None" = None):
        self.measuring = False
        self.asleep = False
        self.broken = False  # what its self-test finds
        self.frozen = False
        self.hpa = 1013  # what it compensates for
        self.flip: tuple[int, int] | None = None  # (byte, mask) of each answer
        self._feel = feel
        self._clock = clock
        self._noise = Noise()
        self._answer = b""
        self._free_ms = 0
        self._ready_ms = 0
        self._words: tuple[int, ...] = (0, 0, 0)

    def write(self, data: bytes) -> bool:
        """A command of two bytes, or with a word and its checksum; False: not acknowledged."""
        now = self._now()
        if len(data) not in (2, 5) or now < self._free_ms:
            return False
        command = data[0] << 8 | data[1]
        if command == 0x36F6:
            self.asleep = False
            self._busy(command)
            return False
        if self.asleep or command not in TAKES:
            return False
        if self.measuring and command not in WHILE_MEASURING:
            return False
        if (len(data) == 5) != (command == 0xE000):
            return False
        if len(data) == 5 and crc8(data[2:4]) != data[4]:
            return False
        self._answer = b""
        self._busy(command)
        return self._obey(command, data, now)

    def _obey(self, command: int, data: bytes, now: int) -> bool:
        if command == 0x3F86:
            self.measuring = False
        elif command == 0x36E0:
            self.asleep = True
        elif command == 0x21B1:
            self.measuring = True
            self._ready_ms = now + EVERY_MS
        elif command == 0xE000:
            self.hpa = data[2] << 8 | data[3]
        elif command == 0x3682:
            self._say(SERIAL)
        elif command == 0x3639:
            self._say((0xBEEF if self.broken else 0,))
        elif command == 0xE4B8:
            self._say((0x8006 if self.ready(now) else 0x8000,))
        elif command == 0xEC05:
            if self.ready(now):  # else it does not acknowledge the read that follows
                while self._clock and self._ready_ms <= now:
                    self._ready_ms += EVERY_MS
                self._say(self._measure())
        return True

    def ready(self, now: int) -> bool:
        """Is there a measurement that nobody has read?"""
        return self.measuring and (not self._clock or now >= self._ready_ms)

    def read(self, count: int) -> "bytes | None":
        """The answer, once; None before its time or without one."""
        if self._now() < self._free_ms or not self._answer or count > len(self._answer):
            return None
        said = bytearray(self._answer[:count])
        self._answer = b""
        if self.flip and self.flip[0] < count:
            said[self.flip[0]] ^= self.flip[1]
        return bytes(said)

    def _measure(self) -> "tuple[int, ...]":
        ppm, tenth_c, tenth_pct = self._feel()
        if not self.frozen:
            self._words = (
                ppm,
                (tenth_c + 450) * 65_535 // 1750 + self._noise.below(30),
                tenth_pct * 65_535 // 1000 + self._noise.below(30),
            )
        return self._words

    def _say(self, words: "tuple[int, ...]") -> None:
        for word in words:
            data = word.to_bytes(2, "big")
            self._answer += data + bytes((crc8(data),))

    def _busy(self, command: int) -> None:
        if self._clock:
            self._free_ms = self._clock() + TAKES[command]

    def _now(self) -> int:
        return self._clock() if self._clock else 0


def crc8(data: bytes) -> int:
    """The datasheet's checksum (3.11), by polynomial division bit by bit."""
    start = 0xFF << 8 * (len(data) - 1)  # lies on the first byte
    rest = (int.from_bytes(data, "big") ^ start) << 8
    for bit in range(8 * len(data) + 7, 7, -1):
        if rest >> bit & 1:
            rest ^= 0x131 << bit - 8
    return rest
