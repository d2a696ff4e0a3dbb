"""What is wrong with a list of assets, said so that whoever keeps it can mend it."""

from __future__ import annotations

from dataclasses import dataclass

from kerbline.config.faults import Fault, shown
from kerbline.errors import KerblineError

MOST_TOLD = 20


class AssetsFault(KerblineError):
    """A list of assets that can't be taken, with its faults; or one that can't be read or kept."""

    code = "assets"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file: its line, or 0 and what part of it: "feature 3 (lamp-9)"."""

    file: str
    line: int = 0
    part: str = ""

    def __str__(self) -> str:
        return f"line {self.line}" if self.line else self.part


def brief(value: object) -> str:
    """A value of a file in a message; what holds others is only named, however deep it goes."""
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else shown(value)


class Faults:
    """Keeps the first faults of a file and counts the others."""

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self.count = 0

    def add(self, where: Where, key: str, problem: str, remedy: str) -> None:
        """One more."""
        self.count += 1
        if len(self._kept) < MOST_TOLD:
            at = f"{where.part}: {key}" if where.part and key else where.part or key
            self._kept.append(Fault(where.file, where.line, at, problem, remedy))

    def check(self) -> None:
        """Raise AssetsFault if there is any."""
        if not self.count:
            return
        lines = [str(each) for each in sorted(self._kept, key=lambda fault: fault.line)]
        if self.count > len(lines):
            lines.append(f"and {self.count - len(lines):,} more")
        raise AssetsFault("\n".join(lines))
