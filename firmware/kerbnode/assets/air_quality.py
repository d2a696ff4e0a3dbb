"""An air-quality station: each report holds the means of the samples since the one before.

A field's bit is its place among the measured ones: 0 PM1, 1 PM2.5, 2 PM10, 3 CO2, 4 NO2,
5 temperature, 6 humidity, 7 pressure, 8 ozone.
"""

from kerbwire import messages as m
from kerbwire.fields import Field, Schema

FIELDS = 8  # before `status`; ozone comes behind it
OZONE = 8
INCOMPLETE = 10  # `status`: bits 0 to 8 no sample, 10 to 18 too few of them, ...
WARMING = 20  # ... 20 to 28 from a cell that has not settled
CELLS = 1 << 4 | 1 << OZONE
FAN = 0b111  # fields that a particle sensor's fan feeds
# What can be, by the datasheets and in the open air; all else is no sample.
LOW = (0, 0, 0, 300, -500, -400, 0, 3000, -500)
HIGH = (10_000, 10_000, 10_000, 10_000, 20_000, 850, 1000, 11_000, 20_000)
# Milliseconds until a sensor tells the truth; a cell's samples count before, and are marked.
DUST_MS = 30_000
CARBON_MS = 60_000
CELL_MS = 21_600_000
WARM_MS = (DUST_MS, DUST_MS, DUST_MS, CARBON_MS, CELL_MS, 0, 0, 0, CELL_MS)
TRIES = 4  # samples missing in a row make a fault: an SPS30 that cleans itself misses three
SAME = 120  # readings equal to the last bit make a sensor stuck: ten minutes
COMPLETE_PCT = 75  # directive 2008/50/EC, annex XI: of a mean's time


def schema_of(*, ozone: int) -> Schema:
    """The schema of a station, or of one with an ozone cell, which teaches it to its gateway."""
    from kerbwire.schema import AIR_QUALITY  # here: the table of all is not needed again

    if not ozone:
        return AIR_QUALITY
    return Schema(3, "air_quality", 3, AIR_QUALITY.fields + (Field("o3_ppb", 1, "61"),))


class AirQuality:
    """Means of what the sensors gave, in the schema's units and order."""

    level = 0
    fading = 0

    def __init__(self, sources: "tuple[int, ...]" = (0b111, 8, 0x60), period_ms: int = 0):
        """`sources`: the bits of each sensor's fields; `period_ms` between two reports."""
        self.period_ms = period_ms
        self._sources = sources
        self._raws: list[object] = [None] * len(sources)  # the newest of each source ...
        self._same = [0] * len(sources)  # ... and how often it was that
        self._fitted = 0
        for bits in sources:
            self._fitted |= bits
        self.SCHEMA = schema_of(ozone=self._fitted >> OZONE)
        width = FIELDS + (self._fitted >> OZONE)
        self._sums = [0] * width
        self._counts = [0] * width
        self._covered_ms = [0] * width
        self._values = [0] * (width + 1)  # of a report
        self._missed = [0] * width
        self._warm_ms = list(WARM_MS[:width])
        self._states = [0, 0, 0]  # as last told: faults, stuck, fan
        self._unsettled = 0
        self._stepped_ms = 0

    def step(
        self,
        now: int,
        samples: "list[int | None]",
        raws: "list[object] | tuple[object, ...]" = (),
        fan: int = 0,
    ) -> "list[tuple[int, int]]":
        """Take a sample of each field, None from a sensor that gave none; the events.

        `raws`: what each source's sensor really said, None without; `fan`: EV_FAN_FAILURE's value.
        """
        span_ms = now - self._stepped_ms
        self._stepped_ms = now
        stuck = 0
        for place, raw in enumerate(raws):
            if raw is not None:
                self._same[place] = self._same[place] + 1 if raw == self._raws[place] else 0
                self._raws[place] = raw
            if self._same[place] >= SAME:
                stuck |= self._sources[place]
        bad = stuck | (FAN if fan == 1 else 0)
        faults = 0
        for index in range(len(self._sums)):
            bit = 1 << index
            if not self._fitted & bit:
                continue
            faults |= self._take(now, index, samples[index], span_ms, bad & bit)
        events = []
        states = [faults, stuck, fan]
        for place, code in enumerate((m.EV_SENSOR_FAULT, m.EV_SENSOR_STUCK, m.EV_FAN_FAILURE)):
            if states[place] != self._states[place]:
                events.append((code, states[place]))
        self._states = states
        return events

    def _take(self, now: int, index: int, sample: "int | None", span_ms: int, bad: int) -> int:
        """One field's sample; its bit while it has a fault, else 0."""
        bit = 1 << index
        cold = now < self._warm_ms[index]
        if sample is None or not LOW[index] <= sample <= HIGH[index]:
            if cold and not CELLS & bit:
                return 0
            self._missed[index] += 1
            return bit if self._missed[index] >= TRIES else 0
        if self._missed[index] >= TRIES:  # it may have been without power
            self._warm_ms[index] = now + WARM_MS[index]
            cold = WARM_MS[index] > 0
        self._missed[index] = 0
        if not bad and (not cold or CELLS & bit):
            self._sums[index] += sample
            self._counts[index] += 1
            self._covered_ms[index] += span_ms
            if cold:
                self._unsettled |= bit
        return 0

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """A station takes no orders."""
        return m.UNSUPPORTED

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order; a new mean starts."""
        values = self._values
        status = self._unsettled << WARMING
        for index in range(len(self._sums)):
            count = self._counts[index]
            if count == 0:
                status |= 1 << index
            elif self._covered_ms[index] * 100 < self.period_ms * COMPLETE_PCT:
                status |= 1 << index + INCOMPLETE
            place = index if index < FIELDS else index + 1
            values[place] = (self._sums[index] + count // 2) // count if count else 0
            self._sums[index] = self._counts[index] = self._covered_ms[index] = 0
        values[FIELDS] = status
        self._unsettled = 0
        return tuple(values)

    def totals(self) -> "tuple[int, ...]":
        """Nothing here outlives a power cut."""
        return ()
