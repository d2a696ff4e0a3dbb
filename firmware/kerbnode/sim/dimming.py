"""What dimming outputs end in: a LED driver's PWM input, and gear with a 1 to 10 V input."""

from math import log10

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FULL = 65_535
LED_HZ = range(100, 3001)  # what a LED driver follows
FILTER_HZ = 200  # below that the filter's ripple shows in the light


class LedDriver:
    """The share of light follows the duty cycle at the pin; off below the least it can hold."""

    def __init__(self, hz: int, least: float = 0.0, told: "Callable[[int], None] | None" = None):
        if hz not in LED_HZ:
            raise ValueError("no LED driver follows such a frequency")
        self.light = 0.0
        self.writes = 0
        self._least = least
        self._told = told

    def duty_u16(self, duty: int) -> None:
        """The pin's duty cycle, as machine.PWM takes it."""
        if not 0 <= duty <= FULL:
            raise ValueError("no such duty")
        self.writes += 1
        share = duty / FULL
        self.light = share if share >= self._least else 0.0
        if self._told:
            self._told(duty)


class VoltGear:
    """Filter, amplifier and control gear after IEC 60929, annex E; `inverting` as a transistor is.

    `logarithmic`: from `least` at 1 V to all at 10 V in equal ratios instead of equal steps.
    """

    def __init__(
        self,
        hz: int,
        least: float = 0.1,
        *,
        inverting: bool = False,
        logarithmic: bool = False,
        full_v: float = 10.0,
    ):
        if hz < FILTER_HZ:
            raise ValueError("the filter lets such a frequency through")
        self.volts = full_v if inverting else 0.0  # a pin in reset
        self.writes = 0
        self._least = least
        self._inverting = inverting
        self._logarithmic = logarithmic
        self._full_v = full_v

    def duty_u16(self, duty: int) -> None:
        """The pin's duty cycle, as machine.PWM takes it."""
        if not 0 <= duty <= FULL:
            raise ValueError("no such duty")
        self.writes += 1
        share = (FULL - duty if self._inverting else duty) / FULL
        self.volts = share * self._full_v

    @property
    def light(self) -> float:
        """Its share; none where the voltage says off, which not all gear understands."""
        if self.volts < 0.5:
            return 0.0
        part = (min(10.0, max(1.0, self.volts)) - 1) / 9
        if self._logarithmic:
            return float(10 ** (log10(self._least) * (1 - part)))
        return self._least + (1 - self._least) * part
