"""The wire's code on a node, as .mpy files."""

import tempfile
from pathlib import Path

from tests.budgets import heap, size
from tools import runtime32
from tools.figures import Figure


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        sizes = heap.compiled(Path(folder) / "all")
        stays: float | str = "no 32-bit MicroPython"
        if runtime32.PROGRAM.exists():
            stays = sum(size.resident(runtime32.PROGRAM, Path(folder)).values())
    total, resident = f"<= {size.TOTAL_BYTES}", f"<= {size.RESIDENT_BYTES}"
    return [
        Figure("what stays loaded while reports flow", stays, "bytes", resident),
        Figure(
            "all that a node may load, on a line of its own", size.own_line(sizes), "bytes", total
        ),
        Figure("all that a node may load, on a bus", size.stack(sizes), "bytes", total),
        Figure(
            "what only an update loads",
            sum(sizes[name] for name in size.UPDATE),
            "bytes",
            f"<= {size.UPDATE_BYTES}",
        ),
    ]
