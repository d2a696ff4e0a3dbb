"""A PZEM-004T v3.0 as its manual has it: ten input registers by Modbus RTU at 9600 baud."""

from kerbnode.sim.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Mains = tuple[float, float, float]  # watts, volts, amperes

BAUD = 9600
REGISTERS = 10
GENERAL = 0xF8
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


class Pzem004t(Uart):
    """One module at `address`; `answers_as` makes it lie about who it is."""

    gap_ms = 4  # 3.5 characters

    def __init__(
        self,
        feel: "Callable[[], Mains]",
        clock: "Callable[[], int] | None" = None,
        address: int = 1,
    ):
        super().__init__(BAUD, clock)
        self.energy_wh = 0
        self.hertz = 50.0
        self.alarm_w = 23_000
        self.answers_as: int | None = None
        self._feel = feel
        self._address = address

    def registers(self) -> "list[int]":
        """Their content now."""
        watts, volts, amperes = self._feel()
        milliamperes = int(amperes * 1000 + 0.5)
        deciwatts = int(watts * 10 + 0.5)
        apparent = volts * amperes
        return [
            int(volts * 10 + 0.5),
            milliamperes & 0xFFFF,
            milliamperes >> 16,
            deciwatts & 0xFFFF,
            deciwatts >> 16,
            self.energy_wh & 0xFFFF,
            self.energy_wh >> 16,
            int(self.hertz * 10 + 0.5),
            min(100, int(100 * watts / apparent + 0.5)) if apparent else 0,
            0xFFFF if watts > self.alarm_w else 0,
        ]

    def understand(self, heard: bytes) -> "tuple[int, bytes]":
        """A request has eight bytes; one with a wrong CRC or for another stays unanswered."""
        if len(heard) < 8:
            return 0, b""
        if _crc(heard[:6]) != heard[6:8] or heard[0] not in (self._address, GENERAL):
            return len(heard), b""
        who = heard[0] if self.answers_as is None else self.answers_as
        first = heard[2] << 8 | heard[3]
        count = heard[4] << 8 | heard[5]
        if heard[1] != 4:
            return 8, _closed(bytes([who, heard[1] | 0x80, ILLEGAL_FUNCTION]))
        if not count or first + count > REGISTERS:
            return 8, _closed(bytes([who, 0x84, ILLEGAL_ADDRESS]))
        body = bytes([who, 4, 2 * count])
        for value in self.registers()[first : first + count]:
            body += value.to_bytes(2, "big")
        return 8, _closed(body)


def _closed(body: bytes) -> bytes:
    return body + _crc(body)


def _crc(data: bytes) -> bytes:
    """By polynomial division of the reflected bits, apart from the driver's."""
    value = 0
    for byte in data:
        for bit in range(8):
            value = value << 1 | byte >> bit & 1
    value = value << 16 ^ 0xFFFF << 8 * len(data)
    for bit in range(8 * len(data) - 1, -1, -1):
        if value >> bit + 16 & 1:
            value ^= 0x1_8005 << bit
    reflected = 0
    for bit in range(16):
        reflected |= (value >> bit & 1) << 15 - bit
    return reflected.to_bytes(2, "little")
