"""50 Modbus units x 100 registers at 1 s to MQTT, beside other gateways, each on one core."""

from __future__ import annotations

import os
import statistics

from tests.budgets.modbus_race import racers, track
from tests.budgets.modbus_race.environments import NotToBeHad
from tools.figures import Figure

ROUNDS = int(os.environ.get("KERBLINE_ROUNDS", "5"))
WINDOW_S = 10.0
WARM_S = {racers.THINGSBOARD: 12.0}  # it starts so slowly
SATURATED_S = 0.02  # a period that nobody keeps


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
                warm_s = WARM_S.get(racer, 5.0)
                runs[racer].append(track.race(racer, seconds=WINDOW_S, warm_s=warm_s))
            except NotToBeHad as error:
                absent[racer] = str(error)
    found = []
    for racer in field:
        if racer in absent:
            found.append(Figure(racer.name, f"can't be had here: {absent[racer]}", ""))
        else:
            found += _of(racer, runs[racer])
    each, ranges, theirs = (
        _median(runs[racer], "values_per_cpu_s") if runs[racer] else 0.0
        for racer in (racers.OURS_EACH, racers.OURS_RANGE, racers.THINGSBOARD)
    )
    found.append(
        Figure("an entry a register / ranges, values per CPU-second", each / ranges, "x", ">= 0.9")
    )
    if theirs:
        found.append(Figure("kerbline / ThingsBoard, the same", each / theirs, "x", ">= 8"))
    top = track.race(racers.OURS_EACH, seconds=WINDOW_S, warm_s=5.0, period_s=SATURATED_S)
    found.append(
        Figure("kerbline, polls as fast as they go", top.values_per_s, "values/s", ">= 300_000")
    )
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


def _median(runs: list[track.Run], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))
