"""The SPS30's driver against its sensor, byte for byte."""

from kerbnode.drivers import sps30 as driver_sps30
from kerbnode.drivers.sps30 import Sps30
from kerbnode.sim import sps30

AIR = (7, 12, 21)


class Clock:
    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> int:
        return self.ms


def feel() -> "tuple[int, ...]":
    return AIR


def settled(driver: Sps30, clock: "Clock | None" = None) -> "tuple[int, ...] | None":
    """What comes of a round: looks in ticks of 100 ms until it is done."""
    for _ in range(80):
        found = driver.sample()
        if found is None or found:
            return found
        if clock:
            clock.ms += 100
    raise AssertionError("never done")


def test_the_frames_of_the_datasheet() -> None:
    assert driver_sps30.framed(b"\x00\x00\x02\x01\x05") == b"\x7e\x00\x00\x02\x01\x05\xf7\x7e"
    assert driver_sps30.framed(b"\x00\x01\x00") == b"\x7e\x00\x01\x00\xfe\x7e"
    assert driver_sps30.framed(b"\x00\x03\x00") == b"\x7e\x00\x03\x00\xfc\x7e"
    for command, data in driver_sps30.ORDER:
        inner = driver_sps30.framed(bytes((0, command, len(data))) + data)[1:-1]
        assert not any(byte in sps30.STUFFED for byte in inner), "a request would need stuffing"


def test_it_starts_cleans_and_measures() -> None:
    chip = sps30.Sps30(feel)
    driver = Sps30(chip)
    assert settled(driver) == (70, 120, 210)
    assert (driver.fault, driver.fan) == ("", 0)
    assert chip.measuring and not chip.floats and chip.cleanings == 1
    for _ in range(10):
        assert settled(driver) == (70, 120, 210)
    assert chip.cleanings == 1 and chip.asked_wrongly == 0


def test_in_its_own_time() -> None:
    clock = Clock()
    chip = sps30.Sps30(feel, clock.now)
    driver = Sps30(chip)
    got = []
    for _ in range(8):
        got.append(settled(driver, clock))
        clock.ms = (clock.ms // 5000 + 1) * 5000
    assert got[:2] == [None, None], "it cleans"
    assert got[-5:] == [(70, 120, 210)] * 5


def test_one_that_measures_in_floats_already_is_told_anew() -> None:
    chip = sps30.Sps30(feel)
    chip.measuring = chip.floats = True
    driver = Sps30(chip)
    assert settled(driver) == (70, 120, 210)
    chip.floats = True
    assert (settled(driver), driver.fault) == (None, "refused")
    assert settled(driver) == (70, 120, 210)


def test_one_that_lost_power_is_started_again() -> None:
    chip = sps30.Sps30(feel)
    driver = Sps30(chip)
    settled(driver)
    chip.measuring = False
    assert (settled(driver), driver.fault) == (None, "refused")
    assert settled(driver) == (70, 120, 210)
    assert chip.cleanings == 2


def test_the_status_register_is_heard() -> None:
    chip = sps30.Sps30(feel)
    driver = Sps30(chip)
    for status, fan, fault in (
        (sps30.FAN, 1, ""),
        (sps30.SPEED, 2, ""),
        (sps30.LASER, 0, "laser"),
        (0, 0, ""),
    ):
        chip.status = status
        found = settled(driver)
        assert (driver.fan, driver.fault) == (fan, fault)
        assert (found is None) == (fault == "laser")


def test_firmware_without_a_status_register_still_measures() -> None:
    chip = sps30.Sps30(feel)
    chip.old_firmware = True
    driver = Sps30(chip)
    assert settled(driver) == (70, 120, 210)


def test_no_single_wrong_byte_gives_a_wrong_value() -> None:
    """Masses of 0x7E, 0x7D, 0x11 and 0x13 among them, so that bytes are stuffed."""
    for air in (AIR, (0x11, 0x7D, 0x137E)):
        right = tuple([10 * mass for mass in air])
        for at in range(36):
            for mask in (1, 0x20, 0x80, 0x7E ^ air[1], 0x7D ^ air[1], 0xFF):
                chip = sps30.Sps30(lambda: air)
                driver = Sps30(chip)
                assert settled(driver) == right
                chip.flip = (at, mask)
                while driver.sample() is not None:
                    if chip.asked > 100:
                        break
                assert driver.raw is not None
                chip.flip = (at, mask)
                for _ in range(3):
                    found = settled(driver)
                    assert found in (None, right), (at, mask, found)
                chip.flip = None
                settled(driver)
                assert settled(driver) == right


def test_any_byte_in_place_of_any_other_of_an_answer() -> None:
    """Every one of 255 wrong values, in each place of the answer to a read."""
    chip = sps30.Sps30(feel)
    driver = Sps30(chip)
    settled(driver)
    chip.understand(b"\x7e\x00\x03\x00\xfc\x7e")
    _, answer = chip.understand(b"\x7e\x00\x03\x00\xfc\x7e")
    for at in range(len(answer)):
        for mask in range(1, 256):
            garbled = bytearray(answer)
            garbled[at] ^= mask
            driver._heard = bytes(garbled)
            found = driver._answer(3)
            assert found == b"" or found == answer_of(answer), (at, mask)


def answer_of(frame: bytes) -> bytes:
    plain = sps30.unstuffed(frame[1:-1])
    assert plain is not None
    return plain[:-1]


def test_silence_and_half_an_answer_are_named_and_end() -> None:
    chip = sps30.Sps30(feel)
    driver = Sps30(chip)
    chip.silent = True
    assert (settled(driver), driver.fault) == (None, "silent")
    chip.silent = False
    chip.cut = 4
    assert (settled(driver), driver.fault) == (None, "checksum")
    chip.cut = None
    assert settled(driver) == (70, 120, 210)
