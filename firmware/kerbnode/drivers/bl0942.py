"""Shanghai Belling BL0942: power, voltage and current of the mains over a UART.

Datasheet V1.06: a packet of all registers on request, 4800 to 38,400 baud, 8N1; with I and V in
mV at the pins and Vref = 1.218 V, I_RMS = 305978 I / Vref, V_RMS = 73989 V / Vref and
WATT = 3537 I V cos(phi) / Vref^2; mains frequency = 1 MHz / FREQ.
"""

from kerbnode.drivers.asked import Asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.drivers.asked import Reading
    from kerbnode.hal.board import Serial

READ = 0x58
PACKET = 0xAA
HEAD = 0x55
LENGTH = 23
V_COUNTS = 60_746_305  # V_RMS for a volt at the pin
I_COUNTS = 2512  # I_RMS for 10 mA through a milliohm
W_COUNTS = 23_842  # WATT for 10 W with a shunt of 1 microohm and a divider of 1
V_MOST = 4_300_000  # the inputs take 70 mV and 30 mV RMS at most
I_MOST = 7_600_000


class Bl0942(Asked):
    """One chip. `shunt_uohm`: the shunt; `divider`: mains volts for one at the pin.

    A shunt that is wired the wrong way round counts the lamp's power as negative: its size counts.
    """

    def __init__(
        self, serial: "Serial", shunt_uohm: int = 1000, divider: int = 3825, address: int = 0
    ):
        super().__init__(serial, bytes((READ | address, PACKET)), LENGTH, self.decode)
        self._key = READ | address
        self._volt = V_COUNTS // divider
        self._amp = I_COUNTS * shunt_uohm // 1000
        self._watt = W_COUNTS * shunt_uohm // divider
        self.period_us = 0  # of the mains; 0 when there was none to measure
        self.pulses = 0  # CF_CNT: 24 bits of energy, one each 1638.4 * 256 / WATT seconds

    def decode(self, answer: bytes) -> "Reading | str":
        """The reading of a packet; its checksum makes all of it 0xFF, with the command."""
        if answer[0] != HEAD or (self._key + sum(answer)) & 0xFF != 0xFF:
            return "checksum"
        amperes = _word(answer, 1)
        volts = _word(answer, 4)
        watts = _word(answer, 10)
        if amperes > I_MOST or volts > V_MOST:
            return "range"
        if watts & 0x80_0000:
            watts = 0x100_0000 - watts
        self.pulses = _word(answer, 13)
        self.period_us = _word(answer, 16)
        return (
            (watts * 100 + self._watt // 2) // self._watt,
            (volts * 10 + self._volt // 2) // self._volt,
            (amperes * 10 + self._amp // 2) // self._amp,
        )


def _word(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16
