"""A control voltage of 1 to 10 V, made from PWM by a filter and an amplifier.

IEC 60929:2011, annex E.2: 10 V and more is full light, 1 V the least, below that the least or off.
The control gear is the source of the current: with nobody pulling it down, it is at full light.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.hal.board import Pwm

FULL = 65_535
STEPS = 254  # of DALI's arc power
LEAST_MV = 1000
SPAN_MV = 9000


class Pwm010v:
    """One dimming output; an unchanged level costs nothing.

    `minimum`: the light in 1/1000 that the gear gives at 1 V. `inverted`: a low pin is full
    voltage, as it is while the chip is in reset. `full_mv`: the voltage at a duty of one.
    `logarithmic`: the gear has DALI's curve between its least light and its full.
    """

    def __init__(
        self,
        pwm: "Pwm",
        minimum: int = 100,
        inverted: int = 0,
        logarithmic: int = 0,
        full_mv: int = 10_000,
    ):
        self._pwm = pwm
        self._curve: Callable[[int], int] | None = None
        self._least = minimum
        self._most = 1000
        if logarithmic:
            from kerbnode.drivers.dali import arc_power

            self._curve = arc_power
            self._least = arc_power(minimum)
            self._most = STEPS
        self._inverted = inverted
        self._full_mv = full_mv
        self._duty = -1

    def show(self, level: int) -> None:
        """Light in 1/1000; 0 is off (0 V), and less than `minimum` is as little as there is."""
        millivolts = 0
        if level:
            above = max(0, (self._curve(level) if self._curve else level) - self._least)
            millivolts = LEAST_MV + SPAN_MV * above // max(1, self._most - self._least)
        duty = min(FULL, (millivolts * FULL + self._full_mv - 1) // self._full_mv)
        if self._inverted:
            duty = FULL - duty
        if duty != self._duty:
            self._duty = duty
            self._pwm.duty_u16(duty)
