"""The PWM input of a LED driver: the duty cycle is the share of light."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.hal.board import Pwm

FULL = 65_535
STEPS = 254  # of DALI's arc power


class PwmLed:
    """One dimming output; an unchanged level costs nothing.

    `minimum`: the least light in 1/1000 that the LED driver holds; what is on, is on at least so
    far. `inverted`: a low pin is full light, as it is while the chip is in reset. `logarithmic`:
    the LED driver has DALI's curve of its own.
    """

    def __init__(self, pwm: "Pwm", minimum: int = 0, inverted: int = 0, logarithmic: int = 0):
        self._pwm = pwm
        self._minimum = minimum
        self._inverted = inverted
        self._curve: Callable[[int], int] | None = None
        if logarithmic:
            from kerbnode.drivers.dali import arc_power

            self._curve = arc_power
        self._duty = -1

    def show(self, level: int) -> None:
        """Light in 1/1000; 0 is off."""
        if level:
            level = max(level, self._minimum)
        duty = (level * FULL + 999) // 1000  # no less than asked for
        if self._curve:
            duty = self._curve(level) * FULL // STEPS
        if self._inverted:
            duty = FULL - duty
        if duty != self._duty:
            self._duty = duty
            self._pwm.duty_u16(duty)
