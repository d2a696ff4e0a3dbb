"""Plantower PMS5003: particles over a serial line, 9600 baud.

Data manual V2.3, appendix A: frames of 32 bytes, one a second of its own accord (active mode) or
one a request (passive); appendix B: commands of 7 bytes. A sum of 16 bits closes both.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Serial

FRAME_BYTES = 32
HEAD = b"\x42\x4d\x00\x1c"
PARTICLES_AT = 10  # PM1, PM2.5 and PM10 "under atmospheric environment"
COUNTS_AT = 16  # particles in 0.1 l, larger than 0.3, 0.5, 1, 2.5, 5 and 10 um
MODE = 0xE1
READ = 0xE2
SLEEP = 0xE4
WAITS = 20  # looks for a frame until it is given up
EMPTY = 12  # frames without a single particle: no air comes through


class Pms5003:
    """One sensor. `fault` is "silent", "checksum" or ""; `fan` is 1 when no air comes through."""

    def __init__(self, serial: "Serial", passive: int = 0):
        self.fault = "silent"
        self.fan = 0
        self.raw: object = None  # the newest counts as the sensor gave them
        self._serial = serial
        self._passive = passive
        self._bytes = b""
        self._waited = 0
        self._empty = 0

    def sample(self) -> "tuple[int, ...] | None":
        """(PM1, PM2.5, PM10) in 0.1 ug/m3, () until a frame is here, None with `fault`."""
        if not self._waited:
            if self.fault:
                self._tell(SLEEP, 1)  # wake up
                self._tell(MODE, 1 - self._passive)
            if self._passive:
                self._tell(READ, 0)
        self._waited += 1
        data = (self._bytes + (self._serial.read() or b""))[-2 * FRAME_BYTES :]
        at = data.rfind(HEAD)
        while at >= 0 and not _is_whole(data, at):
            at = data.rfind(HEAD, 0, at)
        self._bytes = data[at + FRAME_BYTES :] if at >= 0 else data
        if at < 0 and self._waited < WAITS:
            return ()
        self._waited = 0
        if at < 0:
            self.fault = "checksum" if HEAD in data else "silent"
            return None
        self.fault = ""
        self.raw = counts = data[at + COUNTS_AT : at + COUNTS_AT + 12]
        self._empty = 0 if any(counts) else self._empty + 1
        self.fan = int(self._empty >= EMPTY)
        return tuple(
            [
                10 * (data[place] << 8 | data[place + 1])
                for place in range(at + PARTICLES_AT, at + COUNTS_AT, 2)
            ]
        )

    def _tell(self, command: int, value: int) -> None:
        frame = bytes((0x42, 0x4D, command, 0, value))
        self._serial.write(frame + sum(frame).to_bytes(2, "big"))


def _is_whole(data: bytes, at: int) -> bool:
    end = at + FRAME_BYTES - 2
    if len(data) < end + 2:
        return False
    total = 0
    for place in range(at, end):
        total += data[place]
    return total == data[end] << 8 | data[end + 1]
