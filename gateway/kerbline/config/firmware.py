"""`[firmware]`: whose releases are brought to the nodes, and what of a line's time they take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kerbline.config.faults import Complaint, shown
from kerbline.config.rules import Between, read_bytes

ROOT_BEGINS = b"kerbline release root"


class RootFile:
    """The path of a release.pub; what it says is judged where releases are."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Look at its first line."""
        assert isinstance(value, Path)
        content = read_bytes(value)
        if isinstance(content, Complaint):
            return content
        if content.startswith(ROOT_BEGINS):
            return None
        problem = f"{shown(value)} does not begin with {ROOT_BEGINS.decode()!r}"
        return Complaint(problem, "write the path of a release.pub")


@dataclass(frozen=True, slots=True)
class Firmware:
    """The root that releases are verified with; there is no default one.

    `next_root` is taken too: while nodes go over to it, releases of both are brought.
    """

    root: Annotated[Path, RootFile()]
    next_root: Annotated[Path, RootFile()] | None = None
    line_share_pct: Annotated[int, Between(1, 80)] = 20  # of a line's time that updates may take
