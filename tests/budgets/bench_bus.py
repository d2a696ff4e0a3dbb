"""A polled bus at 115,200 baud in virtual time, 4 ms turnaround at each node."""

import importlib
import sys
from typing import Any

from tools.figures import Figure
from tools.trees import ROOT

sys.path.append(str(ROOT / "tests"))  # where the tests of both interpreters find each other
BusLine: Any = importlib.import_module("wire.bus_line").BusLine

STRANGERS = 247
SEEDS = (1, 2, 3)


def _discovery() -> list[float]:
    """Seconds until all are found, keyed (10 ms of HKDF each) and confirmed, by seed."""
    spent = []
    for seed in SEEDS:
        line = BusLine(STRANGERS, seed, placed=False)
        began_us = line.now
        assert line.run(60_000, line.all_up)
        spent.append((line.now - began_us) / 1e6)
    return spent


def _idle() -> tuple[float, float, float]:
    """Seconds of a cycle of 32 idle nodes, bytes of one exchange, ms of the worst clock."""
    line = BusLine(32)
    assert line.run(30_000, line.all_up)
    line.run(500)
    polls, sent = line.bus.polls, line.bytes
    line.run(20_000)
    polls, sent = line.bus.polls - polls, line.bytes - sent
    worst = max(abs(error) for node in line.nodes for error, _ in node.clocks)
    return 32 * 20 / polls, sent / polls, worst


def figures() -> list[Figure]:
    spent = _discovery()
    cycle_s, exchange, clock_ms = _idle()
    return [
        Figure("247 nodes discovered and keyed, slowest seed", max(spent), "s", "<= 12"),
        Figure("idle cycle of 32 nodes", cycle_s, "s", "<= 0.30"),
        Figure("idle exchange", exchange, "bytes", "<= 32"),
        Figure("clock error of 32 nodes, at the offer", clock_ms, "ms", "<= 50"),
    ]
