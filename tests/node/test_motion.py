"""A motion sensor that warms up, sees cars, and gets stuck; thermometers on their own wire."""

from kerbnode.drivers.battery import Battery
from kerbnode.drivers.motion import Motion
from kerbnode.drivers.ntc import Ntc
from kerbnode.drivers.tmp36 import Tmp36
from kerbnode.sim import ntc


class Wire:
    """A sensor's output: a level, and a pulse that a latch keeps."""

    def __init__(self) -> None:
        self.high = False
        self.pulse = False

    def take(self) -> bool:
        seen = self.high or self.pulse
        self.pulse = False
        return seen


class Voltage:
    """Microvolts, as told."""

    def __init__(self, microvolts: int):
        self.microvolts = microvolts

    def read_uv(self) -> int:
        return self.microvolts


def test_a_pulse_between_two_looks_is_motion_once() -> None:
    wire = Wire()
    motion = Motion(wire, warm_s=0)
    assert not motion.take(0)
    wire.pulse = True
    assert motion.take(100)
    assert not motion.take(200)


def test_a_sensor_that_warms_up_is_not_believed() -> None:
    wire = Wire()
    motion = Motion(wire, warm_s=60)
    for second in range(0, 60, 5):
        wire.pulse = True
        assert not motion.take(1000 * second)
    assert not motion.take(59_999)
    wire.pulse = True
    assert motion.take(60_000)


def test_a_sensor_that_never_rests_is_stuck_until_it_rests() -> None:
    wire = Wire()
    motion = Motion(wire, warm_s=0, stuck_s=600)
    wire.high = True
    for second in range(600):
        assert motion.take(1000 * second)
        assert motion.fault == ""
    assert not motion.take(600_000)
    assert motion.fault == "stuck"
    assert not motion.take(9_000_000)
    wire.high = False
    assert not motion.take(9_000_100)
    assert motion.fault == ""
    wire.pulse = True
    assert motion.take(9_000_200)


def test_a_busy_street_is_not_stuck() -> None:
    wire = Wire()
    motion = Motion(wire, warm_s=0, stuck_s=600)
    for second in range(3000):
        passing = second % 60 != 0
        wire.pulse = passing
        assert motion.take(1000 * second) == passing
        assert motion.fault == ""


def test_a_thermometer_knows_its_chips_range() -> None:
    for celsius in range(-40, 126):
        sensor = Tmp36(Voltage(500_000 + 10_000 * celsius))
        assert (sensor.celsius(), sensor.fault) == (celsius, "")
        for off_uv in (-5000, 4900):
            assert Tmp36(Voltage(500_000 + 10_000 * celsius + off_uv)).celsius() == celsius
    for microvolts in (0, 90_000, 1_760_000, 3_300_000):
        sensor = Tmp36(Voltage(microvolts))
        assert (sensor.celsius(), sensor.fault) == (None, "range")
    wire = Voltage(0)
    sensor = Tmp36(wire)
    sensor.celsius()
    wire.microvolts = 750_000
    assert (sensor.celsius(), sensor.fault) == (25, "")


class Uncalibrated:
    """An analogue input of a chip whose fuses hold no reference."""

    def read_uv(self) -> int:
        raise OSError(-0x106, "ESP_ERR_NOT_SUPPORTED")


def test_an_input_that_gives_no_voltage_is_told_and_stops_nothing() -> None:
    for sensor in (Tmp36(Uncalibrated()), Ntc(Uncalibrated())):
        assert (sensor.celsius(), sensor.fault) == (None, "silent")
    battery = Battery(Uncalibrated())
    assert (battery.millivolts(0), battery.fault) == (None, "silent")


def test_a_thermistor_knows_each_degree_of_its_divider() -> None:
    for series_ohm, supply_mv in ((10_000, 3300), (33_000, 3300), (4700, 3000)):
        warmth = [0.0]
        wire = ntc.Ntc(lambda: warmth[0], series_ohm, supply_mv)
        sensor = Ntc(wire, series_ohm=series_ohm, supply_mv=supply_mv)
        for celsius in range(-39, 125):
            for off in (-0.4, 0, 0.4):
                warmth[0] = celsius + off
                assert (sensor.celsius(), sensor.fault) == (celsius, "")


# R / R25 of a thermistor of B25/85 = 3977 K by its maker's table (Vishay NTCLE100E3103).
TABLE = ((-20, 9.71), (0, 3.265), (25, 1.0), (50, 0.3602), (85, 0.1071))


def test_a_thermistor_of_a_makers_table_is_within_two_degrees() -> None:
    for celsius, ratio in TABLE:
        sensor = Ntc(Voltage(int(3_300_000 * ratio / (ratio + 1))), beta=3977)
        assert abs((sensor.celsius() or 99) - celsius) <= 2


def test_a_thermistor_that_is_off_or_shorted_is_no_temperature() -> None:
    wire = ntc.Ntc(lambda: 20.0)
    sensor = Ntc(wire)
    for broken in ("open_wire", "short"):
        setattr(wire, broken, True)
        assert (sensor.celsius(), sensor.fault) == (None, "range")
        setattr(wire, broken, False)
        assert (sensor.celsius(), sensor.fault) == (20, "")
    for microvolts in (-5, 1, 3_299_999, 3_400_000):
        assert Ntc(Voltage(microvolts)).celsius() is None
