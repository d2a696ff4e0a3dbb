"""Both light sensors against their chips: range, resolution, saturation, and what fails."""

from kerbnode.drivers.bh1750 import Bh1750
from kerbnode.drivers.veml7700 import Veml7700
from kerbnode.sim import bh1750, veml7700
from kerbnode.sim.i2c import Bus
from node.metered import Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sensor(Protocol):
        fault: str

        def lux(self) -> "int | None": ...


LIGHTS = (0, 1, 3, 10, 34, 35, 36, 70, 500, 1000, 5000, 20_000, 60_000, 110_000)


class Sky:
    """Lux, as told."""

    def __init__(self, lux: float):
        self.lux = lux

    def feel(self) -> float:
        return self.lux


def settled(sensor: "Sensor", looks: int = 3) -> "int | None":
    for _ in range(looks):
        lux = sensor.lux()
    return lux


def test_a_bh1750_measures_from_dark_to_sun_and_back() -> None:
    for address in (0x23, 0x5C):
        sky = Sky(0)
        sensor = Bh1750(Bus({address: bh1750.Bh1750(sky.feel)}), address)
        for lux in LIGHTS + tuple(reversed(LIGHTS)):
            sky.lux = lux
            read = settled(sensor)
            assert read is not None
            assert abs(read - lux) <= 2 + lux // 500, (lux, read)
        assert sensor.fault == ""


def test_a_bh1750_says_bright_at_once_when_it_is_too_bright() -> None:
    sky = Sky(20)
    sensor = Bh1750(Bus({0x23: bh1750.Bh1750(sky.feel)}))
    settled(sensor)
    sky.lux = 100_000
    assert sensor.lux() == 54_612
    assert abs((sensor.lux() or 0) - 100_000) < 200


def test_a_bh1750_gets_its_time_and_one_opcode_a_write() -> None:
    clock = Clock()
    chip = bh1750.Bh1750(Sky(1000).feel, clock.now)
    sensor = Bh1750(Bus({0x23: chip}))
    assert sensor.lux() == 0, "nothing is measured yet; nobody waits"
    clock.ms += 100
    assert sensor.lux() == 0, "120 ms are not over, and it began anew"
    for _ in range(5):
        clock.ms += 200
        assert sensor.lux() == 1000
    assert not chip.write(b"\x01\x20")


def test_a_veml7700_measures_from_dark_to_sun_and_back() -> None:
    sky = Sky(0)
    chip = veml7700.Veml7700(sky.feel)
    sensor = Veml7700(Bus({0x10: chip}))
    for lux in LIGHTS + tuple(reversed(LIGHTS)):
        sky.lux = lux
        read = settled(sensor)
        assert read is not None
        assert abs(read - lux) <= 2 + lux // 200, (lux, read)
        assert abs(chip.resolution() - (0.2688 if lux < 40_000 else 2.1504)) < 2
    assert sensor.fault == ""
    assert abs(chip.resolution() - 0.2688) < 1e-6, "the fine range, when it is dark"


def test_the_bend_of_a_veml7700_is_real_and_undone() -> None:
    assert veml7700.bent(500) == 500
    assert veml7700.bent(100_000) < 30_000
    sensor = Veml7700(Bus({0x10: veml7700.Veml7700(Sky(100_000).feel)}))
    assert abs((settled(sensor) or 0) - 100_000) < 300


def test_a_veml7700_gets_its_time() -> None:
    clock = Clock()
    sensor = Veml7700(Bus({0x10: veml7700.Veml7700(Sky(300).feel, clock.now)}))
    assert sensor.lux() == 0
    clock.ms += 104
    assert sensor.lux() == 300


def test_a_veml7700_that_lost_its_setting_gets_it_again() -> None:
    chip = veml7700.Veml7700(Sky(300).feel)
    sensor = Veml7700(Bus({0x10: chip}))
    assert sensor.lux() == 300
    chip.power_on()
    assert (sensor.lux(), sensor.fault) == (None, "reset")
    assert (sensor.lux(), sensor.fault) == (300, "")


def test_a_bh1750_that_lost_power_is_told_again() -> None:
    chip = bh1750.Bh1750(Sky(300).feel)
    sensor = Bh1750(Bus({0x23: chip}))
    settled(sensor)
    chip.power_on()
    assert sensor.lux() == 0
    assert sensor.lux() == 300


def test_a_bh1750_that_comes_back_tells_no_darkness_that_it_did_not_measure() -> None:
    chip = bh1750.Bh1750(Sky(300).feel)
    bus = Bus({0x23: chip})
    sensor = Bh1750(bus)
    bus.absent = True
    for _ in range(2):
        assert (sensor.lux(), sensor.fault) == (None, "silent")
    chip.power_on()
    bus.absent = False
    assert sensor.lux() is None
    assert (sensor.lux(), sensor.fault) == (300, "")


def test_nobody_on_the_bus_is_silence_and_recovers() -> None:
    for make, address in ((Bh1750, 0x23), (Veml7700, 0x10)):
        sky = Sky(300)
        chip = bh1750.Bh1750(sky.feel) if address == 0x23 else veml7700.Veml7700(sky.feel)
        bus = Bus({address: chip})
        bus.absent = True
        sensor: Sensor = make(bus)
        assert sensor.fault == "silent"
        assert (sensor.lux(), sensor.fault) == (None, "silent")
        bus.absent = False
        assert settled(sensor) == 300
        assert sensor.fault == ""
        elsewhere: Sensor = make(Bus({0x42: chip}))
        assert (elsewhere.lux(), elsewhere.fault) == (None, "silent")


def test_a_bus_that_nobody_drives_is_no_light() -> None:
    bus = Bus({0x23: bh1750.Bh1750(Sky(300).feel)})
    sensor = Bh1750(bus)
    bus.stuck = True
    settled(sensor)
    assert (sensor.lux() is None) or (sensor.lux() is None)
    assert sensor.fault == "range"
    bus.stuck = False
    assert settled(sensor) == 300
    bus = Bus({0x10: veml7700.Veml7700(Sky(300).feel)})
    other = Veml7700(bus)
    bus.stuck = True
    assert settled(other) is None
    assert other.fault == "reset", "its setting reads as ones too"
    bus.stuck = False
    assert settled(other) == 300
