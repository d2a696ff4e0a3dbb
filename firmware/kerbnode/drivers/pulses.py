"""A meter's pulse output: a reed contact or an open collector, so many pulses a litre."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Counter


class PulseMeter:
    """Litres since power-up."""

    def __init__(self, counter: "Counter", pulses_per_litre: int):
        self._counter = counter
        self._pulses_per_litre = pulses_per_litre

    def litres(self) -> int:
        """Whole litres."""
        return self._counter.value() // self._pulses_per_litre
