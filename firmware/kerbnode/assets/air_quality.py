"""An air-quality station: each report holds the means of the samples since the one before."""

from kerbwire import messages as m
from kerbwire.schema import AIR_QUALITY

FIELDS = 8  # the means; `status` has one bit for each that had no sample


class AirQuality:
    """Means of what the sensors gave, in the schema's units and order."""

    SCHEMA = AIR_QUALITY
    level = 0
    fading = False

    def __init__(self, totals: "tuple[int, ...]" = ()):
        self._sums = [0] * FIELDS
        self._counts = [0] * FIELDS
        self._broken = 0

    def step(self, now: int, inputs: "tuple[int | None, ...]") -> "list[tuple[int, int]]":
        """Take one sample a field, None from a sensor that does not answer; the events."""
        broken = 0
        for index, sample in enumerate(inputs):
            if sample is None:
                broken |= 1 << index
            else:
                self._sums[index] += sample
                self._counts[index] += 1
        if broken == self._broken:
            return []
        self._broken = broken
        return [(m.EV_SENSOR_FAULT, broken)]

    def command(self, op: int, args: "tuple[int, ...]", now: int) -> int:
        """A station takes no orders."""
        return m.UNSUPPORTED

    def values(self) -> "tuple[int, ...]":
        """A report's values in schema order; a new mean starts."""
        values = []
        status = 0
        for index in range(FIELDS):
            count = self._counts[index]
            if count == 0:
                status |= 1 << index
            values.append((self._sums[index] + count // 2) // count if count else 0)
            self._sums[index] = self._counts[index] = 0
        values.append(status)
        return tuple(values)

    def totals(self) -> "tuple[int, ...]":
        """Nothing here outlives a power cut."""
        return ()
