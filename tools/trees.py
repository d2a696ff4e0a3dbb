"""Where the tree is, what of it runs on a node, and what a check found there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kerbline.firmware.sources import Source, imports, read

__all__ = ["DEVICE", "ROOT", "Fault", "Source", "device_sources", "imports", "read"]

ROOT = Path(__file__).resolve().parents[1]
DEVICE = ("protocol/kerbwire", "firmware")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One violation, told as FILE:LINE: CODE what to do."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code} {self.message}"


def device_sources(root: Path = ROOT) -> Iterator[Source]:
    """All code that runs on a node."""
    yield from read(root, "protocol/kerbwire", "protocol")
    yield from read(root, "firmware", "firmware")
