"""A PMS5003 as its manual (V2.3) has it: frames by itself or on request, commands, fan."""

from kerbnode.sim.noise import Noise
from kerbnode.sim.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Masses = tuple[int, ...]  # PM1, PM2.5, PM10 in ug/m3, and what else there is in the air

EVERY_MS = 1000
# Particles in 0.1 l for a ug/m3 of PM2.5: larger than 0.3, 0.5, 1, 2.5, 5 and 10 um.
COUNTS = (180, 50, 9, 2, 1, 0)


class Pms5003(Uart):
    """One sensor in air that `feel` tells; without a `clock` a frame is there at every look."""

    def __init__(self, feel: "Callable[[], Masses]", clock: "Callable[[], int] | None" = None):
        super().__init__(9600, clock)
        self.active = True
        self.asleep = False
        self.fan_stopped = False
        self.frozen = False  # its electronics repeat themselves
        self._feel = feel
        self._noise = Noise()
        self._sent_ms = clock() if clock else 0  # a host may be up for days
        self._counts = [0] * 6

    def read(self) -> "bytes | None":
        """What has arrived at the other end."""
        now = self._clock() if self._clock else self._sent_ms + EVERY_MS
        while self.active and not self.asleep and now - self._sent_ms >= EVERY_MS:
            self._sent_ms += EVERY_MS
            self._send(self.frame(), self._sent_ms)
        if self.asleep or not self.active:
            self._sent_ms = now
        return super().read()

    def frame(self) -> bytes:
        """The newest measurement."""
        masses = (0, 0, 0) if self.fan_stopped else self._feel()[:3]
        if not self.frozen:
            self._counts = [
                0 if self.fan_stopped else each * masses[1] + self._noise.below(9 + each)
                for each in COUNTS
            ]
        body = b"\x42\x4d\x00\x1c"
        for value in tuple(masses) * 2 + tuple(self._counts):
            body += min(value, 0xFFFF).to_bytes(2, "big")
        body += b"\x97\x00"  # version, error code
        return body + sum(body).to_bytes(2, "big")

    def understand(self, heard: bytes) -> "tuple[int, bytes]":
        """Commands of seven bytes; a wrong sum or a wrong head is nonsense."""
        if heard[:1] != b"\x42" or heard[1:2] not in (b"", b"\x4d"):
            return 1, b""
        if len(heard) < 7:
            return 0, b""
        if sum(heard[:5]) != heard[5] << 8 | heard[6]:
            return 1, b""
        command, value = heard[2], heard[4]
        if command == 0xE1:
            self.active = bool(value)
        elif command == 0xE4:
            self.asleep = not value
        elif command == 0xE2 and not self.active and not self.asleep:
            return 7, self.frame()
        else:
            return 7, b""
        answer = b"\x42\x4d\x00\x04" + bytes((command, value))
        return 7, answer + sum(answer).to_bytes(2, "big")
