"""Leaks behind consumer meters: 1 L, 15 min, households of the development set and of others."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerbline.control.leaks.meters import MeterWatch, score
from kerbline.leakfiles import read_meters
from kerbline.sim.households import Habits, demand, leaking, totalised
from tools.figures import Figure
from tools.trees import ROOT

DATA = ROOT.parent / "shared" / "data" / "leaks"
DAY = 96
SMALL_LPH, LPH = 0.25, 1.0
SMALL_DAYS, ALARM_DAYS = 10, 3
SEED = 7_001  # never tuned on
HOMES, DAYS = 600, 60
SLEEPERS = Habits(night_worker=0.015, elderly=0.03, restless_a_year=0.1, guests_a_year=1.5)
METERS, CATCH_UP_DAYS = 10_000, 30

Reads = NDArray[np.uint32]


def alarms(reads: Reads, every: int) -> list[dict[str, float]]:
    """What is told of one read in `every`; `start` in steps of 15 minutes."""
    told: list[dict[str, float]] = score(reads[:, every - 1 :: every], None, 15 * every)["customer"]
    return [alarm | {"start": alarm["start"] * every + every - 1} for alarm in told]


def false_alarms(name: str, reads: Reads, *, must: bool, every: int = 1) -> Iterator[Figure]:
    """Alarms of homes of which none leaks, a meter and year."""
    told = alarms(reads, every)
    years = reads.shape[0] * reads.shape[1] / DAY / 365
    larger = sum(alarm["lph"] >= 0.9 * LPH for alarm in told) / years
    yield Figure(f"{name}: false alarms of 1 L/h", larger, "a meter-year", "<= 0.02" * must)
    every = len(told) / years
    yield Figure(f"{name}: false alarms of any size", every, "a meter-year", "<= 0.1" * must)


def found(
    name: str, reads: Reads, starts: NDArray[np.int64], lph: float, days: int, every: int = 1
) -> Figure:
    """The share of leaks whose alarm was raised within some days."""
    first: dict[int, int] = {}
    for alarm in alarms(reads, every):
        if alarm["start"] >= starts[int(alarm["meter"])]:
            first.setdefault(int(alarm["meter"]), int(alarm["start"]))
    intime = sum(first.get(home, 1 << 30) <= at + days * DAY for home, at in enumerate(starts))
    least = {SMALL_LPH: ">= 95", LPH: ">= 99"}[lph] if name == DEVELOPMENT else ""
    share = 100 * intime / len(starts)
    return Figure(f"{name}: {lph:g} L/h found in {days} days", share, "%", least)


DEVELOPMENT = "development set"


def development() -> Iterator[Figure]:
    """Its households as they are, and each with a leak put in from a day by chance on."""
    file = DATA / "households_dev.npz"
    if not file.exists():
        yield Figure(DEVELOPMENT, f"{file} is absent", "")
        return
    reads = read_meters(file, 15).reads
    yield from false_alarms(DEVELOPMENT, reads, must=True)
    chance = np.random.default_rng(SEED)
    steps = np.arange(reads.shape[1])
    for lph, days in ((LPH, ALARM_DAYS), (SMALL_LPH, SMALL_DAYS)):
        starts = chance.integers(10 * DAY, reads.shape[1] - 12 * DAY, len(reads))
        lost = np.maximum(steps - starts[:, None], 0) * (lph / 4)
        leaking_reads = reads + np.floor(lost + chance.random((len(reads), 1)) * (lost > 0))
        yield found(DEVELOPMENT, leaking_reads.astype(np.uint32), starts, lph, days)


def simulated(name: str, habits: Habits, every: int = 1) -> Iterator[Figure]:
    """Homes of our own making, that is of more habits than the development set's."""
    litres = demand(HOMES, DAYS, SEED, habits=habits)
    yield from false_alarms(name, totalised(litres, SEED), must=False, every=every)
    chance = np.random.default_rng(SEED + 1)
    for lph, days in ((LPH, ALARM_DAYS), (SMALL_LPH, SMALL_DAYS)):
        starts = chance.integers(15 * DAY, (DAYS - 12) * DAY, HOMES)
        leaks = [leaking(lph, DAYS * DAY, at, SEED + home) for home, at in enumerate(starts)]
        yield found(name, totalised(litres + np.array(leaks), SEED), starts, lph, days, every)


def cost() -> Iterator[Figure]:
    """Steps of many meters, of CPU time alone."""
    reads = totalised(demand(250, CATCH_UP_DAYS, SEED), SEED)
    by_step = np.ascontiguousarray(np.tile(reads, (METERS // 250, 1)).T)
    present = np.ones(METERS, np.bool_)
    watch = MeterWatch(METERS, 15)
    started = time.process_time()
    for row in by_step:
        watch.step(row, present)
    took_s = time.process_time() - started
    yield Figure("10,000 meters, 30 days", took_s, "s", "<= 60")
    yield Figure("meter updates", by_step.size / took_s, "a second", ">= 500_000")
    state = sum(array.nbytes for array in watch.saved().values())
    yield Figure("state", state / METERS, "bytes a meter", "<= 64.01")


def figures() -> list[Figure]:
    return [
        *development(),
        *simulated("other homes", SLEEPERS),
        *simulated("restless homes", Habits()),
        *simulated("other homes, read hourly", SLEEPERS, every=4),
        *cost(),
    ]
