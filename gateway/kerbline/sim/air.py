"""A particle sensor on a street, on paper: air that changes, humidity that swells it, and faults.

Seeded. The air of a place wanders over days and minutes, has rush hours and plumes; the sensor
counts it with a gain and a noise of its own, and takes damp air for dirty. Others beside it see
the same air. A fault is done to what the sensor tells, as it is met in the field.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from kerbline.control.air.validity import Flag, Sample

STEP_MS = 600_000
STEPS_A_DAY = 144
STUCK_STEPS = FAN_STEPS = 36  # six hours
FOG_STEPS = 24
FAULTS = (Flag.STUCK, Flag.SPIKE, Flag.FOG, Flag.FAN, Flag.CHANNELS, Flag.DRIFT)


def station(seed: int, days: int) -> list[Sample]:
    """Samples of a healthy sensor with two channels, and of three others beside it."""
    chance = random.Random(seed)
    base = math.log(chance.uniform(4, 18))
    gain, noise = chance.uniform(0.9, 1.1), chance.uniform(0.02, 0.06)
    days_part = minutes_part = weather_pct = plume = 0.0
    made = []
    for step in range(days * STEPS_A_DAY):
        days_part = _wander(chance, days_part, 0.5, 1.5 * STEPS_A_DAY)
        minutes_part = _wander(chance, minutes_part, 0.12, 12)
        weather_pct = _wander(chance, weather_pct, 10, 2 * STEPS_A_DAY)
        if chance.random() < 1 / (3 * STEPS_A_DAY):
            plume = chance.uniform(5, 60)
        plume *= 0.9
        hour = step % STEPS_A_DAY / 6
        humidity = 68 + weather_pct - 18 * math.sin((hour - 9) / 24 * 2 * math.pi)
        humidity = min(max(humidity, 15), 99)
        rush = 0.25 * math.sin((hour - 7) / 24 * 4 * math.pi)
        air = math.exp(base + days_part + minutes_part + rush) + plume
        air *= 1 + 0.036 * humidity / (100 - min(humidity, 95))
        told = air * gain * (1 + chance.gauss(0, noise))
        twin = air * gain * chance.uniform(0.97, 1.03) * (1 + chance.gauss(0, noise))
        coarse = told * 1.6 * (1 + chance.gauss(0, 0.03))
        beside = [air * other * (1 + chance.gauss(0, 0.1)) for other in (0.95, 1.02, 1.1)]
        made.append(
            Sample(
                step * STEP_MS,
                round(max(told, 0), 1),
                round(max(coarse, 0), 1),
                round(max(twin, 0), 1),
                humidity,
                beside=beside,
            )
        )
    return made


def _wander(chance: random.Random, value: float, spread: float, fade_steps: float) -> float:
    """One step of a first-order process that keeps to `spread` about zero."""
    return value - value / fade_steps + chance.gauss(0, spread * math.sqrt(2 / fade_steps))


def faulty(samples: Sequence[Sample], fault: Flag, seed: int) -> tuple[list[Sample], range]:
    """The same with one fault from a step in the middle on, and the steps that it lasts."""
    chance = random.Random(seed)
    made = list(samples)
    begin = chance.randrange(len(made) * 3 // 10, len(made) * 6 // 10)
    first = made[begin]
    match fault:
        case Flag.STUCK:
            steps = range(begin, begin + STUCK_STEPS)
            for step in steps:
                made[step] = replace(
                    made[step], pm2_5=first.pm2_5, pm10=first.pm10, twin=first.twin
                )
        case Flag.SPIKE:
            steps = range(begin, begin + 1)
            high = first.pm2_5 * chance.uniform(4, 20) + 20
            made[begin] = replace(first, pm2_5=round(high, 1))
        case Flag.FOG:
            steps = range(begin, begin + FOG_STEPS)
            rise = chance.uniform(2, 4)
            for step in steps:
                made[step] = replace(_times(made[step], rise), humidity_pct=chance.uniform(96, 100))
        case Flag.FAN:
            steps = range(begin, begin + FAN_STEPS)
            rest = chance.uniform(0.02, 0.1)
            for step in steps:
                made[step] = _times(made[step], min(math.exp((begin - step) / 3) + rest, 1))
        case Flag.CHANNELS:
            steps = range(begin, len(made))
            gain, more = chance.choice([(3.0, 12.0), (0.2, 0.0)])
            for step in steps:
                twin = made[step].twin or 0.0
                made[step] = replace(made[step], twin=round(twin * gain + more, 1))
        case Flag.DRIFT:
            steps = range(begin, len(made))
            a_day = chance.choice((1, -1)) * chance.uniform(0.08, 0.15)
            for step in steps:
                made[step] = _times(made[step], math.exp(a_day * (step - begin) / STEPS_A_DAY))
        case _:
            raise ValueError(f"nothing is done for {fault}")
    return made, steps


def _times(sample: Sample, factor: float) -> Sample:
    """All that the sensor counts, more or less."""
    counts = (sample.pm2_5, sample.pm10, sample.twin)
    fine, coarse, twin = (None if c is None else round(c * factor, 1) for c in counts)
    return replace(sample, pm2_5=fine or 0.0, pm10=coarse, twin=twin)
