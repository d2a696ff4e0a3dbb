"""Years of a district's inflow with leaks in them, seeded: what the tests of leak detection see.

A week's shape times a season, noise of single values that many households average out, and leaks
that come at once or grow, driven by a pressure that falls with the flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leak:
    """From step `start` to before `end`; grows until `peak` as the square of time."""

    start: int
    end: int
    share: float  # of the mean inflow
    peak: int = 0


def bump(hour: Floats, at: float, width: float) -> Floats:
    """A peak of use around a time of day."""
    away = (hour - at + 12) % 24 - 12
    found: Floats = np.exp(-0.5 * (away / width) ** 2)
    return found


def week(chance: np.random.Generator, day_steps: int) -> Floats:
    """A week's shape, of mean 1: five working days and two late mornings."""
    hour = np.arange(day_steps) * 24 / day_steps
    night = chance.uniform(0.3, 0.5)
    morning, evening = chance.uniform(6.5, 9), chance.uniform(18, 21)
    days = []
    for day in range(7):
        late = 1.5 if day >= 5 else 0.0
        use = night + bump(hour, morning + late, 1.8) + 0.8 * bump(hour, evening, 2.2)
        days.append((use + 0.4 * bump(hour, 14, 3.5)) * (1 + chance.normal(0, 0.03)))
    found = np.concatenate(days)
    shape: Floats = found / found.mean()
    return shape


def inflow(
    seed: int, days: int, leaks: list[Leak], *, step_min: int = 30, noise: float = 0.01
) -> Floats:
    """m3/h, (days * steps a day,)."""
    chance = np.random.default_rng(seed)
    day_steps = 1440 // step_min
    steps = np.arange(days * day_steps)
    use = np.resize(week(chance, day_steps), steps.size)
    year = steps / (365 * day_steps) * 2 * np.pi
    season = sum(
        chance.normal() / turn * np.cos(turn * year + chance.uniform(0, 6)) for turn in (1, 2, 3)
    )
    use = use * (1 + 0.05 * season) * (1 + chance.normal(0, noise, steps.size))
    lost = np.zeros(steps.size)
    for leak in leaks:
        grown = np.clip((steps - leak.start) / max(leak.peak - leak.start, 1), 0, 1) ** 2
        lost += leak.share * grown * ((steps > leak.start) & (steps < leak.end))
    total = use + lost
    for _ in range(3):
        total = use + lost * np.sqrt(np.clip(1 - 0.05 * total**1.85, 0.1, 1) / 0.95)
    return total * chance.uniform(20, 2000)
