"""PM2.5 of a low-cost optical sensor, corrected for humidity and the season's particles.

An optical counter sees swollen droplets as mass, and takes coarse dust for less than it is. How far
droplets swell with humidity is kappa-Koehler theory (Petters and Kreidenweis 2007; for optical
counters Crilley et al. 2018); what the particles are made of follows from the season, the dew point
and the weeks behind (a dusty plain is told from a street with stoves by how its values run). So the
terms of one linear form are the dry count and those few that help on places that were never seen.
Its coefficients are fitted for a type of sensor, once (`tools/fit_pm2_5.py`).

Where a reference stands beside the sensor, what remains is learned from it by recursive least
squares with forgetting, as a Kalman filter has them: an offset, a slope, what humidity and
temperature add there, and a part that fades within days. Days are the grain that it is fitted on;
means of hours may go the same way. Pure; a state is a few dozen numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

TERMS = (
    "one",
    "dry",
    "pm_winter",
    "root_pm_spring",
    "weeks_pm_humidity",
    "pm_unrest",
    "dew_point_squared",
)
KAPPA = 0.4  # a city's particles, by volume (Crilley et al. 2018: 0.38 to 0.41)
_WETTEST = 0.95  # of water's activity: beyond it is fog, and the curve has no end
LONG_DAYS = 30.0  # how far back the usual level and humidity of a place reach
UNREST_DAYS = 14.0
_YEAR_DAYS = 365.25
MOST_UG_M3 = 5_000.0
LEAST_C, MOST_C = -60.0, 70.0
_LEAST_UG_M3 = 0.1  # below it a counter tells nothing; the logarithm needs a floor
_WIDE_SIGMA = 3.0  # a reference farther off than this moves what was learned by no more


@dataclass(frozen=True, slots=True)
class SensorType:
    """What was fitted for a type of sensor; the order of `coefficients` is that of `TERMS`.

    The standard deviation of what remains is `spread_ug_m3 + spread_share * pm2_5`; beside a
    reference that of a day by itself is `noise_ug_m3 + noise_share * pm2_5`.
    """

    name: str
    coefficients: tuple[float, ...]
    spread_ug_m3: float
    spread_share: float
    noise_ug_m3: float
    noise_share: float
    widening: float  # of intervals beside a reference, by which 95 % of them hold


@dataclass(frozen=True, slots=True)
class Seen:
    """A mean of the sensor: of a day, or of an hour."""

    day: float  # since 1970-01-01, UTC
    pm2_5_ug_m3: float
    humidity_pct: float
    temperature_c: float
    dew_point_c: float | None = None  # None: by Magnus from the two above


def plausible(seen: Seen) -> Seen | None:
    """The mean if a sensor outdoors can tell it; a dew point that can't be is left out."""
    in_range = (
        0 <= seen.pm2_5_ug_m3 <= MOST_UG_M3
        and 0 <= seen.humidity_pct <= 100
        and LEAST_C <= seen.temperature_c <= MOST_C
    )
    if not in_range:
        return None
    dew = seen.dew_point_c
    return seen if dew is None or LEAST_C <= dew <= MOST_C else replace(seen, dew_point_c=None)


@dataclass(frozen=True, slots=True)
class Corrected:
    """The corrected mean and the interval that holds the truth in 95 of 100 cases, in ug/m3."""

    pm2_5: float
    low95: float
    high95: float


@dataclass(frozen=True, slots=True)
class _Fading:
    """A mean with weights that fade by 1/e in so many days."""

    weight: float = 0.0
    total: float = 0.0

    def took(self, value: float, gap_days: float, fade_days: float) -> _Fading:
        kept = math.exp(-gap_days / fade_days)
        return _Fading(self.weight * kept + 1.0, self.total * kept + value)

    @property
    def mean(self) -> float:
        return self.total / self.weight


@dataclass(frozen=True, slots=True)
class Weeks:
    """What the weeks behind a mean were like."""

    last_day: float | None = None
    level: _Fading = _Fading()  # ln(ug/m3)
    humidity: _Fading = _Fading()  # %
    recent: _Fading = _Fading()  # ln(ug/m3)
    unrest: _Fading = _Fading()  # squared distance from `recent`

    def took(self, seen: Seen) -> Weeks:
        """With one more mean; one that is older than the last counts as if it came with it."""
        gap = max(seen.day - self.last_day, 0.0) if self.last_day is not None else 0.0
        level = math.log(max(seen.pm2_5_ug_m3, _LEAST_UG_M3))
        recent = self.recent.took(level, gap, UNREST_DAYS)
        return Weeks(
            seen.day if self.last_day is None else max(seen.day, self.last_day),
            self.level.took(level, gap, LONG_DAYS),
            self.humidity.took(seen.humidity_pct, gap, LONG_DAYS),
            recent,
            self.unrest.took((level - recent.mean) ** 2, gap, UNREST_DAYS),
        )


def terms(seen: Seen, weeks: Weeks, *, southern: bool = False) -> tuple[float, ...]:
    """The terms of the linear form, in the order of `TERMS`; `weeks` has taken `seen`."""
    pm = max(seen.pm2_5_ug_m3, 0.0)
    angle = 2.0 * math.pi * (seen.day / _YEAR_DAYS + (0.5 if southern else 0.0))
    dew = seen.dew_point_c
    if dew is None:
        dew = dew_point_c(seen.temperature_c, seen.humidity_pct)
    return (
        1.0,
        pm / growth(seen.humidity_pct),
        pm * math.cos(angle),
        math.sqrt(pm) * math.sin(angle),
        weeks.level.mean * weeks.humidity.mean,
        pm * math.sqrt(weeks.unrest.mean),
        max(dew, 0.0) ** 2,
    )


def growth(humidity_pct: float) -> float:
    """By what a particle's volume has grown over its dry one: kappa-Koehler, without curvature."""
    activity = min(max(humidity_pct / 100.0, 0.0), _WETTEST)
    return 1.0 + KAPPA * activity / (1.0 - activity)


def dew_point_c(temperature_c: float, humidity_pct: float) -> float:
    """Magnus' formula over water (Sonntag 1990)."""
    part = math.log(min(max(humidity_pct, 1.0), 100.0) / 100.0)
    part += 17.62 * temperature_c / (243.12 + temperature_c)
    return 243.12 * part / (17.62 - part)


# ------------------------------------------------------------------ beside a reference

LEARNED = 5  # offset, slope, humidity, temperature, and what fades
_BEGIN_UG_M3 = (
    1.5,
    1.0,
    0.5,
    0.5,
)  # standard deviations of the first four before anything is known
_WANDER = 0.05  # of those a day
_FADES_TO = 0.7  # of the last from a day to the next
_FADING_UG_M3 = 2.5

_Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a reference taught: the estimate, its covariance, and what it would be asked next."""

    estimate: tuple[float, ...] = (0.0,) * LEARNED
    covariance: _Matrix = tuple(
        tuple(
            (*_BEGIN_UG_M3, _FADING_UG_M3)[row] ** 2 if row == column else 0.0
            for column in range(LEARNED)
        )
        for row in range(LEARNED)
    )

    def after(self, days: float) -> Learned:
        """The same so many days later: surer of nothing, and yesterday's part has faded."""
        fades = _FADES_TO**days
        keep = [1.0] * (LEARNED - 1) + [fades]
        grown = [(_WANDER * begin) ** 2 * days for begin in _BEGIN_UG_M3]
        grown.append(_FADING_UG_M3**2 * (1.0 - fades * fades))
        return Learned(
            tuple(value * kept for value, kept in zip(self.estimate, keep, strict=True)),
            tuple(
                tuple(
                    self.covariance[row][column] * keep[row] * keep[column]
                    + (grown[row] if row == column else 0.0)
                    for column in range(LEARNED)
                )
                for row in range(LEARNED)
            ),
        )

    def along(self, asked: Sequence[float]) -> tuple[float, tuple[float, ...], float]:
        """The correction asked for, its covariance with the estimate, and its variance."""
        gain = tuple(_dot(row, asked) for row in self.covariance)
        return _dot(self.estimate, asked), gain, _dot(gain, asked)

    def taught(self, asked: Sequence[float], error: float, noise: float) -> Learned:
        """After an error of what was told (in ug/m3) with a variance of its own."""
        _, gain, variance = self.along(asked)
        total = variance + noise
        far = abs(error) / math.sqrt(total)
        pull = error * min(1.0, _WIDE_SIGMA / far) if far else 0.0
        return Learned(
            tuple(
                value + part * pull / total for value, part in zip(self.estimate, gain, strict=True)
            ),
            tuple(
                tuple(
                    self.covariance[row][column] - gain[row] * gain[column] / total
                    for column in range(LEARNED)
                )
                for row in range(LEARNED)
            ),
        )


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


# ------------------------------------------------------------------ one sensor


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told last, until its reference comes."""

    asked: tuple[float, ...]
    value: float
    noise: float


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one sensor."""

    weeks: Weeks = Weeks()
    learned: Learned | None = None  # None: there never was a reference
    told: _Told | None = None


def correct(
    kind: SensorType, state: State, seen: Seen, *, southern: bool = False
) -> tuple[State, Corrected]:
    """The state after a mean, and what it is worth; means come in the order of time."""
    last_day = state.weeks.last_day
    weeks = state.weeks.took(seen)
    base = max(_dot(kind.coefficients, terms(seen, weeks, southern=southern)), 0.0)
    asked = (
        1.0,
        (base - 9.0) / 5.0,  # about the middle and the spread of cities' days
        (seen.humidity_pct - 57.0) / 10.0,
        (seen.temperature_c - 23.0) / 9.0,
        1.0,
    )
    noise = (kind.noise_ug_m3 + kind.noise_share * max(base, 1.0)) ** 2
    if state.learned is None:
        value = base
        spread = kind.spread_ug_m3 + kind.spread_share * base
        learned = None
    else:
        learned = state.learned.after(max(seen.day - last_day, 0.0) if last_day is not None else 0)
        more, _, variance = learned.along(asked)
        value = base + more
        spread = kind.widening * math.sqrt(variance + noise)
    value = max(value, 0.0)
    reach = 1.96 * spread
    told = Corrected(value, max(value - reach, 0.0), value + reach)
    return State(weeks, learned, _Told(asked, value, noise)), told


def learn(state: State, reference_ug_m3: float) -> State:
    """The state after the reference of the mean that was corrected last; once for each."""
    if state.told is None:
        return state
    learned = state.learned or Learned()
    told = state.told
    return replace(
        state,
        learned=learned.taught(told.asked, reference_ug_m3 - told.value, told.noise),
        told=None,
    )


def hour(kind: SensorType, state: State, seen: Seen, *, southern: bool = False) -> float:
    """The corrected mean of an hour, in ug/m3, by what the days before it taught.

    An hour is none of the means that a state is made of; the interval of a day says nothing of it.
    """
    return correct(kind, state, seen, southern=southern)[1].pm2_5


def saved(state: State) -> dict[str, Any]:
    """The state as JSON can carry it over a restart; `restored` is its inverse."""
    return asdict(state)


def restored(saved: Mapping[str, Any]) -> State:
    """The state from what `saved` gave."""
    weeks, learned, told = saved["weeks"], saved["learned"], saved["told"]
    fading = {name: _Fading(**of) for name, of in weeks.items() if name != "last_day"}
    return State(
        Weeks(weeks["last_day"], **fading),
        learned and Learned(tuple(learned["estimate"]), tuple(map(tuple, learned["covariance"]))),
        told and _Told(tuple(told["asked"]), told["value"], told["noise"]),
    )
