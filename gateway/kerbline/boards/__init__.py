"""Boards: their files are read, judged against chip, module and firmware, and compiled."""

from __future__ import annotations

from pathlib import Path

from kerbline import carried
from kerbline.boards.chips import CHIPS, Chip
from kerbline.boards.compile import source
from kerbline.boards.reader import load
from kerbline.boards.sections import Board, Budget
from kerbline.boards.settings import LinkSettings, check_settings
from kerbline.config.faults import ConfigFault, Fault

__all__ = [
    "CHIPS",
    "Board",
    "Budget",
    "Chip",
    "LinkSettings",
    "check_settings",
    "find",
    "load",
    "names",
    "source",
]


def names() -> list[str]:
    """The boards that are carried, by name."""
    return sorted(file.stem for file in carried.boards().glob("*.toml"))


def find(name: str) -> Path:
    """The file of a board by its name, or the path of one; ConfigFault where there is none."""
    if name in names():
        return carried.boards() / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    known = ", ".join(names())
    raise ConfigFault([Fault(name, 0, "", "no board is called so", f"write one of {known}")])
