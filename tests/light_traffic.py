"""Who comes along a street: a residential hourly profile, drawn from a seed. Nothing of kerbline.

The shares of a day's vehicles by the hour of local solar time are those of a residential street
with commuters; at 52 degrees north a quarter of a year's vehicles is in the dark.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

HOURLY = (
    0.4, 0.2, 0.2, 0.2, 0.4, 1.0, 2.5, 5.6, 6.3, 5.6, 6.0, 6.4,
    6.6, 6.7, 7.2, 7.9, 8.4, 8.3, 6.6, 4.6, 3.2, 2.3, 1.4, 0.8,
)  # fmt: skip
DAY_S = 86_400


@dataclass(frozen=True)
class Walk:
    """A kind of users: so many a day, at speeds that are drawn evenly between two."""

    kind: str
    per_day: float
    slowest_mps: float
    fastest_mps: float


Event = tuple[float, str, float, float, int]  # as EVENTS.csv has them


def drawn(
    walks: Sequence[Walk], days: float, length_m: float, start_hour: float, seed: int
) -> Iterator[Event]:
    """Events in order of time; `start_hour`: solar time at second 0. A Poisson stream each hour."""
    chance = Random(seed)
    total = sum(HOURLY)
    hour = 0
    while hour * 3600 < days * DAY_S:
        share = HOURLY[int(hour + start_hour) % 24] / total
        found: list[Event] = []
        for walk in walks:
            at_s = hour * 3600.0
            rate = walk.per_day * share / 3600
            while rate > 0:
                at_s += chance.expovariate(rate)
                if at_s >= min((hour + 1) * 3600, days * DAY_S):
                    break
                speed = round(chance.uniform(walk.slowest_mps, walk.fastest_mps), 3)
                side = chance.choice((1, -1))
                found.append((round(at_s, 3), walk.kind, speed, 0 if side > 0 else length_m, side))
        yield from sorted(found)
        hour += 1


def vehicles(per_day: float, mps: float = 14.0) -> list[Walk]:
    """All at one speed."""
    return [Walk("vehicle", per_day, mps, mps)]


def written(path: Path, events: Iterator[Event]) -> Path:
    """EVENTS.csv."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("t_s", "kind", "speed_mps", "enter_m", "direction"))
        writer.writerows(events)
    return path


def street_toml(**changed: object) -> str:
    """The street of the targets: 52 degrees north, 20 lamps at 30 m; `changed` are its keys."""
    keys: dict[str, object] = {
        "latitude": 52.0,
        "longitude": 0.0,
        "start": "2025-01-01T00:00:00Z",
        "days": 1,
        "lamps": 20,
        "spacing_m": 30,
        "lamp_w": 60,
        "standby_fraction": 0.04,
        "full_pct": 100,
        "floor_pct": 20,
        "sensor_range_m": 12,
        "latency_ms": 50,
        "loss": 0.1,
    }
    keys.update(changed)
    return "[street]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
