"""Leaks of a district from its balance: 1,000 homes, 60 days at 15 min, and what a step costs."""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kerbline.control.leaks.balance import BalanceWatch, score
from kerbline.leakfiles import read_inflow_total, read_meters
from kerbline.sim.district import Leak, drawn, recorded
from tools.figures import Figure
from tools.trees import ROOT

DATA = ROOT.parent / "shared" / "data" / "leaks"
STEP_MIN = 15
PER_HOUR = 60 // STEP_MIN
DAY = 24 * PER_HOUR
SEEDS = (901, 902, 903)  # never tuned on
LARGE, SMALL = 0.024, 0.006  # of the mean inflow
MANY, DAYS = 10_000, 30


class Found(NamedTuple):
    """What became of one leak: hours since it began and since it was of a size; None if missed."""

    leak: Leak
    since_start_h: float | None
    since_size_h: float | None
    size_off: float | None  # of what is allowed
    ended_h: float | None


def grade(
    leaks: Sequence[Leak], alarms: list[dict[str, Any]], mean_lph: float
) -> tuple[list[Found], int]:
    """Each leak's fate, and how many alarms were of no leak."""
    fates: list[Found] = []
    false = list(alarms)
    for leak in leaks:
        mine = [each for each in alarms if leak.start <= each["start"] < leak.end]
        false = [each for each in false if each not in mine]
        share = leak.lph / mean_lph
        bound = LARGE if share >= LARGE else SMALL
        grown = int((leak.end - leak.start) * min(1.0, bound / share)) if leak.incipient else 0
        if not mine:
            fates.append(Found(leak, None, None, None, None))
            continue
        late = mine[0]["start"] - leak.start
        allowed = max(0.15 * leak.lph, 0.002 * mean_lph)
        long = leak.end - leak.start >= 3 * DAY
        off = abs(mine[-1]["lph"] - leak.lph) / allowed if long else None
        end = mine[-1]["end"]
        after = None if end is None else (end - leak.end) / PER_HOUR
        fates.append(Found(leak, late / PER_HOUR, max(0, late - grown) / PER_HOUR, off, after))
    return fates, len(false)


def told(name: str, fates: list[Found], false: int, mean_lph: float) -> list[Figure]:
    """The targets over some districts; a leak that was missed counts as found after 60 days."""
    small = [each for each in fates if LARGE > each.leak.lph / mean_lph >= SMALL]
    large = [each for each in fates if each.leak.lph / mean_lph >= LARGE]
    sudden = [each for each in small if not each.leak.incipient]

    def latest(of: list[Found], *, grown: bool) -> float:
        hours = [each.since_size_h if grown else each.since_start_h for each in of]
        return max((1440.0 if each is None else each for each in hours), default=0.0)

    missed = sum(each.since_start_h is None for each in [*small, *large])
    return [
        Figure(f"{name}: false network alarms", false, "", "<= 0"),
        Figure(f"{name}: leaks >= 0.6 % missed", missed, "", "<= 0"),
        Figure(f"{name}: since it was 0.6 %, latest", latest(small, grown=True), "h", "<= 24"),
        Figure(f"{name}: since it was 2.4 %, latest", latest(large, grown=True), "h", "<= 3"),
        Figure(f"{name}: sudden leaks of 0.6 %, latest", latest(sudden, grown=False), "h"),
        Figure(f"{name}: growing ones, since their start", latest(small, grown=False), "h"),
        Figure(
            f"{name}: size, off by at most, of what is allowed",
            max((each.size_off for each in [*small, *large] if each.size_off), default=0.0),
            "",
            "<= 1",
        ),
        Figure(
            f"{name}: alarm after the repair, latest",
            max((each.ended_h for each in [*small, *large] if each.ended_h), default=0.0),
            "h",
        ),
    ]


def development() -> list[Figure]:
    path = DATA / "dma1000_dev.npz"
    if not path.exists():
        return [Figure("development set", f"no {path}", "")]
    truth = json.loads((DATA / "dma1000_dev_truth.json").read_text())
    leaks = [
        Leak(each["start"], each["end"], each["lph"], each["type"] == "incipient")
        for each in truth["network_leaks"]
    ]
    found = read_meters(path, STEP_MIN)
    total_l = read_inflow_total(path, found.reads.shape[1])
    alarms = score(found.reads, found.missing, total_l, STEP_MIN)["network"]
    mean_lph = truth["mean_lph"]
    fates, false = grade(leaks, alarms, mean_lph)
    least = [each for each in fates if each.leak.lph < SMALL * mean_lph]
    return [
        *told("set", fates, false, mean_lph),
        *(
            Figure(
                f"set: a leak of {100 * each.leak.lph / mean_lph:.2f} %",
                "missed" if each.since_start_h is None else each.since_start_h,
                "h",
            )
            for each in least
        ),
    ]


def simulated() -> list[Figure]:
    """Districts of our own whose every share was drawn: harder than the set, and told apart."""
    fates: list[Found] = []
    false = 0
    mean_lph = 16_600.0
    for seed in SEEDS:
        district = drawn(seed)
        seen = recorded(district, seed)
        watch = BalanceWatch(district.homes, STEP_MIN)
        alarms: dict[int, dict[str, Any]] = {}
        for at in range(seen.reads.shape[1]):
            inflow_l = float(seen.inflow_total_l[at])
            for change in watch.step(seen.reads[:, at], ~seen.missing[:, at], inflow_l):
                alarm = alarms.setdefault(change.start, {"start": change.start})
                alarm |= {"lph": change.lph, "end": None if change.up else at}
        more, wrong = grade(district.leaks, list(alarms.values()), mean_lph)
        fates += more
        false += wrong
    figures = told("drawn", fates, false, mean_lph)
    return [figure._replace(target="") for figure in figures]


def cost() -> list[Figure]:
    """CPU of steps of many meters, 2 % of the reads missing, and bytes kept."""
    rng = np.random.default_rng(1)
    warm, steps = DAY + 4, DAY + 54
    reads = np.cumsum(rng.poisson(0.3, (steps, MANY)) * 14, axis=0).astype(np.uint32)
    present: list[Any] = [rng.random(size=MANY) >= 0.02 for _ in range(steps)]
    watch = BalanceWatch(MANY, STEP_MIN)
    for at in range(warm):
        watch.step(reads[at], present[at], 45_000.0 * at)
    started = time.process_time()
    for at in range(warm, steps):
        watch.step(reads[at], present[at], 45_000.0 * at)
    spent_s = time.process_time() - started
    small = sum(array.nbytes for array in BalanceWatch(10, STEP_MIN).saved().values())
    kept = sum(array.nbytes for array in watch.saved().values())
    return [
        Figure("meter updates a second", MANY * 50 / spent_s, "", ">= 500_000"),
        Figure("10,000 meters, 30 days", spent_s / 50 * DAYS * DAY, "s CPU", "<= 60"),
        Figure("state of a meter", (kept - small) / (MANY - 10), "bytes", "<= 64"),
    ]


def figures() -> list[Figure]:
    return [*development(), *simulated(), *cost()]
