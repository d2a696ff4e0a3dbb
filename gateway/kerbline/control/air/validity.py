"""Can a particle sensor's value be believed? Seven ways in which it can't, each with its flag.

A flag at a sample uses nothing after it. What is unusual is measured against the sensor's own
hours before: the median of its last samples for what jumps, fading means for what creeps. A flag
says what was seen, and takes nothing away: the value stays, and averages leave it out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
VERSION = 1


class Flag(StrEnum):
    """What is wrong with a sample."""

    RANGE = "out_of_range"
    STUCK = "stuck"
    SPIKE = "spike"
    FOG = "fog"
    FAN = "fan"
    CHANNELS = "channels_disagree"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sensor told at a moment, in ug/m3; None is not told.

    `twin` is the second counter in the same housing; `beside` are other sensors of the same air
    within the hour.
    """

    at_ms: int
    pm2_5: float
    pm10: float | None = None
    twin: float | None = None
    humidity_pct: float | None = None
    is_fan_faulty: bool | None = None  # as the sensor itself has it
    beside: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a value is not believed."""

    least_ug_m3: float = 0.0
    most_ug_m3: float = 1000.0
    stuck_ms: int = 2 * HOUR_MS
    stuck_samples: int = 6  # at least, however seldom they come
    # Below this clean air is the same for hours where a sensor tells whole numbers alone.
    coarse_ug_m3: float = 5.0
    stuck_coarse_ms: int = 12 * HOUR_MS
    spike_share: float = 2.0  # above the median by so much of it, and by ...
    spike_ug_m3: float = 20.0
    spike_spreads: float = 8.0  # ... so many of its usual distances
    fog_pct: float = 95.0  # droplets that a counter takes for particles
    fog_rise: float = 1.8  # times the level of the dry hours before
    fan_share: float = 0.2  # of the day's level is still air in the chamber
    fan_ms: int = HOUR_MS
    # EPA's rule for two channels of one housing (Barkjohn et al. 2021, AMT 14, 4617).
    channels_ug_m3: float = 5.0
    channels_share: float = 0.61
    drift_share: float = 0.35  # off from what stands beside it, as a mean of days
    drift_ms: int = 5 * DAY_MS


WINDOW = 12  # samples whose median is usual
LEAST_WINDOW = 4
SPIKE_SAMPLES = 2  # what lasts longer is air
DAY_FADE_MS = DAY_MS
CHANNEL_FADE_MS = HOUR_MS
DRIFT_FADE_MS = 3 * DAY_MS
_FLOOR_UG_M3 = 1.0  # below it shares mean nothing


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one sensor."""

    at_ms: int = -1
    recent: tuple[float, ...] = ()  # the last sound samples' pm2_5
    same: tuple[float | None, ...] = ()  # what the sensor tells since ...
    same_ms: int = -1
    same_count: int = 0
    fraction_ms: int = -1  # when it told another than a whole number of PM2.5
    high: int = 0  # samples in a row far above those before: air that stays high is no spike
    level: float = -1.0  # of the day, while it ran
    dry: float = -1.0  # of the hours below fog
    still_ms: int = -1  # since when the chamber tells next to nothing
    apart: float = 0.0  # of the channels, an hour's mean, ug/m3
    mean: float = -1.0  # of both
    off: float = 0.0  # ln of the ratio to what stands beside it, days' mean
    off_ms: int = 0  # for how long that was looked at
    flags: tuple[Flag, ...] = field(default=())


def saved(state: State) -> dict[str, Any]:
    """The state as JSON can carry it over a restart; `restored` is its inverse."""
    return asdict(state)


def restored(saved: Mapping[str, Any]) -> State:
    """The state from what `saved` gave."""
    lists = {name: tuple(saved[name]) for name in ("recent", "same")}
    return State(**{**saved, **lists, "flags": tuple(map(Flag, saved["flags"]))})


def judge(limits: Limits, state: State, sample: Sample) -> tuple[State, tuple[Flag, ...]]:
    """The state after a sample and what is wrong with it; one that is not newer is not judged."""
    if sample.at_ms <= state.at_ms:
        return state, ()
    if not limits.least_ug_m3 <= sample.pm2_5 <= limits.most_ug_m3:  # NaN too
        return replace(state, at_ms=sample.at_ms), (Flag.RANGE,)
    gap_ms = sample.at_ms - state.at_ms if state.at_ms >= 0 else 0
    flags: list[Flag] = []
    state = _sameness(state, sample)
    if _is_stuck(limits, state, sample):
        flags.append(Flag.STUCK)
    state, is_still = _stillness(limits, state, sample)
    if sample.is_fan_faulty or is_still:
        flags.append(Flag.FAN)
    is_foggy = _is_fog(limits, state, sample)
    if is_foggy:
        flags.append(Flag.FOG)
    state = replace(state, high=state.high + 1 if _is_high(limits, state, sample) else 0)
    if 0 < state.high <= SPIKE_SAMPLES and not is_foggy:
        flags.append(Flag.SPIKE)
    state = _channels(state, sample, gap_ms)
    if state.apart > limits.channels_ug_m3 and state.apart > limits.channels_share * state.mean:
        flags.append(Flag.CHANNELS)
    if not flags:
        state = _drift(state, sample, gap_ms)
    if state.off_ms >= limits.drift_ms and abs(state.off) > math.log1p(limits.drift_share):
        flags.append(Flag.DRIFT)
    return _took(state, sample, gap_ms, tuple(flags)), tuple(flags)


def _sameness(state: State, sample: Sample) -> State:
    """Since when the sensor tells the very same; all that it counts takes part."""
    told = (sample.pm2_5, sample.pm10, sample.twin)
    if sample.pm2_5 % 1:
        state = replace(state, fraction_ms=sample.at_ms)
    if told == state.same:
        return replace(state, same_count=state.same_count + 1)
    return replace(state, same=told, same_ms=sample.at_ms, same_count=1)


def _is_stuck(limits: Limits, state: State, sample: Sample) -> bool:
    is_whole = state.fraction_ms < 0 or state.same_ms - state.fraction_ms > DAY_MS
    is_coarse = is_whole and sample.pm2_5 < limits.coarse_ug_m3
    least_ms = limits.stuck_coarse_ms if is_coarse else limits.stuck_ms
    lasted = sample.at_ms - state.same_ms >= least_ms
    return lasted and state.same_count >= limits.stuck_samples


def _stillness(limits: Limits, state: State, sample: Sample) -> tuple[State, bool]:
    """Next to nothing in the chamber, where a day's level says that there is something."""
    enough = state.level > 2 * _FLOOR_UG_M3
    if not enough or sample.pm2_5 > limits.fan_share * state.level:
        return replace(state, still_ms=-1), False
    since = sample.at_ms if state.still_ms < 0 else state.still_ms
    return replace(state, still_ms=since), sample.at_ms - since >= limits.fan_ms


def _is_fog(limits: Limits, state: State, sample: Sample) -> bool:
    if sample.humidity_pct is None or sample.humidity_pct < limits.fog_pct:
        return False
    return sample.pm2_5 > limits.fog_rise * max(state.dry, _FLOOR_UG_M3) if state.dry > 0 else True


def _is_high(limits: Limits, state: State, sample: Sample) -> bool:
    """Far above the last samples, and the other channel does not say so too."""
    if len(state.recent) < LEAST_WINDOW:
        return False
    median = statistics.median(state.recent)
    spread = 1.4826 * statistics.median(abs(value - median) for value in state.recent)
    least = max(limits.spike_spreads * spread, limits.spike_share * median, limits.spike_ug_m3)
    if sample.twin is not None and sample.twin - median > least / 2:
        return False  # a plume
    return sample.pm2_5 - median > least


def _channels(state: State, sample: Sample, gap_ms: int) -> State:
    if sample.twin is None:
        return state
    new = _share(gap_ms, CHANNEL_FADE_MS) if state.mean >= 0 else 1.0
    apart = abs(sample.pm2_5 - sample.twin)
    mean = (sample.pm2_5 + sample.twin) / 2
    before = max(state.mean, 0.0)
    return replace(
        state,
        apart=state.apart + new * (apart - state.apart),
        mean=before + new * (mean - before),
    )


def _drift(state: State, sample: Sample, gap_ms: int) -> State:
    others = [value for value in sample.beside if value >= 0 and math.isfinite(value)]
    if sample.twin is not None and not others:
        others = [sample.twin]
    if not others:
        return state
    beside = max(statistics.median(others), _FLOOR_UG_M3)
    off = math.log(max(sample.pm2_5, _FLOOR_UG_M3) / beside)
    new = _share(gap_ms, DRIFT_FADE_MS) if state.off_ms else 1.0
    looked_ms = state.off_ms + min(max(gap_ms, 1), HOUR_MS)
    return replace(state, off=state.off + new * (off - state.off), off_ms=looked_ms)


def _took(state: State, sample: Sample, gap_ms: int, flags: tuple[Flag, ...]) -> State:
    """What the next sample is measured against: a stuck or still sensor teaches nothing."""
    state = replace(state, at_ms=sample.at_ms, flags=flags)
    if {Flag.STUCK, Flag.FAN, Flag.FOG} & set(flags) or state.still_ms >= 0:
        return state
    recent = state.recent
    if Flag.SPIKE not in flags:
        recent = (*recent, sample.pm2_5)[-WINDOW:]
    new = _share(gap_ms, DAY_FADE_MS) if state.level >= 0 else 1.0
    level = max(state.level, 0.0) + new * (sample.pm2_5 - max(state.level, 0.0))
    dry = state.dry
    if sample.humidity_pct is None or sample.humidity_pct < 90:
        new = _share(gap_ms, 3 * HOUR_MS) if dry >= 0 else 1.0
        dry = max(dry, 0.0) + new * (sample.pm2_5 - max(dry, 0.0))
    return replace(state, recent=recent, level=level, dry=dry)


def _share(gap_ms: int, fade_ms: int) -> float:
    """What a new sample counts in a mean that fades."""
    return 1.0 - math.exp(-max(gap_ms, 1) / fade_ms)
