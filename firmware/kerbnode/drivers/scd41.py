"""Sensirion SCD41: carbon dioxide over I2C.

Datasheet 1.4 (2023): 3.5 measuring every 5 s, 3.6.5 ambient pressure, 3.8.2 get_data_ready_status,
3.11 checksum; 1 ms from a command to its answer. How it begins: scd41_start.
"""

from kerbnode import loaded
from kerbnode.drivers.sensirion import crc8, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

    Sample = tuple[int, ...] | None

ADDRESS = 0x62
READY = b"\xe4\xb8"
READ = b"\xec\x05"
PRESSURE = b"\xe0\x00"
MEASURES = 8  # steps of a start
WAITS = 20  # looks for a measurement until it is given up for this round


class Scd41:
    """One chip. `fault` is "silent", "checksum", "broken" (its self-test), "late" or ""."""

    def __init__(self, i2c: "I2c"):
        self.fault = ""
        self.raw: object = None  # the newest measurement as the chip gave it
        self.serial = 0
        self._i2c = i2c
        self._step = 0  # of the start; from MEASURES on it measures
        self._waited = 0
        self._asked = b""
        self.hpa = 0  # air pressure to compensate for, as somebody else measured it
        self._told_hpa = 0

    def sample(self) -> "Sample":
        """(ppm,), () while it is at work, None with `fault`; one measurement every 5 s.

        Each look is one transfer. A start needs seven rounds of 5 s, for the chip's own test.
        """
        try:
            return self._begin() if self._step < MEASURES else self._measured()
        except OSError:
            return self._fail("silent")

    def _begin(self) -> "Sample":
        from kerbnode.drivers import scd41_start

        found = scd41_start.step(self._i2c, self._step)
        if isinstance(found, str):
            return self._fail(found)
        self.serial = found or self.serial
        self._step += 1
        self._told_hpa = 0
        if self._step == MEASURES:
            loaded.forget("kerbnode.drivers", ("scd41_start",))
        return () if self._step == 3 else None

    def _measured(self) -> "Sample":
        asked = self._asked
        self._asked = b""
        if asked:
            answer = bytearray(9 if asked == READ else 3)
            self._i2c.readfrom_into(ADDRESS, answer)
            found = words(answer)
            if found is None:
                self.fault = "checksum"
                return None
            if asked == READ:
                self.fault = ""
                self.raw = found
                return (found[0],)
            if found[0] & 0x7FF:
                self._waited = 0
                return self._ask(READ)
            self._waited += 1
            if self._waited >= WAITS:
                self._waited = 0
                self._fail("late")
                self._step = MEASURES - 1  # it does not measure: tell it once more
                return None
        hpa = self.hpa
        if 700 <= hpa <= 1200 and hpa != self._told_hpa:
            data = hpa.to_bytes(2, "big")
            self._i2c.writeto(ADDRESS, PRESSURE + data + bytes((crc8(data),)))
            self._told_hpa = hpa
            return ()
        return self._ask(READY)

    def _ask(self, command: bytes) -> "Sample":
        self._i2c.writeto(ADDRESS, command)
        self._asked = command
        return ()

    def _fail(self, fault: str) -> "Sample":
        self.fault = fault
        self._asked = b""
        self._step = 0
        return None
