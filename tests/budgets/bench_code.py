"""The wire's code on a node, as .mpy files."""

import tempfile
from pathlib import Path

from tests.budgets import heap, size
from tools import runtime32
from tools.figures import Figure


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        total = sum(heap.compiled(Path(folder) / "all").values())
        stays: float | str = "no 32-bit MicroPython"
        if runtime32.PROGRAM.exists():
            stays = sum(size.resident(runtime32.PROGRAM, Path(folder)).values())
    return [
        Figure("all that a node may load", total, "bytes", f"<= {size.TOTAL_BYTES}"),
        Figure("what stays loaded", stays, "bytes", f"<= {size.RESIDENT_BYTES}"),
    ]
