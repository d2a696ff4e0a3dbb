"""The PMS5003's driver against its sensor, byte for byte."""

from kerbnode.drivers.pms5003 import Pms5003
from kerbnode.sim import pms5003

AIR = (7, 12, 21)


class Clock:
    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> int:
        return self.ms


def feel() -> "tuple[int, ...]":
    return AIR


def settled(driver: Pms5003, clock: "Clock | None" = None) -> "tuple[int, ...] | None":
    """What comes of a round: looks in ticks of 100 ms until it is done."""
    for _ in range(30):
        found = driver.sample()
        if found is None or found:
            return found
        if clock:
            clock.ms += 100
    raise AssertionError("never done")


def test_a_frame_of_the_manual_is_read() -> None:
    chip = pms5003.Pms5003(feel)
    driver = Pms5003(chip)
    assert settled(driver) == (70, 120, 210)
    assert (driver.fault, driver.fan) == ("", 0)
    assert chip.active


def test_one_frame_a_second_and_a_round_each_five() -> None:
    clock = Clock()
    driver = Pms5003(pms5003.Pms5003(feel, clock.now))
    raws = []
    for _ in range(5):
        assert settled(driver, clock) == (70, 120, 210)
        raws.append(driver.raw)
        clock.ms += 5000
    assert len(set(raws)) == 5, "counts have noise"


def test_passive_mode_is_asked_and_answers() -> None:
    clock = Clock()
    chip = pms5003.Pms5003(feel, clock.now)
    driver = Pms5003(chip, passive=1)
    for _ in range(3):
        clock.ms += 5000
        assert settled(driver, clock) == (70, 120, 210)
        assert not chip.active


def test_a_sensor_that_sleeps_or_waits_is_woken() -> None:
    clock = Clock()
    chip = pms5003.Pms5003(feel, clock.now)
    chip.asleep, chip.active = True, False
    driver = Pms5003(chip)
    assert settled(driver, clock) == (70, 120, 210)
    assert chip.active and not chip.asleep


def test_no_single_wrong_byte_gives_a_value() -> None:
    for at in range(32):
        for mask in (1, 0x10, 0x80, 0xFF):
            chip = pms5003.Pms5003(feel)
            chip.active = False
            driver = Pms5003(chip, passive=1)
            chip.flip = (at, mask)
            assert settled(driver) is None, (at, mask)
            assert driver.fault in ("checksum", "silent")
            chip.flip = None
            assert settled(driver) == (70, 120, 210)
            assert driver.fault == ""


def test_a_cut_frame_and_noise_before_one_do_no_harm() -> None:
    chip = pms5003.Pms5003(feel)
    driver = Pms5003(chip)
    chip.cut = 20
    assert settled(driver) is None
    chip.cut = None
    chip.noise = b"\x42\x4d\x00\x1cBM" * 5
    assert settled(driver) == (70, 120, 210)


def test_silence_is_named_and_ends() -> None:
    chip = pms5003.Pms5003(feel)
    chip.silent = True
    driver = Pms5003(chip)
    assert (settled(driver), driver.fault) == (None, "silent")
    chip.silent = False
    assert (settled(driver), driver.fault) == (AIR_TENTHS, "")


AIR_TENTHS = (70, 120, 210)


def test_air_without_a_particle_is_a_fan_that_stands() -> None:
    chip = pms5003.Pms5003(feel)
    driver = Pms5003(chip)
    settled(driver)
    chip.fan_stopped = True
    for _ in range(11):
        assert settled(driver) == (0, 0, 0)
    assert driver.fan == 0, "clean air may be so for a moment"
    settled(driver)
    assert driver.fan == 1
    chip.fan_stopped = False
    settled(driver)
    assert driver.fan == 0


def test_the_sensor_takes_no_bad_command() -> None:
    chip = pms5003.Pms5003(feel)
    assert chip.understand(b"\x42\x4d\xe1\x00\x00\x01\x70") == (
        7,
        b"\x42\x4d\x00\x04\xe1\x00\x01\x74",
    )
    assert not chip.active
    assert chip.understand(b"\x42\x4d\xe1\x00\x01\x01\x70") == (1, b"")
    assert not chip.active


def test_a_sensor_sends_nothing_of_the_time_before_it_was_there() -> None:
    clock = Clock()
    clock.ms = 3 * 86_400_000  # of a host that was not restarted for days
    chip = pms5003.Pms5003(feel, clock.now)
    assert not chip.read()
    clock.ms += 1_100
    assert len(chip.read() or b"") <= 32
