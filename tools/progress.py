"""Long proofs go on where they stopped: what is done stands in build/nightly.

A file belongs to the very code that was played; other code begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.trees import ROOT

WIRE = ("protocol/kerbwire", "tests/wire")


class Progress:
    """The rounds of one proof that are done for the code in these folders and files as it is."""

    def __init__(self, proof: str, paths: Sequence[str]) -> None:
        files: list[Path] = []
        for path in map(ROOT.joinpath, paths):
            files += sorted(path.glob("*.py")) if path.is_dir() else [path]
        code = hashlib.sha256(b"".join([file.read_bytes() for file in files])).hexdigest()
        self._file = ROOT / "build" / "nightly" / f"{proof}-{code[:16]}.txt"

    def done(self) -> set[int]:
        """What is done."""
        return set(map(int, self._file.read_text().split())) if self._file.exists() else set()

    def add(self, number: int) -> None:
        """One more is done."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as log:
            log.write(f"{number}\n")

    def left(self, numbers: range) -> Iterator[int]:
        """Those that are not done; each counts as done when the next is asked for."""
        done = self.done()
        for number in numbers:
            if number not in done:
                yield number
                self.add(number)
