"""A streetlight: the schedule's level, raised by motion, overridden by command, always faded.

Times are milliseconds of the clock since boot; inside, a level is in 1/1000.
"""

from kerbwire import messages as m
from kerbwire.schema import STREETLIGHT

NIGHT = 1  # the bits of `status`
MOTION = 2
OVERRIDE = 4
NO_UTC = 8
LAMP_FAILURE = 16
SENSOR_FAULT = 32

MOTION_LEVEL = 1000
MOTION_HOLD_MS = 20_000
RAISE_MS = 400  # at once, but no flash
SETTLE_MS = 4000  # back to the schedule, and its own changes: nobody notices so slow a fade
BLINK_MS = 500
BLINK_LEVEL = 100
WH_IN_DW_MS = 36_000_000
HOUR_MS = 3_600_000
FAILURE_LEVEL = 200  # a lamp that is lit so far ...
FAILURE_DW = 20  # ... and draws less than 2 W ...
FAILURE_MS = 5000  # ... for so long is broken
LIMITS = ((0, 100), (0, 86_400), (0, 60_000))  # level_pct, hold_s, fade_ms


class Inputs:
    """What sensors and schedule say: deci-watts; degrees Celsius and lux, None when broken."""

    __slots__ = (
        "lux",
        "motion",
        "night",
        "power_dw",
        "scheduled_pct",
        "temperature_c",
        "utc_known",
    )

    def __init__(self) -> None:
        self.motion = False
        self.power_dw = 0
        self.temperature_c: int | None = 0
        self.lux: int | None = 0
        self.utc_known = False
        self.scheduled_pct = 0
        self.night = True


class Streetlight:
    """One lamp. `level` is what the driver must show now; `fading` asks for a quicker tick."""

    SCHEMA = STREETLIGHT

    def __init__(self, totals: "tuple[int, ...]" = (0, 0)):
        self.level = 0
        self.fading = False
        self._energy_dw_ms = totals[0]
        self._lit_ms = totals[1]
        self._fade = (0, 0, 0, 0)  # from level, to level, start, duration
        self._motion = False
        self._motion_until_ms = 0
        self._override: int | None = None
        self._override_until_ms = 0  # 0: until the schedule changes
        self._override_fade_ms = 0
        self._blink_until_ms = 0
        self._scheduled = 0
        self._dark_since_ms: int | None = None
        self._failed = False
        self._status = 0
        self._inputs = Inputs()
        self._last_ms: int | None = None

    def step(self, now: int, inputs: Inputs) -> "list[tuple[int, int]]":
        """One tick: the events (code, value) that it brings; the level stands in `level`."""
        events: list[tuple[int, int]] = []
        self._count(now, inputs)
        if inputs.scheduled_pct != self._scheduled and self._override_until_ms == 0:
            self._override = None
        self._scheduled = inputs.scheduled_pct
        if inputs.motion:
            self._motion_until_ms = now + MOTION_HOLD_MS
            if not self._motion and inputs.night:  # by day nobody needs the light, nor the message
                events.append((m.EV_MOTION, 1))
        elif self._motion and now >= self._motion_until_ms and inputs.night:
            events.append((m.EV_MOTION_CLEAR, 0))
        self._motion = now < self._motion_until_ms
        if self._override_until_ms and now >= self._override_until_ms:
            self._override = None
            self._override_until_ms = 0
        self._aim(now, inputs)
        self._show(now)
        self._watch(now, inputs, events)
        self._describe(inputs)
        return events

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """Carry out an operation; the result's code."""
        if op == m.OP_SET_LEVEL:
            if len(args) != 3 or any(
                [not low <= arg <= high for arg, (low, high) in zip(args, LIMITS)]
            ):
                return m.OUT_OF_RANGE
            level_pct, hold_s, self._override_fade_ms = args
            self._override = level_pct * 10
            self._override_until_ms = now + hold_s * 1000 if hold_s else 0
        elif op == m.OP_RELEASE:
            self._override = None
            self._override_until_ms = 0
        elif op == m.OP_IDENTIFY:
            if len(args) != 1 or not 0 < args[0] <= 600:
                return m.OUT_OF_RANGE
            self._blink_until_ms = now + args[0] * 1000
        else:
            return m.UNSUPPORTED
        return m.OK

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order."""
        return (
            (self.level + 5) // 10,
            self._inputs.power_dw,
            self._energy_dw_ms // WH_IN_DW_MS,
            self._lit_ms // HOUR_MS,
            self._inputs.temperature_c or 0,
            self._status,
            (self._last_ms or 0) // 1000,
        )

    def totals(self) -> "tuple[int, ...]":
        """What must outlive a power cut; the constructor takes it."""
        return self._energy_dw_ms, self._lit_ms

    def _aim(self, now: int, inputs: Inputs) -> None:
        """Choose the target and start a fade when it is a new one.

        Motion raises an override too: a light that is commanded low still lights who passes.
        """
        target = self._scheduled * 10
        duration = SETTLE_MS
        if self._override is not None:
            target = self._override
            duration = self._override_fade_ms
        if self._motion and inputs.night:
            target = MOTION_LEVEL
            duration = RAISE_MS
        if now < self._blink_until_ms:
            target = MOTION_LEVEL if now // BLINK_MS % 2 else BLINK_LEVEL
            duration = 0
        left_ms = self._fade[2] + self._fade[3] - now
        if target != self._fade[1] or left_ms > duration:
            self._fade = (self.level, target, now, duration)

    def _show(self, now: int) -> None:
        start, target, since, duration = self._fade
        passed = now - since
        self.fading = start != target and passed < duration
        self.level = start + (target - start) * passed // duration if self.fading else target

    def _count(self, now: int, inputs: Inputs) -> None:
        """Integrate over the time that has passed at the level that was shown."""
        if self._last_ms is not None:
            passed = now - self._last_ms
            self._energy_dw_ms += inputs.power_dw * passed
            if self.level:
                self._lit_ms += passed
        self._last_ms = now

    def _watch(self, now: int, inputs: Inputs, events: "list[tuple[int, int]]") -> None:
        if self.level < FAILURE_LEVEL or inputs.power_dw >= FAILURE_DW:
            self._dark_since_ms = None
            self._failed = False
        elif self._dark_since_ms is None:
            self._dark_since_ms = now
        elif not self._failed and now - self._dark_since_ms >= FAILURE_MS:
            self._failed = True
            events.append((m.EV_LAMP_FAILURE, inputs.power_dw))

    def _describe(self, inputs: Inputs) -> None:
        self._inputs = inputs
        status = NIGHT if inputs.night else 0
        if self._motion:
            status |= MOTION
        if self._override is not None:
            status |= OVERRIDE
        if not inputs.utc_known:
            status |= NO_UTC
        if self._failed:
            status |= LAMP_FAILURE
        if inputs.lux is None or inputs.temperature_c is None:
            status |= SENSOR_FAULT
        self._status = status
