"""Texas Instruments ADS1115: four analogue inputs of 16 bits over I2C.

Datasheet SBAS444E, 8.6: conversion register 0, config register 1, high byte first; one conversion
at a time, 128 a second; +-4.096 V is 125 uV a count.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import I2c

UV_PER_COUNT = 125
READY = 0x80  # OS, in the high byte
START = 0xC3  # OS; AIN0 against ground; +-4.096 V; one conversion
CHANNEL = 0x10
RATE = 0x83  # 128 a second; no comparator


class Ads1115:
    """One chip. Its channels are converted in turn, one a look; nobody waits for one."""

    def __init__(self, i2c: "I2c", address: int = 0x48):
        self.fault = ""  # "silent", "reset" (it lost what it was told), "range"
        self._i2c = i2c
        self._address = address
        self._word = bytearray(2)
        self._wanted = 0  # bits of the channels that are converted
        self._values: dict[int, int | None] = {}
        self._converting = -1  # none yet

    def channel(self, number: int) -> "Channel":
        """An input of 0..3, from now on one of those that are converted."""
        self._wanted |= 1 << number
        return Channel(self, number)

    def read_uv(self, number: int) -> "int | None":
        """Microvolts of the channel's newest conversion, or None; looks for the one under way."""
        try:
            self._look()
        except OSError:
            self._lose("silent")
        return self._values.get(number)

    def _look(self) -> None:
        word = self._word
        self._i2c.readfrom_mem_into(self._address, 1, word)
        at = self._converting
        if at >= 0:
            if word[0] | READY != START + CHANNEL * at or word[1] != RATE:
                self._lose("reset")
            elif not word[0] & READY:
                return
            else:
                self._i2c.readfrom_mem_into(self._address, 0, word)
                counts = word[0] << 8 | word[1]
                full = counts in (0x7FFF, 0x8000)
                self.fault = "range" if full else ""
                signed = counts - ((counts & 0x8000) << 1)
                self._values[at] = None if full else signed * UV_PER_COUNT
        at = at + 1 & 3
        while not self._wanted >> at & 1:
            at = at + 1 & 3
        self._converting = -1
        word[0] = START + CHANNEL * at
        word[1] = RATE
        self._i2c.writeto_mem(self._address, 1, word)
        self._converting = at

    def _lose(self, fault: str) -> None:
        self.fault = fault
        self._converting = -1
        self._values = {}


class Channel:
    """One input, as an ADC of the board is."""

    def __init__(self, chip: Ads1115, number: int):
        self._chip = chip
        self._number = number

    def following(self) -> "Channel":
        """The next input of the same chip."""
        return self._chip.channel(self._number + 1)

    def read_uv(self) -> "int | None":
        """Microvolts, or None."""
        return self._chip.read_uv(self._number)
