"""A BL0942 as its datasheet (V1.06) has it: registers, packet, checksum."""

from kerbnode.sim.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Mains = tuple[float, float, float]  # watts, volts, amperes

VREF = 1.218
BAUDS = (4800, 9600, 19_200, 38_400)
TOP_OHM = 1_950_000  # five of 390 kOhm ...
FOOT_OHM = 510  # ... above one of 510 Ohm: the datasheet's circuit
MOST = 0xFF_FFFF
I_RMS, V_RMS, I_FAST_RMS, WATT, CF_CNT, FREQ, STATUS = range(3, 10)
PACKET = 0xAA


class Bl0942(Uart):
    """One chip on the mains that `feel` tells of; `address` is what its pins A1 and A2 say."""

    gap_ms = 18

    def __init__(
        self,
        feel: "Callable[[], Mains]",
        baud: int = 9600,
        clock: "Callable[[], int] | None" = None,
        shunt_ohm: float = 0.001,
        address: int = 0,
    ):
        if baud not in BAUDS:
            raise ValueError("a BL0942 has no such rate")
        super().__init__(baud, clock)
        self.pulses = 0
        self.hertz = 50.0
        self._feel = feel
        self._shunt_ohm = shunt_ohm
        self._address = address

    def registers(self) -> "dict[int, int]":
        """Their content now."""
        watts, volts, amperes = self._feel()
        to_pin = 1000 * FOOT_OHM / (TOP_OHM + FOOT_OHM)  # millivolts at VP for a volt
        to_shunt = 1000 * self._shunt_ohm
        power = int(3537 * watts * to_pin * to_shunt / VREF**2)
        current = min(MOST, int(305_978 * amperes * to_shunt / VREF))
        return {
            I_RMS: current,
            V_RMS: min(MOST, int(73_989 * volts * to_pin / VREF)),
            I_FAST_RMS: current,
            WATT: power & MOST,
            CF_CNT: self.pulses & MOST,
            FREQ: min(0xFFFF, int(1_000_000 / self.hertz)) if self.hertz else 0,
            STATUS: 1 if watts < 0 else 0,
        }

    def understand(self, heard: bytes) -> "tuple[int, bytes]":
        """Two bytes read a register or the packet; six write one, which is protected."""
        if heard[0] == 0xA8 | self._address:
            return (6, b"") if len(heard) >= 6 else (0, b"")
        if heard[0] != 0x58 | self._address:
            return len(heard), b""  # for another chip, or nonsense
        if len(heard) < 2:
            return 0, b""
        registers = self.registers()
        if heard[1] == PACKET:
            body = b"\x55"
            for register in range(I_RMS, STATUS + 1):
                body += registers[register].to_bytes(3, "little")
            return 2, _closed(heard[0], body)
        if heard[1] in registers:
            return 2, _closed(heard[0] + heard[1], registers[heard[1]].to_bytes(3, "little"))
        return 2, b""


def _closed(command: int, body: bytes) -> bytes:
    return body + bytes([~(command + sum(body)) & 0xFF])
