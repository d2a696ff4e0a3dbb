"""50 Modbus units x 100 registers at 1 s to MQTT, beside other gateways, each on one core."""

from __future__ import annotations

import os
import statistics

from tests.budgets.modbus_race import racers, track
from tests.budgets.modbus_race.environments import NotToBeHad
from tools.figures import Figure

ROUNDS = int(os.environ.get("KERBLINE_ROUNDS", "5"))
WINDOW_S = 10.0
WARM_S = {racers.THINGSBOARD: 12.0, racers.MODPOLL: 5.0}  # till what came before is through
OUR_WARM_S = 8.0
# The shortest period that a config may have; 50 units of so many registers are a million a second.
SATURATED_S, SATURATED_REGISTERS, SATURATED_BUSES = 0.05, 1_000, 2


def figures() -> list[Figure]:
    """Medians of interleaved runs; a rival that can't be had is said and left out."""
    field = [racers.OURS_EACH, racers.OURS_RANGE, racers.THINGSBOARD, racers.MODPOLL]
    runs: dict[racers.Racer, list[track.Run]] = {racer: [] for racer in field}
    absent: dict[racers.Racer, str] = {}
    for _ in range(ROUNDS):
        for racer in field:
            if racer in absent:
                continue
            try:
                warm_s = WARM_S.get(racer, OUR_WARM_S)
                runs[racer].append(track.race(racer, seconds=WINDOW_S, warm_s=warm_s))
            except NotToBeHad as error:
                absent[racer] = str(error)
    found = []
    for racer in field:
        if racer in absent:
            found.append(Figure(racer.name, f"can't be had here: {absent[racer]}", ""))
        else:
            found += _of(racer, runs[racer])
    each = runs[racers.OURS_EACH]
    share = _ratio(each, runs[racers.OURS_RANGE])
    said = "an entry a register / ranges, values per CPU-second"
    found.append(Figure(said, share, "x", ">= 0.9"))
    if theirs := runs[racers.THINGSBOARD]:
        times = _ratio(each, theirs)
        found.append(Figure("kerbline / ThingsBoard, the same", times, "x", ">= 8"))
    top = track.race(
        racers.OURS_RANGE,
        seconds=WINDOW_S,
        warm_s=OUR_WARM_S,
        period_s=SATURATED_S,
        registers=SATURATED_REGISTERS,
        sources=SATURATED_BUSES,
    )
    found.append(
        Figure("kerbline, a million asked for a second", top.values_per_s, "values/s", ">= 300_000")
    )
    found.append(Figure("the same, share of its core", 100 * top.cpu_share, "%"))
    return found


def _of(racer: racers.Racer, runs: list[track.Run]) -> list[Figure]:
    ours = racer in (racers.OURS_EACH, racers.OURS_RANGE)
    rows = (
        ("values_per_s", "values/s", ">= 4_950"),
        ("values_per_cpu_s", "per CPU-second", ">= 130_000"),
        ("p50_ms", "ms, read to MQTT, p50", ""),
        ("p99_ms", "ms, read to MQTT, p99", "<= 80"),
        ("rss_mb", "MB, RSS", "<= 45"),
    )
    return [
        Figure(f"{racer.name}: {name.removesuffix('_ms').removesuffix('_mb')}",
               _median(runs, name), unit, target if ours else "")
        for name, unit, target in rows
    ]  # fmt: skip


def _ratio(runs: list[track.Run], others: list[track.Run]) -> float:
    """Of values per CPU-second, the median of what each round has side by side."""
    pairs = zip(runs, others, strict=True)
    return statistics.median(one.values_per_cpu_s / two.values_per_cpu_s for one, two in pairs)


def _median(runs: list[track.Run], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))
