"""Water through a meter in numbers: totals in pulses, hours in litres, and flow that is no use.

The whole node runs these rules, and so does a wake between two pulses (kerbnode.sleep): this
module imports nothing. Times are seconds of one boot. The terms are those of the IWA's balance:
what flows while nobody draws is leakage on the customer's side, or a tap left open.
"""

CONTINUOUS = 1  # the bits of `alarms`
BACKFLOW = 2
BURST = 16

# Water that has not rested once for `run` seconds runs away; a rest is `rest` without a litre.
# With a litre a pulse that finds 2 L/h in 6 h and, as 66 minutes hold one of it, 1 L/h in 24 h.
TIERS = ((1800, 6 * 3600), (3960, 24 * 3600))
BLOCK_S = 300
BURST_LPH = 1500  # more than a household's taps and hoses together, so many blocks in a row
BURST_BLOCKS = 6
BACKFLOW_L = 5  # less within BACK_REST_S is a pipe breathing
BACK_REST_S = 3600
HOUR_S = 3600
HOURS = 24
UTC_HOUR = 200_000  # hours since 1970 are more; those of a boot are fewer
TOTALS = 4 + HOURS  # of what `saved` gives, so much outlives a power cut
SAVED = TOTALS + 12


class Flow:
    """One meter. `weight` is (litres, pulses): so many litres are so many pulses.

    `saved`: what `saved` gave, or its first TOTALS numbers, or (forward, backward) pulses.
    """

    def __init__(self, weight: "tuple[int, int]" = (1, 1), saved: "tuple[int, ...]" = ()):
        self.weight = weight
        totals = saved[:TOTALS] if len(saved) >= TOTALS else saved[:2] + (0,) * HOURS
        self.forward = totals[0] if saved else 0  # pulses since the meter was fitted
        self.backward = totals[1] if saved else 0
        self.hour = 0  # the one under way: since 1970, or since power-up ...
        self._hour_from = self.forward  # ... and the pulses at its beginning
        self.hours_l = [0] * HOURS  # of the full hours before it
        if len(saved) >= TOTALS:
            self.hour, self._hour_from = totals[2:4]
            self.hours_l = list(totals[4:])
        self.alarms = 0
        # Rules. Times are None when there was no such thing; behind a sleep they lie below 0.
        rules = saved[TOTALS:] or (-1,) * 5 + (0,) * 7
        ages = [None if age < 0 else -age for age in rules[:5]]
        self._litre_s, self._back_s, self._report_s = ages[:3]
        self._runs: "list[int | None]" = ages[3:]
        self.alarms, self._fast, told, reported, self._block_s = rules[5:10]
        self._pending = rules[10:]
        self._told = self.backward - told
        self._reported = self.forward - reported
        self._block = self.forward
        self._block_s = -self._block_s
        self._began: "int | None" = None  # the hour of second 0, while UTC is unknown
        self._at_s = 0

    def step(
        self, at_s: int, hour: "int | None", forward: int, backward: int
    ) -> "list[tuple[int, int]]":
        """Further pulses: the alarms (bit, value) that begin with them.

        `hour`: hours since 1970, or None when UTC is unknown.
        """
        self._at_s = at_s
        if self._report_s is None:
            self._report_s = at_s
        before_l = self.litres(self.forward)
        backward += self._pending[1]
        self.forward += forward + self._pending[0]
        self.backward += backward
        self._pending = (0, 0)
        self._turn(at_s, hour)
        begun = []
        hours = self._continuous(at_s, moved=self.litres(self.forward) != before_l)
        if self._turned(CONTINUOUS, hours > 0):
            begun.append((CONTINUOUS, hours))
        lph = self._burst(at_s)
        if self._turned(BURST, self._fast >= BURST_BLOCKS):
            begun.append((BURST, lph))
        back_l = self._backflow(at_s, backward)
        if self._turned(BACKFLOW, bool(self.alarms & BACKFLOW) or back_l >= BACKFLOW_L):
            begun.append((BACKFLOW, back_l))
        return begun

    def litres(self, pulses: int) -> int:
        """Whole litres of so many pulses."""
        return pulses * self.weight[0] // self.weight[1]

    def report_lph(self) -> int:
        """The mean flow since this was asked last, in litres an hour."""
        since = self._at_s if self._report_s is None else self._report_s
        moved_l = self.litres(self.forward) - self.litres(self._reported)
        self._report_s, self._reported = self._at_s, self.forward
        return moved_l * HOUR_S // max(1, self._at_s - since)

    def leave(self, at_s: int, forward: int, backward: int) -> None:
        """These pulses are for the first step of who goes on from what `saved` gives."""
        self._at_s = at_s
        self._pending = (self._pending[0] + forward, self._pending[1] + backward)

    def totals(self) -> "tuple[int, ...]":
        """What must outlive a power cut, for the constructor."""
        return (self.forward, self.backward, self.hour, self._hour_from) + tuple(self.hours_l)

    def saved(self) -> "tuple[int, ...]":
        """All of it, for the constructor; times as ages at the last step."""
        times = [self._litre_s, self._back_s, self._report_s] + self._runs
        ages = tuple([-1 if time is None else self._at_s - time for time in times])
        told, reported = self.backward - self._told, self.forward - self._reported
        block = (self.alarms, self._fast, told, reported, self._at_s - self._block_s)
        return self.totals() + ages + block + self._pending

    def _turn(self, at_s: int, hour: "int | None") -> None:
        """Close the hours that have passed; what a slow tick has missed counts in the first."""
        if hour is None:
            if self._began is None:
                self._began = self.hour - at_s // HOUR_S
            hour = self._began + at_s // HOUR_S
        elif self.hour < UTC_HOUR or hour < self.hour:
            self._began = self.hour = hour  # UTC is known now, or was set back
        if hour > self.hour:
            passed = min(hour - self.hour, HOURS)
            closed_l = self.litres(self.forward) - self.litres(self._hour_from)
            self.hours_l = (self.hours_l + [closed_l] + [0] * (passed - 1))[-HOURS:]
            self.hour = hour
            self._hour_from = self.forward

    def _continuous(self, at_s: int, *, moved: bool) -> int:
        """For how many hours water has not rested, 0 while that is no alarm."""
        hours = 0
        for tier in range(len(TIERS)):
            rest_s, run_s = TIERS[tier]
            if self._litre_s is not None and at_s - self._litre_s > rest_s:
                self._runs[tier] = None
            since = self._runs[tier]
            if since is None:
                self._runs[tier] = at_s if moved else None
            elif at_s - since >= run_s:
                hours = (at_s - since) // HOUR_S
        if moved:
            self._litre_s = at_s
        return hours

    def _burst(self, at_s: int) -> int:
        """Litres an hour in the block that ends now, or 0."""
        lasted_s = at_s - self._block_s
        if lasted_s < BLOCK_S:
            return 0
        lph = (self.litres(self.forward) - self.litres(self._block)) * HOUR_S // lasted_s
        self._fast = min(self._fast + lasted_s // BLOCK_S, BURST_BLOCKS) if lph >= BURST_LPH else 0
        self._block_s, self._block = at_s, self.forward
        return lph

    def _backflow(self, at_s: int, backward: int) -> int:
        """Litres that went back since the last rest of that."""
        if backward:
            self._back_s = at_s
        elif self._back_s is not None and at_s - self._back_s > BACK_REST_S:
            self._back_s = None
            self._told = self.backward
            self.alarms &= ~BACKFLOW
        return self.litres(self.backward) - self.litres(self._told)

    def _turned(self, bit: int, on: bool) -> bool:  # noqa: FBT001 - private
        """Set or clear an alarm; True when it begins."""
        begins = on and not self.alarms & bit
        self.alarms = self.alarms | bit if on else self.alarms & ~bit
        return begins
