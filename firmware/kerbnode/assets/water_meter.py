"""A water meter: litres from pulses, the flow between reports, and water that never rests.

Times are milliseconds of the clock since boot.
"""

from kerbwire import messages as m
from kerbwire.schema import WATER_METER

CONTINUOUS_FLOW = 1  # the bits of `alarms`
BACKFLOW = 2
LOW_BATTERY = 4

REST_MS = 1_800_000  # half an hour without a litre: the house rests, and 2 l/h are no leak
CONTINUOUS_MS = 6 * 3_600_000  # flow that has not rested for so long is a leak
HOUR_MS = 3_600_000
HOURS = 24
LOW_BATTERY_MV = 3100  # of a lithium thionyl chloride cell at 3.6 V
BACKFLOW_L = 5  # less is a pipe breathing


class Inputs:
    """What the register and the cell say: litres since power-up, and millivolts."""

    __slots__ = ("backward_l", "battery_mv", "forward_l")

    def __init__(self) -> None:
        self.forward_l = 0
        self.backward_l = 0
        self.battery_mv = 0


class WaterMeter:
    """One meter; its totals go on over power cuts, its counters start at 0 at each power-up."""

    SCHEMA = WATER_METER
    level = 0
    fading = False

    def __init__(self, totals: "tuple[int, ...]" = (0, 0)):
        self._before_l = totals[0]
        self._back_before_l = totals[1]
        self._inputs = Inputs()
        self._flow_from: tuple[int, int] | None = None  # time and litres at the last report
        self._now = 0
        self._pulse_ms: int | None = None  # the last litre ...
        self._running_ms: int | None = None  # ... and the first one since the last rest
        self._seen_l = 0
        self._hours_l = [0] * HOURS  # of the last full hours; a power cut empties them
        self._hour = 0  # under way since power-up ...
        self._hour_from_l = 0  # ... and the register at its beginning
        self._continuous = False
        self._events: list[tuple[int, int]] = []

    def step(self, now: int, inputs: Inputs) -> "list[tuple[int, int]]":
        """One tick: the events (code, value) that it brings."""
        self._now = now
        self._inputs = inputs
        if self._flow_from is None:
            self._flow_from = (now, inputs.forward_l)
            self._hour = now // HOUR_MS
            self._hour_from_l = inputs.forward_l
        self._turn(now // HOUR_MS, inputs.forward_l)
        if self._pulse_ms is not None and now - self._pulse_ms > REST_MS:
            self._pulse_ms = self._running_ms = None
            self._continuous = False
        if inputs.forward_l != self._seen_l:
            self._seen_l = inputs.forward_l
            self._pulse_ms = now
            if self._running_ms is None:
                self._running_ms = now
        if self._continuous or self._running_ms is None:
            return []
        if now - self._running_ms < CONTINUOUS_MS:
            return []
        self._continuous = True
        return [(m.EV_CONTINUOUS_FLOW, (now - self._running_ms) // HOUR_MS)]

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """A meter takes no orders."""
        return m.UNSUPPORTED

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order; the flow is the mean since the report before."""
        since, litres = self._flow_from or (self._now, self._inputs.forward_l)
        passed = max(1, self._now - since)
        flow_lph = (self._inputs.forward_l - litres) * HOUR_MS // passed
        self._flow_from = (self._now, self._inputs.forward_l)
        volume_l, backflow_l = self.totals()
        alarms = CONTINUOUS_FLOW if self._continuous else 0
        if self._inputs.backward_l >= BACKFLOW_L:
            alarms |= BACKFLOW
        if self._inputs.battery_mv < LOW_BATTERY_MV:
            alarms |= LOW_BATTERY
        head = (volume_l, flow_lph, backflow_l, self._inputs.battery_mv, alarms)
        return head + tuple(self._hours_l)

    def _turn(self, hour: int, forward_l: int) -> None:
        """Close the hours that have passed; what a slow tick has missed counts in the first."""
        passed = min(hour - self._hour, HOURS)
        if passed > 0:
            closed = [forward_l - self._hour_from_l] + [0] * (passed - 1)
            self._hours_l = (self._hours_l + closed)[-HOURS:]
            self._hour = hour
            self._hour_from_l = forward_l

    def totals(self) -> "tuple[int, ...]":
        """What must outlive a power cut; the constructor takes it."""
        return (
            self._before_l + self._inputs.forward_l,
            self._back_before_l + self._inputs.backward_l,
        )
