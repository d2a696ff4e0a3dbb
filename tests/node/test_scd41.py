"""The SCD41's driver against its chip, byte for byte."""

from kerbnode.drivers.scd41 import Scd41
from kerbnode.drivers.sensirion import crc8, words
from kerbnode.sim import scd41
from kerbnode.sim.i2c import Bus

AIR = (612, 215, 447)


class Clock:
    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> int:
        return self.ms


def feel() -> "tuple[int, int, int]":
    return AIR


class Made:
    """A chip, its bus and its driver in rounds of 5 s."""

    def __init__(self, *, clocked: bool = True) -> None:
        self.clock = Clock()
        self.chip = scd41.Scd41(feel, self.clock.now if clocked else None)
        self.bus = Bus({0x62: self.chip})
        self.driver = Scd41(self.bus)

    def round(self, hpa: int = 0) -> "tuple[int, ...] | None":
        start_ms = self.clock.ms
        for _ in range(45):
            self.driver.hpa = hpa
            found = self.driver.sample()
            if found is None or found:
                self.clock.ms = start_ms + 5000
                return found
            self.clock.ms += 100
        raise AssertionError("never done")

    def rounds(self, count: int) -> "list[tuple[int, ...] | None]":
        return [self.round() for _ in range(count)]


def test_the_checksum_of_the_datasheet() -> None:
    assert crc8(b"\xbe\xef") == 0x92 == scd41.crc8(b"\xbe\xef")
    assert words(b"\xbe\xef\x92\xbe\xef\x92") == [0xBEEF, 0xBEEF]
    assert words(b"\xbe\xef\x93") is None


def test_it_proves_itself_and_measures_every_five_seconds() -> None:
    made = Made()
    got = made.rounds(20)
    assert got[:7] == [None] * 7
    assert got[9:] == [(612,)] * 11, got
    assert made.driver.serial == 0xF896_9F07_3BBE
    assert made.driver.fault == ""


def test_whatever_it_did_before() -> None:
    for measuring, asleep in ((True, False), (False, True)):
        made = Made()
        made.chip.measuring, made.chip.asleep = measuring, asleep
        assert made.rounds(20)[-1] == (612,)


def test_the_raw_words_have_noise() -> None:
    made = Made()
    made.rounds(10)
    first = made.driver.raw
    made.round()
    assert made.driver.raw != first


def test_it_is_told_the_pressure_once_for_each_change() -> None:
    made = Made()
    made.rounds(10)
    assert made.chip.hpa == 1013
    assert made.round(987) == (612,)
    assert made.chip.hpa == 987
    made.chip.hpa = 1
    assert made.round(987) == (612,)
    assert made.chip.hpa == 1
    made.round(988)
    assert made.chip.hpa == 988
    made.round(300)
    assert made.chip.hpa == 988, "out of what it takes"


def test_no_single_wrong_byte_gives_a_value() -> None:
    for at in range(9):
        for mask in range(1, 256):
            made = Made(clocked=False)
            made.driver._step = 8
            made.chip.measuring = True
            made.chip.flip = (at, mask)
            found = made.round()
            assert found is None, (at, mask)
            assert made.driver.fault == "checksum"
            made.chip.flip = None
            assert made.round() == (612,)


def test_a_chip_that_fails_its_own_test_is_broken() -> None:
    made = Made()
    made.chip.broken = True
    made.rounds(7)
    assert made.driver.fault == "broken"
    made.chip.broken = False
    made.rounds(10)
    assert (made.round(), made.driver.fault) == ((612,), "")


def test_silence_is_named_and_the_chip_started_anew() -> None:
    made = Made()
    made.rounds(10)
    made.bus.absent = True
    assert (made.round(), made.driver.fault) == (None, "silent")
    made.bus.absent = False
    made.chip.measuring = False
    made.rounds(10)
    assert made.round() == (612,)


def test_a_bus_that_nobody_drives_gives_nothing() -> None:
    made = Made()
    made.rounds(10)
    made.bus.stuck = True
    assert (made.round(), made.driver.fault) == (None, "checksum")


def test_one_that_lost_power_is_started_again() -> None:
    made = Made()
    made.rounds(10)
    made.chip.measuring = False
    assert (made.round(), made.driver.fault) == (None, "late")
    made.rounds(3)
    assert made.round() == (612,)


def test_the_chip_itself_keeps_its_times() -> None:
    clock = Clock()
    chip = scd41.Scd41(feel, clock.now)
    assert chip.write(b"\x21\xb1")
    assert not chip.write(b"\x36\x82"), "it measures"
    clock.ms = 4000
    assert chip.write(b"\xec\x05")
    clock.ms += 1
    assert chip.read(9) is None, "nothing is there yet"
    assert chip.write(b"\xe4\xb8")
    assert chip.read(3) is None, "too soon"
    clock.ms += 1
    assert chip.read(3) == b"\x80\x00\xa2"
    assert not chip.write(b"\xe0\x00\x03\xf5\x00"), "a bad checksum"
