"""What stands in a water meter: a contact that bounces, a toothed wheel, a cell, a seal.

The contact is on a pin of an image that runs an interrupt's handler only between two bytecodes:
while flash is written handlers wait, eight at most, and find the pin as it is by then.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

QUEUE = 8  # MICROPY_SCHEDULER_DEPTH of the ESP32's image
TICKS = 0x3FFF_FFFF


class Contact:
    """A reed contact to ground, and the pin's pull-up; time in ms goes on with `run`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.dropped = 0
        self._level = 1
        self._edges: list[tuple[float, int]] = []
        self._handler: "Callable[[Any], None] | None" = None
        self._stalled_to = 0.0
        self._waiting = 0

    def value(self) -> int:
        """The pin's level."""
        return self._level

    def irq(self, handler: "Callable[[Any], None]") -> None:
        """To be called at each edge, falling or rising, as machine.Pin.irq does by default."""
        self._handler = handler

    def ticks(self) -> int:
        """time.ticks_ms()."""
        return int(self.now) & TICKS

    def close(self, at_ms: float, for_ms: float, bounces_ms: "tuple[float, ...]" = ()) -> None:
        """Closed from at_ms; each change is followed by that many bounces of these lengths."""
        for start, level in ((at_ms, 0), (at_ms + for_ms, 1)):
            self._edges.append((start, level))
            at = start
            for index, length in enumerate(bounces_ms):
                at += length
                self._edges.append((at, level if index & 1 else 1 - level))
            if len(bounces_ms) & 1:
                raise ValueError("a bounce goes there and back")
        self._edges.sort()

    def stall(self, for_ms: float) -> None:
        """Flash is written: no handler runs for so long."""
        self._stalled_to = self.now + for_ms

    def run(self, until_ms: float) -> None:
        """Time goes by."""
        while self._edges and self._edges[0][0] <= until_ms:
            at, level = self._edges.pop(0)
            self._serve(at)
            self.now, self._level = at, level
            if self._waiting < QUEUE:
                self._waiting += 1
            else:
                self.dropped += 1
            self._serve(at)
        self._serve(until_ms)
        self.now = until_ms

    def _serve(self, at_ms: float) -> None:
        if at_ms < self._stalled_to:
            return
        self.now = max(self.now, self._stalled_to)
        while self._waiting:
            self._waiting -= 1
            if self._handler is not None:
                self._handler(self)


class Chip:
    """A hardware counter of 16 bits, wherever it stands at power-up."""

    def __init__(self, start: int = 0):
        self.pulses = start

    def value(self) -> int:
        """As its register has it."""
        return self.pulses & 0xFFFF


class Wheel:
    """A wheel with two sensors a quarter turn apart; `at` counts its quarters."""

    def __init__(self) -> None:
        self.at = 0
        self.first = _Sensor(self, (0, 1, 1, 0))
        self.second = _Sensor(self, (0, 0, 1, 1))


class _Sensor:
    def __init__(self, wheel: Wheel, levels: "tuple[int, ...]"):
        self._wheel = wheel
        self._levels = levels

    def value(self) -> int:
        return self._levels[self._wheel.at % 4]

    def irq(self, handler: "Callable[[Any], None]") -> None:
        raise OSError("this pin is polled")


class Cell:
    """A lithium cell with its inner resistance behind a divider, and a load to be switched."""

    def __init__(self, millivolts: int, ohms: int, load_ma: int = 0, divider_pct: int = 200):
        self.millivolts = millivolts
        self.ohms = ohms
        self.switched = 0
        self._load_ma = load_ma
        self._divider_pct = divider_pct
        self._loaded = 0

    def value(self, level: int) -> None:
        """The load's output."""
        self.switched += level != self._loaded
        self._loaded = level

    def read_uv(self) -> int:
        """Behind the divider."""
        at_cell = self.millivolts - self._loaded * self._load_ma * self.ohms
        return at_cell * 100_000 // self._divider_pct


class Seal:
    """A reed that a foreign magnet closes, behind a latch."""

    def __init__(self) -> None:
        self.magnet = False
        self._swiped = False

    def swipe(self) -> None:
        """A magnet comes and goes between two looks."""
        self._swiped = True

    def take(self) -> bool:
        """Was there one since this was asked last, or is there one now?"""
        seen = self._swiped or self.magnet
        self._swiped = False
        return seen
