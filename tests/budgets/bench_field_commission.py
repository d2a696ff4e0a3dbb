"""Commissioning on the bench: from a bare board to the sealed claim, as the command is run.

The board is esp32-mock-bootloader and then MicroPython behind sockets; the self-test waits as long
as on a chip. A real board adds the time of its line: 24 s for MicroPython at 460,800 baud. First
use is a copy of this tree in which nothing was ever compiled or built.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from kerbline.sim.nodes import interpreter
from tests.field.commission_scene import Scene, on_the_bench
from tools.figures import Figure
from tools.trees import ROOT

RUNS = 3
COPIED = ("boards", "firmware", "gateway", "protocol")
TARGET = "<= 15"


def figures() -> list[Figure]:
    """Every target beside its figure."""
    runs_on = interpreter()
    if not runs_on.name.startswith("MicroPython"):
        return [Figure("a bare board to its sealed claim", "no MicroPython here", "s", TARGET)]
    micropython = Path(runs_on.command[0])
    first, second = [], []
    for _ in range(RUNS):
        with TemporaryDirectory() as name:
            scene = _fresh(Path(name))
            first.append(_took(scene, micropython, "one"))
            shutil.rmtree(scene.places.folder)  # every board here has the same MAC
            second.append(_took(scene, micropython, "two"))
    return [
        Figure("a bare board to its sealed claim, first use", _whole(first), "s", TARGET),
        Figure("the same, the next board of the day", _whole(second), "s", TARGET),
        *(
            Figure(f"of that: {step}", median(took[step] for took in second), "s")
            for step in second[0]
            if step
        ),
    ]


def _fresh(folder: Path) -> Scene:
    """A technician's folder, and the tree as a clone has it."""
    tree = folder / "tree"
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    scene = Scene(folder, code=(tree / "gateway", tree / "protocol"))
    scene.write()
    return scene


def _took(scene: Scene, micropython: Path, name: str) -> Mapping[str, float]:
    """Seconds of each step; of the whole command, its start and end too, under ""."""
    with on_the_bench(scene.folder / name, micropython) as board:
        began = time.monotonic()
        ran = scene.commission(board)
        whole = time.monotonic() - began
    assert ran.status == 0, ran.error
    done = (line for line in ran.lines if line["state"] == "done")
    return {"": whole} | {line["step"]: line["took_s"] for line in done}


def _whole(runs: list[Mapping[str, float]]) -> float:
    return median(took[""] for took in runs)
