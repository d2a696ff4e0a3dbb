"""How an SCD41 begins, loaded for that alone: woken, stopped, known by its number, tested, started.

Datasheet 1.4: 3.10.4 wake_up, 3.5.3 stop_periodic_measurement (500 ms), 3.9.2 get_serial_number,
3.9.3 perform_self_test (10 s), 3.5.1 start_periodic_measurement.
"""

from kerbnode.drivers.sensirion import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

ADDRESS = 0x62
WAKE = 0x36F6
STOP = 0x3F86
SERIAL = 0x3682
TEST = 0x3639
START = 0x21B1
COMMANDS = {0: WAKE, 1: STOP, 2: SERIAL, 3: TEST, 7: START}


def step(i2c: "I2c", number: int) -> "int | str":
    """One of eight steps, 5 s apart but for 3, a tick after 2: a fault, or the chip's number."""
    serial = 0
    if number in (3, 6):
        answer = bytearray(9 if number == 3 else 3)
        i2c.readfrom_into(ADDRESS, answer)
        found = words(answer)
        if found is None:
            return "checksum"
        if number == 6 and found[0]:
            return "broken"
        serial = found[0] << 32 | found[1] << 16 | found[2] if number == 3 else 0
    if number in COMMANDS:
        try:
            i2c.writeto(ADDRESS, COMMANDS[number].to_bytes(2, "big"))
        except OSError:
            if number:  # a sleeping chip does not acknowledge what wakes it
                raise
    return serial
