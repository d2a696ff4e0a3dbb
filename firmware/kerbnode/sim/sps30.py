"""An SPS30 as its datasheet (1.0, D1) has it: SHDLC frames, states, cleaning, status register."""

from kerbnode.sim.noise import Noise
from kerbnode.sim.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Masses = tuple[int, ...]  # PM1, PM2.5, PM10 in ug/m3, and what else there is in the air

FLAG, ESCAPE = 0x7E, 0x7D
STUFFED = (FLAG, ESCAPE, 0x11, 0x13)
EVERY_MS = 1000
CLEANING_MS = 10_000
OK, BAD_LENGTH, UNKNOWN, NOT_NOW = 0x00, 0x01, 0x02, 0x43
FAN, LASER, SPEED = 1 << 4, 1 << 5, 1 << 21


class Sps30(Uart):
    """One sensor in air that `feel` tells; without a `clock` each request finds a new value."""

    gap_ms = 1000

    def __init__(self, feel: "Callable[[], Masses]", clock: "Callable[[], int] | None" = None):
        super().__init__(115_200, clock)
        self.status = 0  # register of FAN, LASER, SPEED
        self.old_firmware = False  # before 2.2: it knows no status register
        self.floats = False  # how it was told to write numbers
        self.measuring = False
        self.cleanings = 0
        self.asked_wrongly = 0  # frames that were none
        self.frozen = False
        self._feel = feel
        self._noise = Noise()
        self._given_ms = 0
        self._counts = [0] * 6

    def understand(self, heard: bytes) -> "tuple[int, bytes]":
        """One frame between two flags."""
        if heard[0] != FLAG:
            return 1, b""
        end = heard.find(b"\x7e", 1)
        if end < 0:
            return 0, b""
        body = unstuffed(heard[1:end])
        if body is None or len(body) < 4 or sum(body) & 0xFF != 0xFF or body[0] != 0:
            self.asked_wrongly += 1
            return end + 1, b""
        if len(body) != body[2] + 4:
            return end + 1, _answer(body[1], BAD_LENGTH, b"", self.status)
        state, data = self._obey(body[1], body[3:-1])
        return end + 1, _answer(body[1], state, data, self.status)

    def _obey(self, command: int, data: bytes) -> "tuple[int, bytes]":
        now = self._clock() if self._clock else self._given_ms + EVERY_MS
        if command == 0x00:
            if self.measuring:
                return NOT_NOW, b""
            if data not in (b"\x01\x03", b"\x01\x05"):
                return BAD_LENGTH, b""
            self.measuring = True
            self.floats = data == b"\x01\x03"
            self._given_ms = now
        elif command == 0x01:
            if not self.measuring:
                return NOT_NOW, b""
            self.measuring = False
        elif command == 0x56:
            if not self.measuring:
                return NOT_NOW, b""
            self.cleanings += 1
            if self._clock:
                self._given_ms = now + CLEANING_MS
        elif command == 0x03:
            return self._values(now)
        elif command == 0xD2 and not self.old_firmware:
            return OK, self.status.to_bytes(4, "big") + b"\0"
        else:
            return UNKNOWN, b""
        return OK, b""

    def _values(self, now: int) -> "tuple[int, bytes]":
        if not self.measuring:
            return NOT_NOW, b""
        if now - self._given_ms < EVERY_MS:
            return OK, b""
        self._given_ms = now
        if self.floats:
            return OK, bytes(40)
        pm1, pm2_5, pm10 = self._feel()[:3]
        if not self.frozen:
            self._counts = [pm2_5 * each + self._noise.below(9) for each in (7, 8, 8, 8, 8)]
            self._counts.append(450 + self._noise.below(200))
        masses = (pm1, pm2_5, (pm2_5 + pm10) // 2, pm10)
        return OK, b"".join([n.to_bytes(2, "big") for n in masses + tuple(self._counts)])


def _answer(command: int, state: int, data: bytes, status: int) -> bytes:
    body = bytes((0, command, state | (0x80 if status else 0), len(data))) + data
    body += bytes((~sum(body) & 0xFF,))
    stuffed = b""
    for byte in body:
        stuffed += bytes((ESCAPE, byte ^ 0x20)) if byte in STUFFED else bytes((byte,))
    return b"\x7e" + stuffed + b"\x7e"


def unstuffed(body: bytes) -> "bytes | None":
    """What is between two flags in plain bytes; None where an escape is wrong."""
    plain = bytearray()
    escaped = False
    for byte in body:
        if escaped:
            byte ^= 0x20
            if byte not in STUFFED:
                return None
        elif byte == ESCAPE:
            escaped = True
            continue
        escaped = False
        plain.append(byte)
    return None if escaped else bytes(plain)
