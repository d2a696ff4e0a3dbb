"""What the tests of both power meters share: mains, a clock that is moved, and patience."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    Reading = tuple[int, int, int]

    class Meter(Protocol):
        def sample(self) -> "Reading | None": ...


class Clock:
    """Milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> int:
        return self.ms


class Mains:
    """Watts, volts and amperes."""

    def __init__(self, watts: float, volts: float, amperes: float):
        self.values = watts, volts, amperes

    def feel(self) -> "tuple[float, float, float]":
        return self.values


def until_read(meter: "Meter", clock: Clock, tick_ms: int) -> int:
    """Ticks until the first reading."""
    for tick in range(100):
        if meter.sample() is not None:
            return tick
        clock.ms += tick_ms
    raise AssertionError("no reading in a hundred ticks")
