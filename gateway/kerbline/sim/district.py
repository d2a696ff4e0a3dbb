"""A metered district, simulated: homes, their meters' faults, the inflow meter, leaks with truth.

Everything that differs between districts is drawn from the seed by `drawn`: shares of missing
reads, biases, clock skew, background leakage and its daily swing and drift, noise. It knows
nothing of the detectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Leak:
    """`start`/`end` in steps (end exclusive), `lph` at its end; an incipient one grows from 0."""

    start: int
    end: int
    lph: float
    incipient: bool = False


@dataclass(frozen=True, slots=True)
class MeterLeak:
    """A leak behind consumer meter `meter`, from step `start` on."""

    meter: int
    start: int
    lph: float


@dataclass(frozen=True, slots=True)
class District:
    """What a district is like; shares are of 1, times in minutes unless named otherwise."""

    homes: int = 1000
    days: int = 60
    step_min: int = 15
    home_lph: float = 16.6  # mean use of a home
    missing: float = 0.02  # share of single reads that never came
    outages: float = 0.0  # outages a meter and day, of `outage_h` hours in the mean
    outage_h: float = 8.0
    blind: tuple[tuple[int, int], ...] = ()  # steps without a single read (head end down)
    bias: float = -0.02  # of consumer meters, mean
    bias_sd: float = 0.015
    start_lph: float = 0.0  # below this flow in a step a consumer meter stands
    skew: float = 1.0  # sd of a meter's constant clock error
    skew_mean: float = 0.0
    jitter: float = 0.2  # sd of a single read's time
    inflow_noise: float = 0.005  # sd of a step's volume
    inflow_step_l: int = 10
    inflow_missing: float = 0.0
    background: float = 0.08  # leakage that was always there, share of the use
    swing: float = 0.08  # its daily swing, highest at night
    swing2: float = 0.0  # the same twice a day
    drift: float = 0.0  # sd of its random walk over 60 days, share of itself
    weekend: float = 1.1
    away: float = 0.03  # share of homes that are away at a time
    swaps: int = 0  # meters exchanged
    rollover_l: int = 0  # totalisers of consumer meters wrap here, 0 = never
    leaks: tuple[Leak, ...] = ()
    customer: tuple[MeterLeak, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """`reads` (meters x time, uint32 L), `missing` (the same shape), the inflow totaliser in L."""

    reads: NDArray[np.uint32]
    missing: Mask
    inflow_total_l: Floats


def drawn(seed: int, *, homes: int = 1000, days: int = 60) -> District:
    """A district of which everything was drawn; leaks of 0.3 to 24 % with days between them."""
    rng = np.random.default_rng([seed, 1])
    per_day = 96
    use_lph = homes * 16.6
    at = int(rng.uniform(10, 19) * per_day)
    leaks = []
    for share in rng.permutation([0.0036, 0.006, 0.0072, 0.012, 0.024, 0.03, 0.07, 0.2]):
        lasts = int(np.clip(0.05 / share, 0.5, 8) * rng.uniform(0.7, 1.3) * per_day)
        if at + lasts > days * per_day:
            break
        leaks.append(Leak(at, at + lasts, share * use_lph, bool(rng.random() < 0.35)))
        at += lasts + int(rng.uniform(1.5, 3.5) * per_day)
    customer = tuple(
        MeterLeak(int(m), int(rng.uniform(12, 50) * per_day), float(rng.uniform(0.5, 60)))
        for m in rng.choice(homes, min(12, homes // 20), replace=False)
    )
    blind: tuple[tuple[int, int], ...] = ()
    if rng.random() < 0.3:
        start = int(rng.uniform(12, days - 4) * per_day)
        blind = ((start, start + int(rng.uniform(2, 60))),)
    hard = rng.random() < 0.5
    return District(
        homes=homes,
        days=days,
        missing=float(rng.choice([0.0, 0.005, 0.02, 0.05, 0.1])),
        outages=float(rng.choice([0.0, 0.0, 0.02])) if hard else 0.0,
        bias=float(rng.uniform(-0.05, 0.005)),
        bias_sd=float(rng.uniform(0.005, 0.025)),
        start_lph=float(rng.choice([0.0, 2.0, 5.0])),
        skew=float(rng.uniform(0, 3)),
        skew_mean=float(rng.uniform(-2, 2)),
        jitter=float(rng.uniform(0, 1)),
        inflow_noise=float(rng.uniform(0.003, 0.01)),
        inflow_step_l=int(rng.choice([1, 10, 10, 50])),
        inflow_missing=float(rng.choice([0.0, 0.01])) if hard else 0.0,
        background=float(rng.uniform(0.03, 0.2)),
        swing=float(rng.uniform(0, 0.12)),
        swing2=float(rng.uniform(0, 0.03)),
        drift=float(rng.choice([0.0, 0.02])),
        weekend=float(rng.uniform(0.95, 1.2)),
        away=float(rng.uniform(0, 0.08)),
        swaps=int(rng.integers(0, 5)) if hard else 0,
        blind=blind if hard else (),
        leaks=tuple(leaks),
        customer=customer,
    )


def recorded(district: District, seed: int) -> Recorded:
    """What the meters of `district` told, the same for the same seed."""
    rng = np.random.default_rng([seed, 2])
    use = _use(district, rng)
    steps = use.shape[1]
    for leak in district.customer:
        use[leak.meter, leak.start :] += leak.lph * district.step_min / 60
    inflow = use.sum(0) + _background(district, rng, steps) + _leaks(district, steps)
    inflow *= 1 + district.inflow_noise * rng.standard_normal(steps)
    total = np.floor(np.cumsum(inflow) / district.inflow_step_l) * district.inflow_step_l
    total[rng.random(steps) < district.inflow_missing] = np.nan
    missing = _missing(district, rng, steps)
    return Recorded(_reads(district, rng, use), missing, total)


def without_leaks(district: District) -> District:
    """The same district with sound pipes."""
    return replace(district, leaks=())


def _use(district: District, rng: np.random.Generator) -> Floats:
    """True litres of each home and step: events in a common daily pattern, absences, hoses."""
    per_day = 1440 // district.step_min
    steps = district.days * per_day
    hour = np.arange(per_day) / per_day * 24

    def peak(at: float, width: float) -> Floats:
        apart = np.abs((hour - at + 12) % 24 - 12)
        return np.asarray(np.exp(-0.5 * (apart / width) ** 2))

    pattern = 0.12 + peak(7.3, 1.2) + 0.6 * peak(12.5, 2.5) + 1.1 * peak(19.5, 2.2)
    pattern /= pattern.mean()
    days = np.exp(0.05 * rng.standard_normal(district.days))
    days[5::7] *= district.weekend
    days[6::7] *= district.weekend
    common = (days[:, None] * pattern).ravel()
    wobble = np.repeat(rng.standard_normal(steps // 4 + 1), 4)[:steps]
    common *= np.exp(0.05 * wobble)
    homes = district.homes
    mean_l = district.home_lph * district.step_min / 60
    rate = rng.lognormal(-0.12, 0.5, homes)
    rate *= 0.9 * mean_l / rate.mean()
    event_l = rng.lognormal(2.4, 0.3, homes)
    phase = rng.integers(-4, 5, homes)  # early and late risers, in steps
    use = np.empty((homes, steps))
    for home in range(homes):
        often = np.roll(common, phase[home]) * rate[home] / event_l[home]
        events = rng.poisson(often)
        use[home] = rng.gamma(0.8 * np.maximum(events, 1e-9)) * event_l[home] / 0.8
        if rng.random() < district.away * district.days / 7:
            start = int(rng.uniform(0, steps))
            use[home, start : start + int(rng.uniform(3, 14) * per_day)] = 0
    for home in rng.choice(homes, homes // 20, replace=False):  # gardens
        every = int(rng.integers(1, 4)) * per_day
        first = int(rng.uniform(4.5, 6.5) * per_day / 24) + int(rng.integers(0, 3)) * per_day
        lasts = int(rng.integers(2, 6))
        litres = rng.uniform(60, 200)
        for start in range(first, steps - lasts, every):
            use[home, start : start + lasts] += litres
    return use


def _background(district: District, rng: np.random.Generator, steps: int) -> Floats:
    per_day = 1440 // district.step_min
    angle = 2 * np.pi * np.arange(steps) / per_day
    base = district.homes * district.home_lph * district.step_min / 60 * district.background
    walk = np.cumsum(rng.standard_normal(steps)) * district.drift / np.sqrt(60 * per_day)
    swing = district.swing * np.cos(angle + rng.uniform(-0.5, 0.5))
    swing += district.swing2 * np.cos(2 * angle + rng.uniform(0, 6.28))
    return np.asarray(base * (1 + swing) * np.exp(walk))


def _leaks(district: District, steps: int) -> Floats:
    flow = np.zeros(steps)
    for leak in district.leaks:
        count = leak.end - leak.start
        shape = (np.arange(count) + 1) / count if leak.incipient else np.ones(count)
        flow[leak.start : leak.end] += leak.lph * district.step_min / 60 * shape
    return flow


def _missing(district: District, rng: np.random.Generator, steps: int) -> Mask:
    missing = rng.random((district.homes, steps)) < district.missing
    per_day = 1440 // district.step_min
    for home in np.flatnonzero(rng.random(district.homes) < district.outages * district.days):
        start = int(rng.uniform(0, steps))
        lasts = rng.exponential(district.outage_h / 24 * per_day) + 1
        missing[home, start : start + int(lasts)] = True
    for start, end in district.blind:
        missing[:, start:end] = True
    return np.asarray(missing)


def _reads(district: District, rng: np.random.Generator, use: Floats) -> NDArray[np.uint32]:
    """Totalisers as read: biased, blind below their starting flow, off by their clocks."""
    homes, steps = district.homes, use.shape[1]
    step_l = district.start_lph * district.step_min / 60
    seen = np.where(use < step_l, 0, use)
    seen *= (1 + district.bias + district.bias_sd * rng.standard_normal(homes))[:, None]
    total: Floats = np.cumsum(seen, axis=1)
    total += rng.uniform(0, 2e5, homes)[:, None]
    clocks: Floats = rng.standard_normal(homes)[:, None]
    apart = district.jitter * rng.standard_normal((homes, steps))
    apart += district.skew_mean + district.skew * clocks
    off = np.clip(apart / district.step_min, -0.99, 0.99)
    before = np.concatenate([total[:, :1], total[:, :-1]], axis=1)
    after = np.concatenate([total[:, 1:], total[:, -1:]], axis=1)
    total += off * np.where(off < 0, total - before, after - total)
    for _ in range(district.swaps):
        home, at = int(rng.integers(homes)), int(rng.uniform(0.1, 0.95) * steps)
        total[home, at:] -= total[home, at]
    whole: NDArray[np.int64] = np.floor(np.maximum(total, 0)).astype(np.int64)
    if district.rollover_l:
        whole %= district.rollover_l
    return whole.astype(np.uint32)
