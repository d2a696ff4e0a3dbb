"""A meter's clean pulse output, an open collector (ISO 22158, EN 1434-2): so many a litre."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Counter

WRAP = 0xFFFF  # the narrowest counter has 16 bits: it goes round once between two looks at most


class PulseMeter:
    """Pulses since the last look; one is `litres_per_pulse` / `pulses_per_litre` litres."""

    def __init__(self, counter: "Counter", pulses_per_litre: int = 1, litres_per_pulse: int = 1):
        self.weight = litres_per_pulse, pulses_per_litre
        self._counter = counter
        self._seen = counter.value()

    def take(self) -> int:
        """New pulses."""
        value = self._counter.value()
        new = (value - self._seen) & WRAP
        self._seen = value
        return new
