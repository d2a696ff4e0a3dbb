"""A streetlight: the schedule's level, raised by motion, overridden by command, always faded.

Times are milliseconds of the clock since boot; inside, a level is in 1/1000 of the light.
"""

from math import log

from kerbwire import messages as m

NIGHT = 1  # the bits of `status`
MOTION = 2
OVERRIDE = 4
NO_UTC = 8
LAMP_FAILURE = 16
SENSOR_FAULT = 32
DAY_BURNER = 64
CYCLING = 128
LIGHT_FAULT = 1  # the bits of the event sensor_fault
POWER_FAULT = 2
THERMOMETER_FAULT = 4
MOTION_FAULT = 8  # 16 is kerbnode.schedule.ASTRAY

FULL = 1000
EDGES_MS = 3000  # an onset of motion costs so much of ...
BURST_MS = 30_000  # ... this; where it is spent (a branch in the wind) the end waits for the hold's
RAISE_MS = 1  # a fade as quick as no step shows: for motion, and for who commands that
SETTLE_MS = 2000  # back to the schedule, and its own changes
FAINTEST = 10  # 1 %: where gear begins to shine, and a fade from or to darkness
# IEC 62386-102, 9.3: 2.8 % is the step of DALI's curve, and no eye sees it. One in each tick takes
# 1 / ln(1.028) = 36 ticks for e times the light; a quarter more, and it holds for levels of 1/1000.
E_FOLD_TICKS = 45
RAISE_TICK_MS = 2
FADE_TICK_MS = 20
LATE_MS = 100  # a fade that ends no later than that is not begun anew
BLINK_MS = 500
BLINK_LEVEL = 100
WH_IN_DW_MS = 36_000_000
HOUR_MS = 3_600_000
FAILURE_LEVEL = 200  # a lamp that is lit so far ...
FAILURE_DW = 20  # ... and draws less than 2 W ...
FAILURE_MS = 5000  # ... for so long is broken; that draws it again is mended
BURNER_MS = 120_000  # one that is off and draws it for so long (the relay has opened) burns on
CYCLES = 4  # a lamp that went out by itself so often ...
CYCLES_MS = (
    HOUR_MS  # ... in this time is at its end (EN 13201-5's maintenance, TALQ's lamp cycling)
)
FAULT_MS = 60_000  # a sensor's fault is told when it lasts
RELAY_MS = 60_000  # off for so long, the lamp is cut from the mains: few and well spaced inrushes
LONGEST_HOLD_S = 86_400
LONGEST_FADE_MS = 60_000


class Inputs:
    """What sensors and schedule say: deci-watts; degrees Celsius; None where nothing is known.

    `faults`: bits of the sensors that are fitted and broken.
    """

    motion = False  # is the sensor high, or was it since the last step?
    power_dw: "int | None" = None
    temperature_c: "int | None" = None
    faults = 0
    utc_known = False
    scheduled_pct = 0
    night = True


class Streetlight:
    """One lamp. `level` is the light to be shown now; `fading` asks for ticks of so many ms, or 0.

    `lamp_on` is the relay's. At the start both are what the board's reset state is: full light.
    """

    motion = (100, 20)  # what one asks for: percent, and for how many seconds after it

    def __init__(self, totals: "tuple[int, ...]" = (0, 0)):
        from kerbwire.schema import STREETLIGHT  # here: the table of all is not needed again

        self.SCHEMA = STREETLIGHT
        self.level = FULL
        self.lamp_on = True
        self.fading = 0
        self._energy_dw_ms = totals[0]
        self._lit_ms = totals[1]
        self._fade = (FULL, FULL, 0, 0, 0)  # from level, to level, start, duration, tick
        self._motion = False
        self._told = False  # of motion, and not of its end
        self._edges_ms = 0  # what onsets have cost lasts until then
        self._motion_until_ms = 0
        self._override: int | None = None
        self._override_until_ms = 0  # 0: until the schedule changes
        self._override_fade_ms = 0
        self._blink_until_ms = 0
        self._scheduled = 0
        self._lit_at_ms = 0  # the last tick with light
        self._odd_ms: int | None = None  # since when power and level are at odds in a new way
        self._drew = False  # power, when it was lit and looked at last
        self._ends: list[int] = []  # when it went out by itself
        self._health = 0  # LAMP_FAILURE, DAY_BURNER, CYCLING
        self._faults = 0  # of sensors, as told
        self._faults_ms = 0  # when they were so the last time
        self._inputs = Inputs()
        self._events: list[tuple[int, int]] = []
        self._last_ms: int | None = None

    def step(self, now: int, inputs: Inputs) -> "list[tuple[int, int]]":
        """One tick: the events (code, value) that it brings; the level stands in `level`.

        They are good until the next tick.
        """
        events = self._events
        events.clear()
        self._inputs = inputs
        self._count(now, inputs)
        until_ms = self._override_until_ms
        if now >= until_ms if until_ms else inputs.scheduled_pct != self._scheduled:
            self._override = None
        self._scheduled = inputs.scheduled_pct
        if inputs.motion:
            self._motion_until_ms = now + self.motion[1] * 1000
            if self._edges_ms - now > BURST_MS:
                self._edges_ms = now + 2 * BURST_MS
            if inputs.night and not self._told:  # by day nobody needs the light, nor the message
                self._told = True
                self._edges_ms = max(self._edges_ms, now) + EDGES_MS
                events.append((m.EV_MOTION, 1))
        elif self._told and (self._edges_ms - now <= BURST_MS or now >= self._motion_until_ms):
            self._told = False
            events.append((m.EV_MOTION_CLEAR, 0))
        self._motion = now < self._motion_until_ms
        self._aim(now, inputs)
        self.show(now)
        if inputs.power_dw is not None:
            self._watch(now, inputs.power_dw, events)
        if inputs.faults == self._faults:
            self._faults_ms = now
        elif now - self._faults_ms >= FAULT_MS:
            self._faults = inputs.faults
            events.append((m.EV_SENSOR_FAULT, inputs.faults))
        return events

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """Carry out an operation; the result's code."""
        if op == m.OP_SET_LEVEL:
            if len(args) != 3 or min(args) < 0:
                return m.OUT_OF_RANGE
            if args[0] > 100 or args[1] > LONGEST_HOLD_S or args[2] > LONGEST_FADE_MS:
                return m.OUT_OF_RANGE
            level_pct, hold_s, self._override_fade_ms = args
            self._override = level_pct * 10
            self._override_until_ms = now + hold_s * 1000 if hold_s else 0
        elif op == m.OP_RELEASE:
            self._override = None
            if not self._inputs.motion:
                self._motion_until_ms = 0
        elif op == m.OP_IDENTIFY:
            if len(args) != 1 or not 0 < args[0] <= 600:
                return m.OUT_OF_RANGE
            self._blink_until_ms = now + args[0] * 1000
        else:
            return m.UNSUPPORTED
        return m.OK

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order."""
        inputs = self._inputs
        status = NIGHT * inputs.night + MOTION * self._motion
        status += OVERRIDE * (self._override is not None) + NO_UTC * (not inputs.utc_known)
        status += SENSOR_FAULT * (self._faults > 0)
        return (
            (self.level + 5) // 10,
            inputs.power_dw or 0,
            self._energy_dw_ms // WH_IN_DW_MS,
            self.hours(),
            inputs.temperature_c or 0,
            status | self._health,
            (self._last_ms or 0) // 1000,
        )

    def hours(self) -> int:
        """Hours that the lamp was lit."""
        return self._lit_ms // HOUR_MS

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
        asked = self.motion[0] * 10
        if self._motion and inputs.night and asked >= target:
            target = asked
            duration = RAISE_MS
        if now < self._blink_until_ms:
            target = FULL if now // BLINK_MS % 2 else BLINK_LEVEL
            duration = 0
        _, aim, left_ms, fade_ms, _ = self._fade
        left_ms += fade_ms - now
        if target == aim and left_ms <= duration + LATE_MS:
            return
        tick_ms = 0
        if duration:
            tick_ms = RAISE_TICK_MS if duration == RAISE_MS else FADE_TICK_MS
            ratio = max(self.level, FAINTEST) / max(target, FAINTEST)
            duration = max(duration, int(E_FOLD_TICKS * tick_ms * abs(log(ratio))))
        if target != aim or left_ms > duration + LATE_MS:  # begins with its first step
            self._fade = (self.level, target, now - tick_ms, duration, tick_ms)

    def show(self, now: int) -> None:
        """The level of now: equal ratios in equal times, as the eye has it."""
        start, target, since, duration, tick_ms = self._fade
        passed = now - since
        self.fading = 0
        self.level = target
        if start != target and passed < duration:
            self.fading = tick_ms
            low = max(start, FAINTEST)
            ratio = max(target, FAINTEST) / low
            self.level = int(low * ratio ** (passed / duration) + 0.5)
        if self.level:
            self._lit_at_ms = now
        self.lamp_on = now - self._lit_at_ms < RELAY_MS

    def _count(self, now: int, inputs: Inputs) -> None:
        """Integrate over the time that has passed at the level that was shown."""
        if self._last_ms is not None:
            passed = now - self._last_ms
            self._energy_dw_ms += (inputs.power_dw or 0) * passed
            if self.level:
                self._lit_ms += passed
        self._last_ms = now

    def _watch(self, now: int, power_dw: int, events: "list[tuple[int, int]]") -> None:
        """What the power tells of the lamp."""
        draws = power_dw >= FAILURE_DW
        lit = self.level >= FAILURE_LEVEL
        health = self._health
        ends = self._ends
        failed = health & LAMP_FAILURE > 0
        if lit or not draws:
            health &= ~DAY_BURNER
        if lit and self._drew and not draws:
            ends.append(now)
        self._drew = lit and draws
        if ends and now - ends[0] > CYCLES_MS:
            ends.pop(0)
            if not ends:
                health &= ~CYCLING
        if len(ends) >= CYCLES:
            if not health & CYCLING:
                health |= CYCLING
                events.append((m.EV_LAMP_CYCLING, len(ends)))
            ends.pop(0)
        odd = draws == failed if lit else draws and not self.level and not health & DAY_BURNER
        if not odd or self._odd_ms is None:
            self._odd_ms = now if odd else None
        elif now - self._odd_ms >= (FAILURE_MS if lit else BURNER_MS):
            self._odd_ms = None
            code = m.EV_DAY_BURNER
            if lit:
                health ^= LAMP_FAILURE
                code = m.EV_LAMP_RESTORED if failed else m.EV_LAMP_FAILURE
            else:
                health |= DAY_BURNER
            if not (lit and health & CYCLING):  # one word says it all
                events.append((code, power_dw))
        self._health = health
