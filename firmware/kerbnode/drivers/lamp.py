"""A dimmable lamp driver on a PWM output (0-10 V through a filter, or a LED current source)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Pwm


class Lamp:
    """Shows a level in 1/1000; an unchanged one costs nothing."""

    def __init__(self, pwm: "Pwm"):
        self._pwm = pwm
        self._level = -1

    def show(self, level: int) -> None:
        """Set the duty cycle."""
        if level != self._level:
            self._level = level
            self._pwm.duty_u16(level * 65_535 // 1000)
