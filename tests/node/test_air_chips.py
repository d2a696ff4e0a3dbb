"""Climate sensors and the converter of gas cells against their chips, byte for byte."""

from kerbnode.drivers.ads1115 import Ads1115
from kerbnode.drivers.bme280 import Bme280
from kerbnode.drivers.sensirion import crc8
from kerbnode.drivers.sht4x import Sht4x
from kerbnode.sim import ads1115, bme280, sht4x
from kerbnode.sim.i2c import Bus
from node.metered import Clock


class Air:
    """Celsius, % relative humidity and hPa, as told."""

    def __init__(self, celsius: float, percent: float, hectopascals: float = 1013.25):
        self.values = celsius, percent, hectopascals

    def climate(self) -> "tuple[float, float]":
        return self.values[:2]

    def all(self) -> "tuple[float, float, float]":
        return self.values


class Inputs:
    """Microvolts at four inputs."""

    def __init__(self, *microvolts: int):
        self.microvolts = list(microvolts)

    def feel(self, number: int) -> int:
        return self.microvolts[number]


def test_the_checksum_is_that_of_the_datasheet() -> None:
    assert crc8(b"\xbe\xef") == 0x92
    assert crc8(b"\xbe\xef\x92") == 0


def test_an_sht4x_reads_the_air() -> None:
    for address in (0x44, 0x45):
        for celsius, percent in ((-40, 0), (-0.3, 99.9), (21.4, 45.6), (85, 100)):
            chip = sht4x.Sht4x(Air(celsius, percent).climate)
            sensor = Sht4x(Bus({address: chip}), address)
            assert sensor.sample() is None, "it begins to measure"
            read = sensor.sample()
            assert read is not None
            assert abs(read[0] - 10 * celsius) <= 1
            assert abs(read[1] - 10 * percent) <= 1
            assert sensor.fault == ""


def test_an_sht4x_gets_its_time() -> None:
    clock = Clock()
    sensor = Sht4x(Bus({0x44: sht4x.Sht4x(Air(20, 50).climate, clock.now)}))
    sensor.sample()
    clock.ms += 5
    assert (sensor.sample(), sensor.fault) == (None, "silent"), "it does not answer so soon"
    clock.ms += 100
    sensor.sample()
    clock.ms += 100
    assert (sensor.sample(), sensor.fault) == ((200, 500), "")


def test_no_wrong_byte_of_an_sht4x_is_believed() -> None:
    for at in range(6):
        for bit in range(8):
            chip = sht4x.Sht4x(Air(20, 50).climate)
            sensor = Sht4x(Bus({0x44: chip}))
            sensor.sample()
            chip.flip = at, 1 << bit
            assert (sensor.sample(), sensor.fault) == (None, "checksum"), (at, bit)
            chip.flip = None
            assert (sensor.sample(), sensor.fault) == ((200, 500), "")


def test_a_bus_that_nobody_drives_is_no_climate() -> None:
    for make, chip in (
        (Sht4x, sht4x.Sht4x(Air(20, 50).climate)),
        (Bme280, bme280.Bme280(Air(20, 50).all)),
    ):
        bus = Bus({0x44: chip, 0x76: chip})
        sensor = make(bus)
        sensor.sample()
        bus.stuck = True
        assert sensor.sample() is None
        assert sensor.fault in ("checksum", "range")
        bus.stuck = False
        bus.absent = True
        assert (sensor.sample(), sensor.fault) == (None, "silent")
        bus.absent = False
        sensor.sample()
        assert sensor.sample() is not None
        assert sensor.fault == ""


def test_more_than_all_humidity_is_all() -> None:
    for percent, wanted in ((110, 1000), (-4, 0)):
        sensor = Sht4x(Bus({0x44: sht4x.Sht4x(Air(20, percent).climate)}))
        sensor.sample()
        assert (sensor.sample() or (0, -1))[1] == wanted


def test_what_no_street_has_is_no_climate() -> None:
    for celsius, hectopascals in ((95, 1000), (-50, 1000), (20, 250)):
        sensor = Bme280(Bus({0x76: bme280.Bme280(Air(celsius, 50, hectopascals).all)}))
        sensor.sample()
        assert (sensor.sample(), sensor.fault) == (None, "range"), (celsius, hectopascals)
    hot = Sht4x(Bus({0x44: sht4x.Sht4x(Air(128, 50).climate)}))
    hot.sample()
    assert (hot.sample(), hot.fault) == (None, "range")


def test_a_bme280_reads_the_air() -> None:
    for celsius, percent, hectopascals in (
        (-20, 30, 950),
        (0, 90, 1013.2),
        (25.1, 45.5, 1006.5),
        (60, 10, 700),
    ):
        for address in (0x76, 0x77):
            air = Air(celsius, percent, hectopascals)
            sensor = Bme280(Bus({address: bme280.Bme280(air.all)}), address)
            assert sensor.sample() is None, "it begins to measure"
            read = sensor.sample()
            assert read is not None
            assert abs(read[0] - 10 * celsius) <= 1, read
            assert abs(read[1] - 10 * percent) <= 2, read
            assert abs(read[2] - 10 * hectopascals) <= 1, read


def test_the_datasheets_example_in_floats_and_in_whole_numbers() -> None:
    """Its raw 519,888 and 415,148 are 25.08 Celsius and 100,653.27 Pa."""
    warm = bme280.fine(519_888)
    assert abs(warm - 128_422.3) < 1
    assert abs(bme280.pascals(415_148, warm) - 100_653.26) < 0.05
    chip = bme280.Bme280(Air(25.0825, 50, 1006.5326).all)
    sensor = Bme280(Bus({0x76: chip}))
    sensor.sample()
    assert sensor.sample() == (251, 500, 10_065)
    raw = int.from_bytes(chip.read_raw()[:6], "big")
    assert abs((raw >> 28) - 415_148) <= 1
    assert abs((raw >> 4 & 0xF_FFFF) - 519_888) <= 1


def test_trimming_that_reads_in_two_ways_is_not_believed() -> None:
    for at in range(0x88, 0xA2):
        chip = bme280.Bme280(Air(20, 50).all)
        sensor = Bme280(Bus({0x76: chip}))
        chip.flip = at, 0x40
        assert sensor.sample() is None and sensor.sample() is None
        assert sensor.fault == "trimming"
        chip.flip = None
        sensor.sample()
        assert sensor.sample() == (200, 500, 10_132)


def test_a_bme280_sleeps_until_it_is_asked_and_gets_its_time() -> None:
    clock = Clock()
    chip = bme280.Bme280(Air(20, 50, 1000).all, clock.now)
    sensor = Bme280(Bus({0x76: chip}))
    sensor.sample()
    clock.ms += 5
    assert (sensor.sample(), sensor.fault) == (None, "reset"), "nothing is measured so soon"
    clock.ms += 5000
    sensor.sample()
    clock.ms += 5000
    assert sensor.sample() == (200, 500, 10_000)
    done = chip.measurements
    clock.ms += 50_000
    sensor.sample()
    assert chip.measurements == done + 1


def test_a_bme280_that_lost_power_is_told_again() -> None:
    chip = bme280.Bme280(Air(20, 50, 1000).all)
    sensor = Bme280(Bus({0x76: chip}))
    sensor.sample()
    chip.power_on()
    assert (sensor.sample(), sensor.fault) == (None, "reset")
    sensor.sample()
    assert (sensor.sample(), sensor.fault) == ((200, 500, 10_000), "")


def test_another_chip_at_its_address_is_none() -> None:
    sensor = Bme280(Bus({0x76: bme280.Bme280(Air(20, 50).all, identity=0x58)}))
    for _ in range(3):
        assert (sensor.sample(), sensor.fault) == (None, "address"), "a BMP280 has no humidity"


def test_an_ads1115_converts_its_channels_in_turn() -> None:
    volts = Inputs(500_000, -1_000_000, 3_300_000, 0)
    chip = Ads1115(Bus({0x48: ads1115.Ads1115(volts.feel)}))
    channels = [chip.channel(number) for number in (2, 0, 1)]
    for _ in range(4):
        read = [channel.read_uv() for channel in channels]
    for uv, true in zip(read, (3_300_000, 500_000, -1_000_000)):
        assert uv is not None
        assert abs(uv - true) <= 125
    volts.microvolts[2] = 100_000
    for _ in range(2):
        for channel in channels:
            channel.read_uv()
    assert abs((channels[0].read_uv() or 0) - 100_000) <= 125
    assert chip.fault == ""


def test_an_ads1115_takes_its_time_and_nobody_waits() -> None:
    clock = Clock()
    chip = Ads1115(Bus({0x49: ads1115.Ads1115(Inputs(1_000_000, 0, 0, 0).feel, clock.now)}), 0x49)
    channel = chip.channel(0)
    assert channel.read_uv() is None
    clock.ms += 5
    assert channel.read_uv() is None, "128 a second"
    clock.ms += 5
    assert channel.read_uv() == 1_000_000


def test_an_ads1115_that_is_over_its_range_or_lost_its_config_says_so() -> None:
    volts = Inputs(5_000_000, 0, 0, 0)
    part = ads1115.Ads1115(volts.feel)
    bus = Bus({0x48: part})
    chip = Ads1115(bus)
    channel = chip.channel(0)
    channel.read_uv()
    assert (channel.read_uv(), chip.fault) == (None, "range")
    volts.microvolts[0] = 1_000_000
    assert (channel.read_uv(), chip.fault) == (1_000_000, "")
    part.power_on()
    assert (channel.read_uv(), chip.fault) == (None, "reset")
    assert (channel.read_uv(), chip.fault) == (1_000_000, "")
    bus.absent = True
    assert (channel.read_uv(), chip.fault) == (None, "silent")
    bus.absent = False
    channel.read_uv()
    assert (channel.read_uv(), chip.fault) == (1_000_000, "")
    bus.stuck = True
    assert (channel.read_uv(), chip.fault) == (None, "reset"), "its config reads as ones"
