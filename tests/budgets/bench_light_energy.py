"""Streets lit where somebody is: what they save, and that nobody is owed light, by another's sun.

Two whole years and four weeks of a street at 52 degrees north, then many other streets of one
night, all played by `kerbline light simulate`'s code and judged by tests/light_checker.py.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

from kerbline.sim import lit_street
from kerbline.sim.lit_street_files import read_street
from tests import light_checker, light_traffic
from tests.light_checker import Verdict
from tests.light_traffic import Walk
from tools.figures import Figure

MPS = 14.0
LENGTH_M = 19 * 30
SEED = 9
# Noons three days before each solstice and equinox of 2025.
SEASONS = ("2025-03-17", "2025-06-18", "2025-09-19", "2025-12-18")
OTHERS = 60


class Played(NamedTuple):
    """One run and what the checker says of it."""

    verdict: Verdict
    seconds: float
    trace_mb: float


def played(
    folder: Path,
    keys: dict[str, object],
    walks: list[Walk],
    seed: int,
    *,
    length_m: float = 0.0,
    every_pct: float | None = None,
) -> Played:
    """Draws the events of a street, plays and judges it; `length_m`: where it is not the lamps'."""
    street, events = folder / "street.toml", folder / "events.csv"
    street.write_text(light_traffic.street_toml(**keys))
    plan, _ = read_street(street)
    hour = plan.start_s % 86_400 / 3600 + plan.longitude / 15
    length_m = length_m or plan.last_lamp_m
    people = light_traffic.drawn(walks, plan.days, length_m, hour, seed)
    light_traffic.written(events, people)
    trace = folder / "trace.csv"
    started = time.monotonic()
    lit_street.simulate(plan, events, trace, seed=seed, every_pct=every_pct)
    seconds = time.monotonic() - started
    verdict = light_checker.judged(street, events, trace)
    return Played(verdict, seconds, trace.stat().st_size / 1e6)


def year(folder: Path, per_day: int, saved_pct: int) -> list[Figure]:
    """A year of a street."""
    keys: dict[str, object] = {"days": 365, "start": "2025-01-01T00:00:00Z"}
    run = played(folder, keys, light_traffic.vehicles(per_day, MPS), SEED)
    name = f"a year, {per_day:,} a day"
    return [
        Figure(f"{name}: not lit as it must be", run.verdict.violation_s, "s", "<= 0"),
        *energy(name, [run], saved_pct, 90),
        Figure(f"{name}: played in", run.seconds, "s"),
        Figure(f"{name}: its trace", run.trace_mb, "MB"),
    ]


def energy(name: str, runs: list[Played], saved_pct: int | None, share_pct: int) -> list[Figure]:
    """Standby by day counts, and then not: what is missed in either way is missed."""
    figures = []
    for is_counted, what in ((True, "with standby by day"), (False, "by night alone")):
        standby = sum(run.verdict.standby_kwh for run in runs)
        always = sum(run.verdict.always_kwh for run in runs) - standby
        off = 0.0 if is_counted else standby
        mine = 1 - (sum(run.verdict.kwh for run in runs) - off) / always
        best = 1 - (sum(run.verdict.clairvoyant_kwh for run in runs) - off) / always
        target = "" if saved_pct is None else f">= {saved_pct}"
        figures.append(Figure(f"{name}: saved, {what}", 100 * mine, "%", target))
        figures.append(
            Figure(f"{name}: of a clairvoyant's, {what}", 100 * mine / best, "%", f">= {share_pct}")
        )
    return figures


def busy(folder: Path) -> list[Figure]:
    """Four weeks of 10,000 a day."""
    walks = light_traffic.vehicles(10_000, MPS)
    runs = [
        played(folder, {"days": 7, "start": f"{day}T12:00:00Z"}, walks, SEED + number)
        for number, day in enumerate(SEASONS)
    ]
    violation_s = sum(run.verdict.violation_s for run in runs)
    name = "28 days, 10,000 a day"
    return [
        Figure(f"{name}: not lit as it must be", violation_s, "s", "<= 0"),
        *energy(name, runs, None, 80),
        Figure(f"{name}: played in", sum(run.seconds for run in runs), "s"),
    ]


def other(chance: Random) -> tuple[dict[str, object], list[Walk]]:
    """Another street of one night, and who comes there."""
    keys: dict[str, object] = {
        "start": "2025-03-20T18:00:00Z",
        "days": 0.25,
        "latitude": chance.choice((52.0, 40.0, 0.0, -35.0)),
        "lamps": chance.choice((1, 2, 3, 5, 10, 20, 30)),
        "spacing_m": chance.choice((10, 18.5, 25, 30, 35, 40, 50, 70)),
        "sensor_range_m": chance.choice((3, 5, 8, 10, 12, 15, 20, 25, 30, 45)),
        "latency_ms": chance.choice((0, 20, 50)),
        "loss": chance.choice((0, 0.05, 0.1)),
        "floor_pct": chance.choice((5, 10, 20, 35, 50)),
        "full_pct": chance.choice((60, 80, 100)),
    }
    slow, fast = chance.choice(((14, 14), (8, 14), (5, 22), (10, 35)))
    walks = [
        Walk("vehicle", chance.choice((200, 1000, 4000)), slow, fast),
        Walk("cyclist", chance.choice((0, 200, 1000)), 2.5, 8.0),
        Walk("pedestrian", chance.choice((0, 200, 1000)), chance.choice((0.3, 0.7, 1)), 2.0),
    ]
    return keys, walks


def others(folder: Path, count: int) -> list[Figure]:
    """Streets drawn from a seed: lamps, spacing, sensors, messages, who comes how fast."""
    violation_s, users, always, mine, best = 0.0, 0, 0.0, 0.0, 0.0
    for seed in range(count):
        verdict = played(folder, *other(Random(seed)), seed, every_pct=20).verdict
        violation_s += verdict.violation_s
        users += verdict.dark_users
        always += verdict.always_kwh
        mine += verdict.kwh
        best += verdict.clairvoyant_kwh
    name = f"{count} other streets"
    return [
        Figure(f"{name}: not lit as they must be", violation_s, "s", "<= 0"),
        Figure(f"{name}: who came in the dark", users, ""),
        Figure(f"{name}: saved, all together", 100 * (1 - mine / always), "%"),
        Figure(f"{name}: saved by a clairvoyant", 100 * (1 - best / always), "%"),
    ]


def part(name: str) -> list[Figure]:
    """One of `PARTS`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return PARTS[name](Path(folder))


PARTS: Mapping[str, Callable[[Path], list[Figure]]] = {  # the longest first
    "2,000 a day": lambda folder: year(folder, 2000, 55),
    "500 a day": lambda folder: year(folder, 500, 65),
    "10,000 a day": busy,
    "others": lambda folder: others(folder, OTHERS),
}


def figures() -> list[Figure]:
    """Every target beside its figure; two parts are played at a time."""
    with ProcessPoolExecutor(2) as pool:
        return [figure for found in pool.map(part, PARTS) for figure in found]
