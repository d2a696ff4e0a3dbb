"""Sensirion SCD41: carbon dioxide over I2C.

Datasheet 1.4 (2023): 3.5 measuring every 5 s, 3.6.5 ambient pressure, 3.8.2 get_data_ready_status,
3.9.2 get_serial_number, 3.9.3 perform_self_test (10 s), 3.10.4 wake_up, 3.11 checksum; 1 ms from a
command to its answer, 500 ms after stop_periodic_measurement.
"""

from kerbnode.drivers.sensirion import crc8, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ADDRESS = 0x62
WAKE, STOP, SERIAL, TEST, START = 0x36F6, 0x3F86, 0x3682, 0x3639, 0x21B1
READY, READ, PRESSURE = 0xE4B8, 0xEC05, 0xE000
MEASURES = 8  # steps of a start
WAITS = 20  # looks for a measurement until it is given up for this round


class Scd41:
    """One chip. `fault` is "silent", "checksum", "broken" (its self-test), "late" or ""."""

    def __init__(self, i2c: "I2c"):
        self.fault = ""
        self.raw: object = None  # the newest measurement as the chip gave it
        self.serial = 0
        self._i2c = i2c
        self._step = 0  # of `_begin`; from MEASURES on it measures
        self._waited = 0
        self._asked = 0
        self._told_hpa = 0  # what the chip compensates for

    def sample(self, hpa: int = 0) -> "tuple[int, ...] | None":
        """(ppm,), () while it is at work, None with `fault`; one measurement every 5 s.

        Each look is one transfer. A start needs seven rounds of 5 s, for the chip's own test.
        `hpa`: air pressure to compensate for.
        """
        try:
            return self._begin() if self._step < MEASURES else self._measured(hpa)
        except OSError:
            return self._fail("silent")

    def _begin(self) -> "tuple[int, ...] | None":
        """One step a round: whatever it did before, it stops, proves itself and starts."""
        step = self._step
        self._step += 1
        if step == 0:
            try:
                self._send(WAKE)  # a sleeping chip does not acknowledge what wakes it
            except OSError:
                pass
            self._told_hpa = 0
        elif step == 1:
            self._send(STOP)
        elif step == 2:
            self._send(SERIAL)
            return ()
        elif step == 3:
            found = self._words(9)
            if found is None:
                return None
            self.serial = found[0] << 32 | found[1] << 16 | found[2]
            self._send(TEST)
        elif step == 6:
            found = self._words(3)
            if found is None:
                return None
            if found[0]:
                return self._fail("broken")
        elif step == MEASURES - 1:
            self._send(START)
        return None

    def _measured(self, hpa: int) -> "tuple[int, ...] | None":
        asked, self._asked = self._asked, 0
        if asked == READ:
            found = self._words(9)
            if found is None:
                return None
            self.fault = ""
            self.raw = found
            return (found[0],)
        if asked == READY:
            found = self._words(3)
            if found is None:
                return None
            if found[0] & 0x7FF:
                self._waited = 0
                self._send(READ)
                return ()
            self._waited += 1
            if self._waited >= WAITS:
                self._waited = 0
                self._step -= 1  # it does not measure: tell it once more
                return self._fail("late")
        if 700 <= hpa <= 1200 and hpa != self._told_hpa:
            data = hpa.to_bytes(2, "big")
            self._i2c.writeto(ADDRESS, PRESSURE.to_bytes(2, "big") + data + bytes((crc8(data),)))
            self._told_hpa = hpa
            return ()
        self._send(READY)
        return ()

    def _send(self, command: int) -> None:
        self._asked = command
        self._i2c.writeto(ADDRESS, command.to_bytes(2, "big"))

    def _words(self, count: int) -> "list[int] | None":
        answer = bytearray(count)
        self._i2c.readfrom_into(ADDRESS, answer)
        found = words(answer)
        if found is None:
            self.fault = "checksum"
        return found

    def _fail(self, fault: str) -> "tuple[int, ...] | None":
        self.fault = fault
        self._asked = 0
        if fault != "late":
            self._step = 0
        return None
