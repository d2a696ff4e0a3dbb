"""What households draw, step by step, from a seed: for tests and for tuning the leak detectors.

Litres by home and step, none of them leaks, with what makes leak detectors cry wolf: people who
are up at night, guests, hoses left on, irrigation and drip lines, softeners, appliances that fill
by the clock or at random, holidays, and customers who never rest. Volumes of events and habits
are drawn from wide ranges after published end-use studies (DeOreo et al., Residential End Uses
of Water 2, 2016; Blokker et al., SIMDEUM, 2010), not fitted to any set of data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Litres = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Habits:
    """Shares of homes, and events a year, of what varies between districts."""

    night_worker: float = 0.06  # of residents
    elderly: float = 0.2  # of residents: up at night
    irrigation: float = 0.12
    drip: float = 0.02
    softener: float = 0.08
    filler: float = 0.02  # fills by the clock, day and night
    ice_maker: float = 0.05  # fills at random, day and night
    away_a_year: float = 3.0
    guests_a_year: float = 3.0
    restless_a_year: float = 0.7  # a baby, an illness: many nights with water
    hose_a_year: float = 0.6  # forgotten, for hours
    vacant: float = 0.01
    never_resting: float = 0.0  # of customers: a hospital, a hotel, a factory


@dataclass(frozen=True, slots=True)
class Clock:
    """The grid of time: `steps` of `step_min` minutes; `day` of them are one day."""

    days: int
    step_min: int = 15

    @property
    def day(self) -> int:
        return 1440 // self.step_min

    @property
    def steps(self) -> int:
        return self.days * self.day

    def step(self, day: Litres, hour: Litres) -> NDArray[np.int64]:
        """The step of each time; hours past midnight run into the next day."""
        found: NDArray[np.int64] = np.floor((day * 24 + hour) * 60 / self.step_min).astype(np.int64)
        return found


def demand(
    homes: int, days: int, seed: int, *, step_min: int = 15, habits: Habits | None = None
) -> Litres:
    """Litres (homes x steps) that each home draws."""
    clock = Clock(days, step_min)
    habits = habits or Habits()
    litres = np.zeros((homes, clock.steps))
    for home, chance in enumerate(np.random.default_rng(seed).spawn(homes)):
        if chance.random() < habits.never_resting:
            _never_resting(litres[home], clock, chance)
        else:
            _home(litres[home], clock, habits, chance)
    return litres


def totalised(
    litres: Litres, seed: int, *, resolution_l: float = 1.0, start: int | None = None
) -> NDArray[np.uint32]:
    """Counts of totalisers that pass `litres`; they begin anywhere, or all at `start`."""
    chance = np.random.default_rng(seed)
    first = (
        chance.integers(0, 400_000, len(litres)) if start is None else np.full(len(litres), start)
    )
    total = np.cumsum(litres, axis=1) / resolution_l + chance.random(len(litres))[:, None]
    total += first[:, None]
    counts: NDArray[np.uint32] = (np.floor(total).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)
    return counts


def leaking(lph: float, steps: int, start: int, seed: int, *, step_min: int = 15) -> Litres:
    """Litres by step of a leak from `start` on; its pressure breathes with the day."""
    chance = np.random.default_rng(seed)
    swing = chance.uniform(0, 0.1)
    hours = np.arange(steps) * step_min / 60
    flow = lph * step_min / 60 * (1 + swing * np.cos((hours - 3) / 24 * 2 * np.pi))
    flow[:start] = 0
    return flow


def _home(litres: Litres, clock: Clock, habits: Habits, chance: Generator) -> None:
    people = int(chance.choice([1, 2, 3, 4, 5, 6, 8], p=[0.3, 0.33, 0.15, 0.13, 0.05, 0.03, 0.01]))
    present = np.ones(clock.days)
    if chance.random() < habits.vacant:
        present[:] = 0
    for first, last in _spells(habits.away_a_year, 2, 21, clock, chance):
        present[first:last] = 0
    crowd = present.copy()
    for first, last in _spells(habits.guests_a_year, 2, 10, clock, chance):
        crowd[first:last] *= 1 + chance.integers(1, 5) / people
    flush_l = float(chance.choice([3.0, 4.5, 6.0, 9.0])) + chance.normal(0, 0.2)
    for _ in range(people):
        _person(litres, clock, crowd, flush_l, habits, chance)
    for first, last in _spells(habits.restless_a_year, 3, 25, clock, chance):
        nights = present[first:last] * chance.uniform(2, 7)
        _draw(litres, clock, nights, (23, 31), _small(flush_l, chance), chance, day=first)
    _machines(litres, clock, crowd, chance)
    _gardens(litres, clock, present, habits, chance)
    _appliances(litres, clock, present, habits, chance)


def _person(
    litres: Litres,
    clock: Clock,
    crowd: Litres,
    flush_l: float,
    habits: Habits,
    chance: Generator,
) -> None:
    wakes, sleeps = chance.normal(6.8, 0.9), chance.normal(22.9, 1.0)
    nights = chance.gamma(1.0, 0.35)
    if chance.random() < habits.elderly:
        nights += chance.gamma(2.0, 0.8)
    if chance.random() < habits.night_worker:
        turn = chance.uniform(6, 14)
        wakes, sleeps = wakes + turn, sleeps + turn
    home = chance.uniform(0.35, 1.0)  # of the waking day spent at home
    evening = chance.uniform(0.5, 2.5)
    use = chance.uniform(0.6, 1.5)
    for hours, events in (
        ((wakes, wakes + 1.5), 3.5),
        ((wakes, sleeps), 10 * home),
        ((sleeps - 5, sleeps), 3 * evening),
    ):
        _draw(litres, clock, crowd * events * use, hours, _small(flush_l, chance), chance)
    _draw(litres, clock, crowd * nights, (sleeps, wakes + 24), _small(flush_l, chance, 0.8), chance)
    shower_l, showers = chance.uniform(25, 90), chance.uniform(0.3, 1.1)
    at = wakes + 0.3 if chance.random() < 0.6 else sleeps - 2
    _draw(litres, clock, crowd * showers, (at, at + 1), ("normal", shower_l, 0.25, 2), chance)


def _small(flush_l: float, chance: Generator, flushes: float | None = None) -> tuple[object, ...]:
    return ("small", flush_l, chance.uniform(0.2, 0.5) if flushes is None else flushes, 1)


def _draw(
    litres: Litres,
    clock: Clock,
    rates: Litres,
    hours: tuple[float, float],
    kind: tuple[object, ...],
    chance: Generator,
    *,
    day: int = 0,
) -> None:
    """Events at random hours of each day, `rates` a day from `day` on; adds their litres."""
    numbers = chance.poisson(rates)
    days = np.repeat(np.arange(day, day + len(rates)), numbers).astype(float)
    steps = clock.step(days, chance.uniform(hours[0], hours[1], len(days)))
    name, size, spread, lasts = kind
    assert isinstance(size, float) and isinstance(spread, float) and isinstance(lasts, int)
    if name == "small":
        taps = np.minimum(chance.lognormal(0.3, 0.9, len(days)), 15)
        volumes = np.where(chance.random(len(days)) < spread, size + taps * 0.5, taps)
    else:
        volumes = np.maximum(0.2 * size, chance.normal(size, spread * size, len(days)))
    for part in range(lasts):
        at = steps + part
        inside = (at >= 0) & (at < clock.steps)
        np.add.at(litres, at[inside], volumes[inside] / lasts)


def _machines(litres: Litres, clock: Clock, crowd: Litres, chance: Generator) -> None:
    night = chance.random() < 0.12  # cheap power
    for share, a_day, volume in ((0.9, 0.15, chance.uniform(40, 110)), (0.6, 0.25, 12.0)):
        if chance.random() < share:
            begin = chance.uniform(22, 27) if night else chance.uniform(8, 18)
            hours = (begin, begin + (1.0 if night else 4.0))
            _draw(litres, clock, crowd * a_day, hours, ("normal", volume, 0.1, 5), chance)


def _gardens(
    litres: Litres, clock: Clock, present: Litres, habits: Habits, chance: Generator
) -> None:
    if chance.random() < habits.irrigation:
        every, hour = int(chance.integers(1, 4)), chance.choice([4.0, 5.0, 6.0, 20.0, 22.0])
        lasts, lph = int(chance.integers(1, 9)), chance.uniform(100, 900)
        for day in range(int(chance.integers(every)), clock.days, every):
            _run(litres, clock, day, hour, lasts, lph, chance)
    if chance.random() < habits.drip:
        every, hour = int(chance.integers(1, 3)), chance.uniform(18, 24)
        lasts, lph = int(chance.uniform(5, 13) * 60 / clock.step_min), chance.uniform(4, 40)
        for day in range(0, clock.days, every):
            _run(litres, clock, day, hour, lasts, lph, chance)
    for first, _last in _spells(habits.hose_a_year, 1, 2, clock, chance):
        if present[first]:
            lasts = int(chance.uniform(1, 26) * 60 / clock.step_min)
            _run(
                litres, clock, first, chance.uniform(8, 22), lasts, chance.uniform(60, 900), chance
            )


def _appliances(
    litres: Litres, clock: Clock, present: Litres, habits: Habits, chance: Generator
) -> None:
    if chance.random() < habits.softener:
        every, hour = int(chance.integers(2, 8)), chance.uniform(0, 4)
        lasts, lph = int(chance.integers(2, 8)), chance.uniform(40, 150)
        for day in range(int(chance.integers(every)), clock.days, every):
            _run(litres, clock, day, hour, lasts, lph, chance)
    always = chance.random() < 0.6  # it goes on while they are away
    on = np.ones(clock.days) if always else present
    if chance.random() < habits.filler:
        every_h, volume = chance.uniform(0.5, 4.0), chance.uniform(1.0, 7.0)
        jitter = 0.0 if chance.random() < 0.5 else chance.uniform(0, 0.3)
        count = int(clock.days * 24 / every_h)
        hours = (np.arange(count) + chance.random() + chance.normal(0, 1, count) * jitter) * every_h
        _pulses(litres, clock, hours, np.full(count, volume), on)
    if chance.random() < habits.ice_maker:
        every_h, volume = chance.uniform(0.7, 8.0), chance.uniform(0.15, 2.0)
        shape = chance.choice([1.0, 4.0])
        count = int(clock.days * 24 / every_h * 1.3) + 10
        hours = np.cumsum(chance.gamma(shape, every_h / shape, count))
        _pulses(litres, clock, hours, volume * chance.uniform(0.8, 1.2, count), on)


def _pulses(litres: Litres, clock: Clock, hours: Litres, volumes: Litres, on: Litres) -> None:
    steps = np.floor(hours * 60 / clock.step_min).astype(np.int64)
    inside = (steps >= 0) & (steps < clock.steps)
    steps, volumes = steps[inside], volumes[inside]
    np.add.at(litres, steps, volumes * (on[steps // clock.day] > 0))


def _run(
    litres: Litres,
    clock: Clock,
    day: int,
    hour: float,
    lasts: int,
    lph: float,
    chance: Generator,
) -> None:
    """A steady flow for some steps."""
    first = int((day * 24 + hour) * 60 / clock.step_min)
    flow = lph * clock.step_min / 60 * chance.normal(1, 0.01, lasts)
    part = litres[first : first + lasts]
    part += flow[: len(part)]


def _never_resting(litres: Litres, clock: Clock, chance: Generator) -> None:
    """Shifts, kitchens and cooling over a base that is never off but never quite the same."""
    hours = np.arange(clock.steps) * clock.step_min / 60
    base = chance.uniform(20, 600)
    busy = 1 + chance.uniform(0.5, 3) * np.clip(np.sin((hours % 24 - 7) / 14 * np.pi), 0, None)
    week = np.where((hours // 24) % 7 >= 5, chance.uniform(0.4, 1), 1.0)
    slow = np.repeat(chance.lognormal(0, 0.15, clock.days), clock.day)
    noise = chance.gamma(4.0, 0.25, clock.steps)
    litres += base * clock.step_min / 60 * busy * week * slow * noise


def _spells(
    a_year: float, least: int, most: int, clock: Clock, chance: Generator
) -> list[tuple[int, int]]:
    """Stretches of days, first and end."""
    number = chance.poisson(a_year * clock.days / 365)
    first = chance.integers(0, clock.days, number)
    lasts = chance.integers(least, most + 1, number)
    return [(int(a), int(min(a + n, clock.days))) for a, n in zip(first, lasts, strict=True)]
