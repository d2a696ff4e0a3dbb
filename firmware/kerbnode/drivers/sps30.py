"""Sensirion SPS30: particles over a serial line, 115,200 baud.

Datasheet 1.0 (D1, 2020): 4.1 SHDLC frames with byte stuffing and a checksum, 4.2 states, 4.3
commands, 4.4 the status register (firmware 2.2 and later), 4.2 fan cleaning: of its own accord
once a week, but only while it is never switched off, so that each start cleans too.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Serial

FLAG = b"\x7e"
STUFFED = (
    (b"\x7d\x5e", b"\x7e"),
    (b"\x7d\x31", b"\x11"),
    (b"\x7d\x33", b"\x13"),
    (b"\x7d\x5d", b"\x7d"),
)
START = 0  # each constant alone, so that it stands where it is used
STOP = 1
READ = 3
CLEAN = 0x56
STATUS = 0xD2
# A start, then what every round asks: command and data; START's is 16-bit whole numbers.
ORDER = ((STOP, b""), (START, b"\x01\x05"), (CLEAN, b""), (STATUS, b"\0"), (READ, b""))
ROUND = 3  # of ORDER: where each round begins
WAITS = 10  # looks for an answer until it is given up
VALUES = 20  # bytes: four masses in ug/m3, five counts, a size in nm
FAN = 1 << 4
LASER = 1 << 5
SPEED = 1 << 21


class Sps30:
    """One sensor. `fault` is "silent", "checksum", "refused", "laser", "late" or "".

    `fan`: 1 when it is on and does not turn, 2 when its speed is out of range.
    """

    def __init__(self, serial: "Serial"):
        self.fault = ""
        self.fan = 0
        self.raw: object = None  # the newest counts as the sensor gave them
        self._serial = serial
        self._at = 0  # of ORDER
        self._heard = b""
        self._looks = 0  # since it was asked
        self._status = 0

    def sample(self) -> "tuple[int, ...] | None":
        """(PM1, PM2.5, PM10) in 0.1 ug/m3, () while it is at work, None with `fault`."""
        heard = self._serial.read() or b""
        command, data = ORDER[self._at]
        self._looks += 1
        if self._looks == 1:
            self._heard = b""
            self._serial.write(framed(bytes((0, command, len(data))) + data))
            return ()
        self._heard += heard
        answer = self._answer(command)
        if not answer and self._looks < WAITS:
            return ()
        self._looks = 0
        if answer and command != READ:
            self._at += 1
            if len(answer) == 9:
                self._status = status = int.from_bytes(answer[4:8], "big")
                self.fan = 1 if status & FAN else 2 if status & SPEED else 0
            return ()
        self._at = 0  # from the start, where anything is wrong
        if not answer:
            self.fault = "checksum" if self._heard else "silent"
        elif answer[2] & 0x7F or len(answer) not in (4, 4 + VALUES):
            self.fault = "refused"  # it does not measure, or in other numbers
        else:
            self._at = ROUND
            # No value since the last one: it cleans its fan, or has just begun.
            self.fault = "laser" if self._status & LASER else "late" if len(answer) == 4 else ""
            if not self.fault:
                self.raw = answer[12:]
                return tuple([10 * (answer[at] << 8 | answer[at + 1]) for at in (4, 6, 10)])
        return None

    def _answer(self, command: int) -> bytes:
        """The whole frame that answers, without its checksum; b"" when it is not here."""
        for frame in self._heard.split(FLAG):
            for stuffed, plain in STUFFED:
                frame = frame.replace(stuffed, plain)
            if len(frame) > 4 and len(frame) == frame[3] + 5 and frame[0] == 0:
                if frame[1] == command and sum(frame) & 0xFF == 0xFF:
                    return frame[:-1]
        return b""


def framed(body: bytes) -> bytes:
    """A frame of address, command, length and data; none of ours has a byte to be stuffed."""
    return FLAG + body + bytes((~sum(body) & 0xFF,)) + FLAG
