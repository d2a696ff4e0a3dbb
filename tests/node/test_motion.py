"""A motion sensor that warms up, sees cars, and gets stuck; a thermometer on its own wire."""

from kerbnode.drivers.motion import Motion
from kerbnode.drivers.tmp36 import Tmp36


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
