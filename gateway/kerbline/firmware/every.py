"""Builds several boards at once; what has not changed is not built again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from kerbline import boards
from kerbline.firmware import build as building
from kerbline.firmware import collect, cross, identity, kept

STAMP = "inputs.json"  # what a folder was built from, and what lies in it


@dataclass(frozen=True, slots=True)
class Told:
    """How one board's build went: its size report, and each budget that it exceeds."""

    board: str
    report: str
    faults: tuple[str, ...]


def build(names: Sequence[str], out: Path) -> Iterator[Told]:
    """Build these boards, or all real ones that are carried, each into its folder below `out`."""
    targets = []
    for name in names or boards.names():
        file = boards.find(name)
        board = boards.load(file)
        if names or board.chip.name != building.HOST:
            targets.append(building.of_board(board, _named(file)))
    folders = [out / target.name for target in targets]
    with ProcessPoolExecutor(min(len(targets), os.cpu_count() or 1)) as pool:
        yield from pool.map(_build_one, targets, folders)


def _named(file: Path) -> str:
    """The file as somebody in this folder would call it."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


def _build_one(target: building.Target, folder: Path) -> Told:
    inputs = _inputs(target)
    known = _known(folder, inputs)
    if known is not None:
        return Told(target.name, f"{known}  (as it was)\n", ())
    firmware = building.build(target, keep=kept.folder())
    faults = tuple(building.exceeded(firmware))
    building.write(firmware, folder, to_flash=not faults)
    if not faults:  # a build that failed is tried again
        stamp = {"inputs": inputs, "files": _sums(folder)}
        (folder / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
    return Told(target.name, building.told(firmware), faults)


def _inputs(target: building.Target) -> str:
    """Names everything that the build hangs on."""
    ours = sorted(Path(__file__).parent.glob("*.py"))
    parts = [
        repr(target),
        repr(sorted(collect.tree().items())),
        repr([file.read_bytes() for file in ours]),
        repr((identity.commit(), identity.version(), cross.version())),
    ]
    return sha256("\n".join(parts).encode()).hexdigest()


def _known(folder: Path, inputs: str) -> str | None:
    """The size report of a folder that these inputs made and nobody has touched."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
        if stamp["inputs"] == inputs and stamp["files"] == _sums(folder):
            return (folder / building.SIZES_FILE).read_text().rstrip()
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _sums(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != STAMP]
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}
