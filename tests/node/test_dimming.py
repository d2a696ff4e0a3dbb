"""Dimming outputs and the relay against what they drive; DALI's curve against the standard."""

from kerbnode.drivers import dali
from kerbnode.drivers.pwm_0_10v import Pwm010v
from kerbnode.drivers.pwm_led import PwmLed
from kerbnode.drivers.relay import Relay
from kerbnode.sim.dimming import LedDriver, VoltGear

# IEC 62386-102, table of the logarithmic curve: arc power and percent, rounded there to 3 digits.
CURVE = ((1, 0.1), (60, 0.501), (85, 0.991), (126, 3.035), (145, 5.099), (170, 10.091))
CURVE += ((195, 19.97), (210, 30.072), (229, 50.53), (241, 70.115), (254, 100.0))


class Coil:
    """A pin with a relay's coil: what it was told, and how often."""

    def __init__(self) -> None:
        self.current = 0
        self.writes = 0

    def value(self, current: int) -> None:
        self.current = current
        self.writes += 1


def test_the_curve_is_that_of_the_standard() -> None:
    for arc, percent in CURVE:
        assert abs(dali.light(arc) - 10 * percent) <= 0.51, arc
        nearest = dali.arc_power(int(10 * percent + 0.5))
        assert abs(nearest - arc) <= (1 if percent > 1.5 else 20), (arc, nearest)
    assert (dali.arc_power(0), dali.light(0)) == (0, 0)
    assert (dali.arc_power(1), dali.arc_power(1000)) == (1, 254)
    assert (dali.light(1), dali.light(254), dali.light(255)) == (1, 1000, 1000)
    assert dali.arc_power(5000) == 254


def test_the_curve_never_falls_and_comes_back() -> None:
    for arc in range(2, 255):
        assert dali.light(arc) >= dali.light(arc - 1)
        if arc > 145:  # from 5 % on each step is more than 1/1000
            assert dali.arc_power(dali.light(arc)) == arc
    for light in range(1, 1001):
        back = dali.light(dali.arc_power(light))
        assert abs(back - light) <= 1 + light * 15 // 1000, light


def test_a_led_driver_shows_each_level() -> None:
    gear = LedDriver(1000)
    output = PwmLed(gear)
    for level in range(0, 1001, 7):
        output.show(level)
        assert abs(gear.light * 1000 - level) < 0.02, level
    output.show(1000)
    assert gear.light == 1.0


def test_an_unchanged_level_is_not_written_again() -> None:
    gear = LedDriver(1000)
    output = PwmLed(gear)
    for _ in range(5):
        output.show(300)
    assert gear.writes == 1


def test_what_is_on_is_on_at_least_so_far() -> None:
    gear = LedDriver(1000, 0.05)
    PwmLed(gear).show(20)
    assert gear.light == 0.0, "this driver cannot hold 2 %"
    output = PwmLed(gear, minimum=50)
    for level in (1, 20, 49):
        output.show(level)
        assert gear.light >= 0.05
    output.show(0)
    assert gear.light == 0.0


def test_an_inverted_output_is_full_where_the_pin_is_low() -> None:
    gear = LedDriver(1000)
    output = PwmLed(gear, inverted=1)
    output.show(1000)
    assert gear.light == 0.0, "the pin, which is low: full light behind an inverter"
    output.show(0)
    assert gear.light == 1.0


def test_a_led_driver_with_the_curve_of_its_own_gets_arc_powers() -> None:
    gear = LedDriver(1000)
    output = PwmLed(gear, logarithmic=1)
    for arc in range(255):
        output.show(dali.light(arc))
        if not arc or arc > 145:
            assert abs(gear.light * 254 - arc) < 0.01, arc
    output.show(100)  # 10 % of light is 170 of 254
    assert abs(gear.light - 169 / 254) < 0.005


def test_a_control_voltage_is_that_of_annex_e() -> None:
    gear = VoltGear(1000, 0.1)
    output = Pwm010v(gear, minimum=100)
    for level, volts in ((0, 0.0), (1, 1.0), (100, 1.0), (550, 5.5), (1000, 10.0)):
        output.show(level)
        assert abs(gear.volts - volts) < 0.002, level
    for level in range(100, 1001, 9):
        output.show(level)
        assert abs(gear.light * 1000 - level) < 0.3, level
    output.show(0)
    assert gear.light == 0.0


def test_a_transistor_that_pulls_the_voltage_down_lets_a_reset_lamp_burn() -> None:
    gear = VoltGear(1000, 0.1, inverting=True)
    assert gear.light == 1.0, "in reset"
    output = Pwm010v(gear, minimum=100, inverted=1)
    for level in (100, 333, 1000):
        output.show(level)
        assert abs(gear.light * 1000 - level) < 0.3, level


def test_an_amplifier_may_reach_further_than_ten_volts() -> None:
    gear = VoltGear(1000, 0.1, full_v=12.0)
    output = Pwm010v(gear, minimum=100, full_mv=12_000)
    for level in (100, 500, 1000):
        output.show(level)
        assert gear.volts <= 10.001
        assert abs(gear.light * 1000 - level) < 0.3, level
    weak = VoltGear(1000, 0.1, full_v=9.0)
    Pwm010v(weak, minimum=100, full_mv=9000).show(1000)
    assert abs(weak.volts - 9) < 0.001, "as much as it has"


def test_gear_with_the_curve_of_its_own_gets_it() -> None:
    gear = VoltGear(1000, 0.01, logarithmic=True)
    output = Pwm010v(gear, minimum=10, logarithmic=1)
    for level in range(10, 1001, 11):
        output.show(level)
        assert abs(gear.light * 1000 - level) <= 1 + level * 0.03, level


def test_a_relay_without_current_leaves_the_lamp_its_mains() -> None:
    coil = Coil()
    relay = Relay(coil)
    assert coil.writes == 0, "the output is as the board made it"
    for on, current in ((True, 0), (False, 1), (True, 0)):
        relay.switch(on=on)
        assert (relay.on, coil.current) == (on, current)
    relay.switch(on=True)
    assert coil.writes == 3
    other = Coil()
    opener = Relay(other, normally_closed=0)
    opener.switch(on=True)
    assert other.current == 1
    opener.switch(on=False)
    assert other.current == 0
