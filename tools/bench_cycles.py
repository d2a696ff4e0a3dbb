"""Lets built nodes live 10^5 telemetry cycles in a chip's heap while their settings change.

python -m tools.bench_cycles [--cycles N] [--jobs N] [BOARD ...]

A cycle is a report, the frame that answers it, and all ticks between; time is stepped from event
to event. The heap is looked at about 100 times: what is retained may not grow. Each board is one
life, and one that is done for this very code is passed over: a run goes on where it was stopped.
What a node says stands in build/nightly/cycles-BOARD.log while it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kerbline.firmware import build as building
from tests.budgets import bench_whole, whole
from tools import runtime32
from tools.progress import Progress
from tools.trees import ROOT

CYCLES = 100_000
LOOKS = 100
SLACK_BYTES = 512  # what is under way at a look differs by about that
CODE = (
    "protocol/kerbwire",
    "firmware",
    "firmware/kerbnode",
    "firmware/kerbnode/assets",
    "firmware/kerbnode/drivers",
    "firmware/kerbnode/hal",
    "firmware/kerbnode/instruments",
    "tests/wire/whole_probe.py",
    "tests/budgets/whole.py",
    "tests/budgets/bench_whole.py",
    "gateway/kerbline/firmware",
)


def step(cycles: int) -> int:
    """Reports from look to look: odd, for the journal's rhythm is ten.

    What waits for its flush is held, 80 bytes a report: looks at one and the same place of that
    rhythm, after looks all over it, would be taken for a heap that shrinks.
    """
    return max(1, cycles // LOOKS) | 1


def lost(retained: Sequence[int]) -> int:
    """Bytes by which the last looks hold more than the first ones, each the least of a tenth."""
    tenth = max(1, len(retained) // 10)
    return min(retained[-tenth:]) - min(retained[:tenth])


def live(firmware: building.Firmware, cycles: int) -> str:
    """One life of that node; "" or what was wrong."""
    board = firmware.target.name
    progress = Progress(f"cycles-{board}", CODE)
    if any(done >= cycles for done in progress.done()):
        print(f"{board}: done before", flush=True)
        return ""
    log = ROOT / "build" / "nightly" / f"cycles-{board}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    told = bench_whole.cycles(runtime32.PROGRAM, firmware, cycles, step(cycles), log)
    growth = lost(told.checkpoints or [0])
    print(
        f"{board}: {told.reports:,} reports, {told.configured:,} settings taken, at most "
        f"{max(told.checkpoints, default=0):,} retained, growth {growth:,}, at least "
        f"{told.free:,} free, {time.monotonic() - began:,.0f} s",
        flush=True,
    )
    if told.said:
        return "\n".join(told.said)
    if told.reports < cycles or told.configured < cycles // whole.CONFIG_EACH - 1:
        return f"ended after {told.reports} reports and {told.configured} settings"
    if told.free < bench_whole.FREE_BYTES:
        return f"{told.free} bytes were free, {bench_whole.FREE_BYTES} are to be"
    if growth > SLACK_BYTES:
        return f"the heap shrank by {growth} bytes"
    progress.add(cycles)
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("boards", nargs="*", default=whole.BOARDS)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    options = _options()
    if not runtime32.PROGRAM.exists():
        print("no 32-bit MicroPython here: make build/micropython32")
        return 1
    nodes = [whole.built(board) for board in options.boards]  # at once: all of the same tree
    with ThreadPoolExecutor(options.jobs) as pool:
        faults = list(pool.map(lambda firmware: live(firmware, options.cycles), nodes))
    for board, fault in zip(options.boards, faults, strict=True):
        if fault:
            print(f"{board}:\n{fault}")
    return 1 if any(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
