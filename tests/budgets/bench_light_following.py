"""Following people: nobody is owed light on streets of any kind, few others have it; its cost.

The follower alone, with perfect lamps and messages that are late and lost, beside
bench_light_energy, which plays whole streets.
"""

from __future__ import annotations

from random import Random

from tests.light_followed import Judged, Street, judged, real, traffic
from tools.figures import Figure

STREETS = 200
PEOPLE = 60
MISSES = 0.02


def street(chance: Random) -> Street:
    """Any street but one without length."""
    return Street(
        lamps=chance.choice((2, 3, 5, 8, 12, 20)),
        spacing_m=chance.choice((8, 15, 20, 27.3, 30, 35, 40, 50, 70)),
        range_m=chance.choice((2, 5, 8, 10, 12.5, 15, 20, 25, 30, 45)),
        latency_ms=chance.choice((2, 10, 50, 100)),
        loss=chance.choice((0.0, 0.05, 0.1, 0.2)),
        uneven=chance.choice((0.0, 0.0, 0.5, 0.9)),
    )


def drawn(seed: int) -> Judged:
    """One street and who comes there, from close together to far apart."""
    chance = Random(seed)
    return judged(street(chance), traffic(chance, PEOPLE, chance.choice((2, 5, 15, 60))), seed)


def figures() -> list[Figure]:
    """Every target beside its figure."""
    runs = [drawn(seed) for seed in range(STREETS)]
    home = Street(20, 30, 10)
    walks = traffic(Random(1), 400, 80)
    steady = judged(home, walks, 1)
    bad = judged(home, walks, 1, real(home), MISSES)
    missed = f"{MISSES:.0%} of the sightings missed, speeds may change by 30 %"
    return [
        Figure(
            f"{STREETS} streets: owed and not given", sum(r.short_ms for r in runs), "ms", "<= 0"
        ),
        Figure(
            f"{STREETS} streets: full by owed",
            sum(r.full_ms for r in runs) / sum(r.owed_ms for r in runs),
            "",
            "<= 1.2",
        ),
        Figure(
            "20 lamps, 30 m, one in 80 s: full by owed",
            steady.full_ms / steady.owed_ms,
            "",
            "<= 1.2",
        ),
        Figure(
            "the same: CPU of an edge and all that follows", 1e6 * steady.cpu_s / steady.edges, "us"
        ),
        Figure(f"{missed}: full by owed", bad.full_ms / bad.owed_ms, "", "<= 1.5"),
        Figure(f"{missed}: owed and not given", 1e6 * bad.short_ms / bad.owed_ms, "ppm", "<= 1000"),
        Figure(f"{missed}: CPU of an edge", 1e6 * bad.cpu_s / bad.edges, "us"),
    ]
