"""Streams of readings as a street makes them, from a seed: for figures and for tests.

They are like a lamp with traffic, a household's water and the air beside a road, and no more than
that: what a street of stone and steel sends is for its own streams to say.
"""

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_S = 1_790_000_000
Row = tuple[int, dict[str, Any]]


def _late(rng: random.Random) -> int:
    """Seconds by which one report in thirty misses its time."""
    return rng.choice((-2, -1, 1, 2)) if rng.random() < 0.03 else 0


def streetlight(rng: random.Random, reports: int) -> Iterator[Row]:
    """Dimmed nights with traffic, dark days, a reboot now and then."""
    watts, booted = rng.choice((38.0, 60.0, 105.0)), START_S - 900 * rng.randrange(1, 2000)
    energy, lit, status = rng.uniform(1e4, 9e5), rng.randrange(10_000_000), 1
    ambient = rng.uniform(-5, 20)
    level = 0
    for number in range(reports):
        at_s = START_S + 900 * number
        hour = at_s / 3600 % 24
        if rng.random() < 0.07:
            level = rng.choice((40, 70, 100, 100))
        now = (level or 40) if hour < 5.5 or hour > 20 else 0
        power = round(max(0.0, watts * now / 100 + rng.gauss(0, 0.4)) if now else 0.0, 1)
        energy += power / 4 + rng.gauss(0, 0.3)
        lit += 900 * bool(now)
        ambient += rng.gauss(0, 0.2) - ambient / 200
        warm = ambient + 5 * math.sin(hour / 4) + 0.2 * power
        status = rng.randrange(16) if rng.random() < 0.003 else status
        if rng.random() < 0.0005:
            booted = at_s - 60
        yield (
            at_s + _late(rng),
            {
                "level_pct": now,
                "power_w": power,
                "energy_wh": int(energy),
                "lamp_hours": lit // 3600,
                "temperature_c": round(warm),
                "status": status,
                "uptime_s": at_s - booted,
            },
        )


def water_meter(rng: random.Random, reports: int) -> Iterator[Row]:
    """A household by the hour, read once a day."""
    volume, cell = rng.randrange(1_000_000, 4_000_000), rng.uniform(3580, 3650)
    for day in range(reports):
        hours = [
            0 if rng.random() < (0.85 if hour < 6 else 0.25) else int(rng.expovariate(1 / 18))
            for hour in range(24)
        ]
        volume += sum(hours)
        cell -= 0.1
        yield (
            START_S + 86_400 * day + _late(rng),
            {
                "volume_l": volume,
                "flow_lph": hours[-1],
                "backflow_l": 3,
                "battery_mv": round(cell + rng.gauss(0, 1.5)),
                "alarms": int(rng.random() < 0.01),
                "hourly_l": hours,
            },
        )


def air_quality(rng: random.Random, reports: int) -> Iterator[Row]:
    """Dust, gases and weather that wander, with each sensor's noise."""
    dust, carbon, nitrogen, pressure = 8.0, 430.0, 18.0, 1013.0
    for number in range(reports):
        at_s = START_S + 600 * number
        dust = max(1.0, dust + rng.gauss(0, 0.4))
        carbon = max(400.0, carbon + rng.gauss(0, 3) + (430 - carbon) / 100)
        nitrogen = max(0.0, nitrogen + rng.gauss(0, 0.5))
        pressure += rng.gauss(0, 0.05)
        warm = 13 + 6 * math.sin(at_s / 13_751)
        yield (
            at_s + _late(rng),
            {
                "pm1_ugm3": round(0.65 * dust + rng.gauss(0, 0.25), 1),
                "pm2_5_ugm3": round(dust + rng.gauss(0, 0.3), 1),
                "pm10_ugm3": round(1.6 * dust + rng.gauss(0, 0.5), 1),
                "co2_ppm": round(carbon + rng.gauss(0, 2)),
                "no2_ppb": round(nitrogen + rng.gauss(0, 0.5), 1),
                "temperature_c": round(warm + rng.gauss(0, 0.1), 1),
                "humidity_pct": round(70 - warm + rng.gauss(0, 0.3), 1),
                "pressure_hpa": round(pressure, 1),
                "status": int(rng.random() < 0.002),
            },
        )


KINDS: dict[str, Callable[[random.Random, int], Iterator[Row]]] = {
    "streetlight": streetlight,
    "water_meter": water_meter,
    "air_quality": air_quality,
}


def write(file: Path, kind: str, seed: int, reports: int) -> Path:
    """The stream as a file."""
    rows = KINDS[kind](random.Random(seed), reports)
    lines = [json.dumps({"asset": kind, "t": 1000 * s, "values": values}) for s, values in rows]
    file.write_text("\n".join(lines) + "\n")
    return file
