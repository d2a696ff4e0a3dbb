"""What each index was given for, beside the witness: one that signed two releases is told.

Whoever has both can forge a third (RFC 8554, 9). Two machines with copies of a key come to that
without either of them noticing, until one sees a release of the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kerbline.field.signing.disk import Disk, keep
from kerbline.field.signing.faults import SignerFault

SUFFIX = ".given"


@dataclass(frozen=True, slots=True)
class Use:
    """A build, as hex, that was signed with an index."""

    index: int
    build: str


class Given:
    """A line for each index that this machine gave."""

    def __init__(self, disk: Disk, witness: Path) -> None:
        self._disk = disk
        self._path = witness.with_suffix(SUFFIX)

    def all(self) -> list[Use]:
        """Those that can be read: it is a second pair of eyes, not what the key hangs on."""
        lines = (self._disk.read(self._path) or b"").decode("ascii", "replace").splitlines()
        words = [line.split(" ") for line in lines]
        return [Use(int(w[0]), w[1]) for w in words if len(w) == 2 and w[0].isdecimal()]

    def add(self, use: Use) -> None:
        """Durable on return; raises OSError."""
        lines = [f"{each.index} {each.build}\n" for each in (*self.all(), use)]
        keep(self._disk, self._path, "".join(lines).encode())


def check(uses: Iterable[Use], folder: Path) -> None:
    """Raise SignerFault("forked") where one index has two builds."""
    known: dict[int, str] = {}
    for each in uses:
        other = known.setdefault(each.index, each.build)
        if other != each.build:
            raise SignerFault(
                folder,
                "forked",
                f"index {each.index} has signed build {other} and build {each.build}: copies of "
                "this key are in use, and who has both releases can forge a third",
                "make a new root, and bring it to every node by a release with --next-root",
            )
