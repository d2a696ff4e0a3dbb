"""Plantower PMS5003: particles over a serial line, one frame a second of its own accord."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Serial

START = b"\x42\x4d"
FRAME_BYTES = 32
PARTICLES_AT = 10  # PM1, PM2.5 and PM10 "under atmospheric environment"
BUFFER_BYTES = 96


class Pms5003:
    """The newest frame counts; what is older is forgotten."""

    def __init__(self, serial: "Serial"):
        self._serial = serial
        self._bytes = b""

    def sample(self) -> "tuple[int | None, int | None, int | None]":
        """(PM1, PM2.5, PM10) in 0.1 ug/m3, or three times None without a whole new frame."""
        data = (self._bytes + (self._serial.read() or b""))[-BUFFER_BYTES:]
        at = data.rfind(START)
        while at >= 0 and not _is_whole(data[at : at + FRAME_BYTES]):
            at = data.rfind(START, 0, at)
        if at < 0:
            self._bytes = data
            return None, None, None
        self._bytes = data[at + FRAME_BYTES :]
        values = [
            10 * (data[at + place] << 8 | data[at + place + 1])
            for place in range(PARTICLES_AT, PARTICLES_AT + 6, 2)
        ]
        return values[0], values[1], values[2]


def _is_whole(frame: bytes) -> bool:
    if len(frame) != FRAME_BYTES:
        return False
    return sum(frame[:-2]) == frame[-2] << 8 | frame[-1]
