"""Peacefair PZEM-004T v3.0: power, voltage and current of the mains, Modbus RTU over a UART.

User manual V3.0, 2.4: input registers 0 to 9 by function 04 at 9600 baud; 0xF8 is the address at
which each module answers, where it is alone. CRC: Modbus over serial line V1.02, 6.2.2.
"""

from kerbnode.drivers.asked import Asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.asked import Reading
    from kerbnode.hal.board import Serial

ANYONE = 0xF8
HEAD = b"\x04\x14"  # the function, and ten registers of two bytes
LENGTH = 25
RANGE_DV = (800, 2600)
MOST_DW = 230_000
MOST_MA = 100_000


class Pzem004t(Asked):
    """One module."""

    def __init__(self, serial: "Serial", address: int = ANYONE):
        request = bytes((address, 4, 0, 0, 0, 10))
        super().__init__(serial, request + crc16(request), LENGTH, self.decode)
        self._address = address
        self.registers: list[int] = []  # 5, 6: Wh, low word first; 7: 0.1 Hz; 8: %; 9: alarm

    def decode(self, answer: bytes) -> "Reading | str":
        """The reading of an answer."""
        if crc16(answer[:-2]) != answer[-2:] or answer[1:3] != HEAD:
            return "checksum"
        if answer[0] != self._address and self._address != ANYONE:
            return "address"
        word = [answer[at] << 8 | answer[at + 1] for at in range(3, LENGTH - 2, 2)]
        milliamperes = word[2] << 16 | word[1]
        deciwatts = word[4] << 16 | word[3]
        if (
            not RANGE_DV[0] <= word[0] <= RANGE_DV[1]
            or milliamperes > MOST_MA
            or deciwatts > MOST_DW
        ):
            return "range"
        self.registers = word
        return deciwatts, word[0], milliamperes


def crc16(data: bytes) -> bytes:
    """Modbus' CRC, low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return bytes((crc & 0xFF, crc >> 8))
