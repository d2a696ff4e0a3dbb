"""One hour of a station: what its samples come to, whatever the order in which they came.

Samples are kept by the minute that they end in, the latest of each value; a device that tells more
often is thinned by that. They are judged in the order of time when the hour is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerbline.control.air import validity
from kerbline.control.air.averages import MINUTE_MS
from kerbline.control.air.averages import Hour as Sum
from kerbline.control.air.report import HUMIDITY, PARTICLES, PM2_5, PM10, TWIN
from kerbline.control.air.validity import Flag

MINUTES = 60
# A sensor with one of these is to be looked at; spikes and fog pass by themselves.
FAULTS = frozenset([Flag.RANGE, Flag.STUCK, Flag.FAN, Flag.CHANNELS, Flag.DRIFT])


def place(at_ms: int) -> tuple[int, int]:
    """The hour since 1970 and the minute of it, 1 to 60, that end with a moment or after it."""
    minute = -(-at_ms // MINUTE_MS) - 1
    return minute // MINUTES, minute % MINUTES + 1


@dataclass(slots=True)
class Samples:
    """Of an hour that is not told yet: by minute and name the moment and the value."""

    minutes: dict[int, dict[str, tuple[int, float]]] = field(default_factory=dict)

    def took(self, minute: int, at_ms: int, values: Mapping[str, float]) -> None:
        """Of values of the same name in a minute the latest counts; a repeat changes nothing."""
        of = self.minutes.setdefault(minute, {})
        for name, value in values.items():
            of[name] = max(of.get(name, (at_ms, value)), (at_ms, value))

    def saved(self) -> dict[str, Any]:
        """As JSON carries it; `restored` is its inverse."""
        return {str(minute): of for minute, of in self.minutes.items()}


def restored(saved: Mapping[str, Mapping[str, Sequence[Any]]]) -> Samples:
    """From what `saved` gave."""
    return Samples(
        {
            int(minute): {name: (at_ms, value) for name, (at_ms, value) in of.items()}
            for minute, of in saved.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What an hour came to; shares are of the hour's time, or of its samples of particles."""

    means: Mapping[str, float]  # where enough of the hour was seen
    heard: float
    believed: float | None  # of the hour, by samples of PM2.5 without a flag; None without any
    faulty: float  # samples that had one of `FAULTS`
    flags: tuple[Flag, ...]


def seen(
    samples: Samples, period_min: int, state: validity.State, beside: Sequence[float] = ()
) -> tuple[validity.State, Seen]:
    """The means of an hour, and what its samples taught of the sensor.

    A sample stands for the time since the one before it, `period_min` at most.
    """
    limits = validity.Limits()
    sums: dict[str, Sum] = {}
    heard = Sum()
    judged = faulty = before = 0
    found: set[Flag] = set()
    for minute, of in sorted(samples.minutes.items()):
        lasted = min(minute - before, period_min)
        before = minute
        values = {name: value for name, (_, value) in of.items()}
        heard = heard.took(0.0, minute, lasted)
        flags: tuple[Flag, ...] = ()
        if PM2_5 in values:
            state, flags = validity.judge(limits, state, _sample(of, values, beside))
            judged += 1
            faulty += not FAULTS.isdisjoint(flags)
            found.update(flags)
        twin = values.pop(TWIN, None)
        if twin is not None and PM2_5 in values:
            values[PM2_5] = (values[PM2_5] + twin) / 2
        for name, value in values.items():
            if not flags or name not in PARTICLES:
                sums[name] = sums.get(name, Sum()).took(value, minute, lasted)
    means = {name: each.mean.value for name, each in sums.items()}
    believed = sums.get(PM2_5, Sum()).mean.completeness if judged else None
    return state, Seen(
        {name: mean for name, mean in sorted(means.items()) if mean is not None},
        heard.mean.completeness,
        believed,
        faulty / judged if judged else 0.0,
        tuple(flag for flag in Flag if flag in found),
    )


def _sample(
    of: Mapping[str, tuple[int, float]], values: Mapping[str, float], beside: Sequence[float]
) -> validity.Sample:
    return validity.Sample(
        of[PM2_5][0],
        values[PM2_5],
        values.get(PM10),
        values.get(TWIN),
        values.get(HUMIDITY),
        beside=beside,
    )
