"""Long proofs go on where they stopped: which rounds are done stands in build/nightly.

A file belongs to the very code that it was played on; another code begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAYED = ("protocol/kerbwire", "firmware/kerbnode", "gateway/kerbline/store", "tests/properties")


def _code() -> str:
    """A name for the code that a round plays."""
    names = [name for folder in PLAYED for name in sorted((ROOT / folder).glob("*.py"))]
    names += sorted((ROOT / "tests" / "wire").glob("[!t]*.py"))
    return hashlib.sha256(b"".join([name.read_bytes() for name in names])).hexdigest()[:16]


def rounds_left(proof: str, seeds: range) -> Iterator[int]:
    """The seeds that are not done yet; each counts as done when the next is asked for."""
    file = ROOT / "build" / "nightly" / f"{proof}-{_code()}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = set(map(int, file.read_text().split())) if file.exists() else set()
    for seed in seeds:
        if seed not in done:
            yield seed
            with file.open("a") as log:
                log.write(f"{seed}\n")
