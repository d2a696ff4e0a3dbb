"""From motion to full light, on the pole that sees it and on its neighbours, in virtual time.

Whole nodes and the gateway's own loops (light_line.py), a tenth of all frames lost each way: 16
poles 30 m apart by UDP, 25 ms each way, and on one RS-485 bus at 115,200 baud whose nodes need
4 ms for an answer. From a floor of 20 %, from the instant that somebody is in the sensor's range.
"""

from __future__ import annotations

from collections.abc import Sequence

from kerbline.sim import virtual_time
from tests.budgets import light_line
from tools.figures import Figure

POLES = 16
APPEARANCES = 400  # on each line: one of a hundred of their neighbours is 15
OWN_MS = 150
NEIGHBOUR_MS = 300


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of them do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def line(kind: type[light_line.Air | light_line.Bus], appearances: int, seed: int) -> list[Figure]:
    """One line."""
    own, others = virtual_time.run(light_line.measured(kind, POLES, appearances, seed))
    name = f"{kind.kind}, {100 * light_line.LOSS:.0f} % lost"
    return [
        Figure(f"{name}: own lamp, p99", percentile(own, 99), "ms", f"<= {OWN_MS}"),
        Figure(f"{name}: neighbours, median", percentile(others, 50), "ms"),
        Figure(f"{name}: neighbours, p99", percentile(others, 99), "ms", f"<= {NEIGHBOUR_MS}"),
        Figure(f"{name}: neighbours, the latest", max(others), "ms"),
    ]


def figures() -> list[Figure]:
    """Both lines."""
    return [
        *line(light_line.Air, APPEARANCES, 1),
        *line(light_line.Bus, APPEARANCES, 1),
    ]
