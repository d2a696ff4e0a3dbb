"""Two sensors a quarter turn apart: which way the register turns, read at each tick.

A pulse is a whole turn of four steps in one direction, so that a wheel that trembles at an edge
counts nothing. At a tick of 100 ms it may turn twice a second; quicker shows as "skipped".
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Input

# By the two levels (first << 1 | second) before and now: 1 forward, -1 back, 2 two steps at once.
STEPS = (0, -1, 1, 2, 1, 0, 2, -1, -1, 2, 0, 1, 2, 1, -1, 0)
TURN = 4


class Quadrature:
    """The pair; `back` is its backward side, `fault` "skipped" after a step was missed, or ""."""

    def __init__(
        self,
        first: "Input",
        second: "Input",
        pulses_per_litre: int = 1,
        litres_per_pulse: int = 1,
    ):
        self.weight = litres_per_pulse, pulses_per_litre
        self.fault = ""
        self.back = _Backward()
        self._first = first
        self._second = second
        self._levels = first.value() << 1 | second.value()
        self._at = 0  # steps since the last whole turn

    def take(self) -> int:
        """Whole turns forward since the last look, 0 or 1."""
        levels = self._first.value() << 1 | self._second.value()
        step = STEPS[self._levels << 2 | levels]
        self._levels = levels
        if step == 2:
            self.fault = "skipped"
            return 0
        self._at += step
        if self._at == TURN:
            self._at = 0
            self.fault = ""
            return 1
        if self._at == -TURN:
            self._at = 0
            self.fault = ""
            self.back.turns += 1
        return 0


class _Backward:
    def __init__(self) -> None:
        self.turns = 0

    def take(self) -> int:
        """Whole turns backward since the last look."""
        turns, self.turns = self.turns, 0
        return turns
