"""A water meter: what its flow, cell and housing say, as reports and events.

Times are milliseconds of the clock since boot.
"""

from kerbwire import messages as m

CONTINUOUS_FLOW = 1  # the bits of `alarms`; kerbnode.assets.flow sets 1, 2 and 16
BACKFLOW = 2
LOW_BATTERY = 4
TAMPER = 8
BURST = 16

HOUR_MS = 3_600_000
RECOVERED_MV = 100  # above its threshold a cell is another one


class Inputs:
    """What the register, the cell and the housing say; pulses since the step before."""

    __slots__ = ("backward", "battery_mv", "forward", "low_mv", "tampered")

    def __init__(self) -> None:
        self.forward = 0
        self.backward = 0
        self.battery_mv: int | None = None
        self.low_mv = 0
        self.tampered = False  # as long as it stands


class WaterMeter:
    """One meter; `totals` is what `totals` gave before a power cut or a sleep."""

    level = 0
    fading = 0

    def __init__(self, totals: "tuple[int, ...]" = (), weight: "tuple[int, int]" = (1, 1)):
        from kerbnode.assets.flow import Flow  # here: a short wake loads it without this module
        from kerbwire.schema import WATER_METER  # here: the table of all is not needed again

        self.SCHEMA = WATER_METER
        self.flow = Flow(weight, totals)
        self._battery_mv = 0
        self._alarms = 0

    def step(
        self, now: int, inputs: Inputs, street_ms: "int | None" = None
    ) -> "list[tuple[int, int]]":
        """One tick: the events (code, value) that it brings."""
        hour = None if street_ms is None else street_ms // HOUR_MS
        events = []
        for bit, value in self.flow.step(now // 1000, hour, inputs.forward, inputs.backward):
            events.append((EVENTS[bit], value))
        self._battery_mv = inputs.battery_mv or 0
        if inputs.battery_mv is not None:
            recovered = self._alarms & LOW_BATTERY and RECOVERED_MV
            if self._turned(LOW_BATTERY, inputs.battery_mv < inputs.low_mv + recovered):
                events.append((m.EV_BATTERY_LOW, inputs.battery_mv))
        if self._turned(TAMPER, inputs.tampered):
            events.append((m.EV_TAMPER, 1))
        return events

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """A meter takes no orders."""
        return m.UNSUPPORTED

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order; the flow is the mean since the report before."""
        flow = self.flow
        volume_l, backflow_l = flow.litres(flow.forward), flow.litres(flow.backward)
        alarms = flow.alarms | self._alarms
        head = (volume_l, flow.report_lph(), backflow_l, self._battery_mv, alarms)
        return head + tuple(flow.hours_l)

    def totals(self) -> "tuple[int, ...]":
        """What must outlive a power cut, in pulses; the constructor takes it."""
        return self.flow.totals()

    def _turned(self, bit: int, on: bool) -> bool:  # noqa: FBT001 - private
        begins = on and not self._alarms & bit
        self._alarms = self._alarms | bit if on else self._alarms & ~bit
        return begins


EVENTS = {CONTINUOUS_FLOW: m.EV_CONTINUOUS_FLOW, BACKFLOW: m.EV_BACKFLOW, BURST: m.EV_BURST}
