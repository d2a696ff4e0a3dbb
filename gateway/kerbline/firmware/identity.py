"""Which build this is: the version, and the commit of the tree that it was built from."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib import metadata

from kerbline import carried

UNKNOWN = "unknown"
WATCHED = ("firmware", "protocol/kerbwire", "gateway/kerbline/firmware", "boards")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's name, 40 hex digits or "unknown"; `dirty`: the tree has changes over it."""

    name: str
    dirty: bool


def commit() -> Commit:
    """Of the checkout, as far as what goes into a node is concerned; a wheel knows none."""
    root = carried.root()
    if not (root / ".git").exists():
        return Commit(UNKNOWN, dirty=False)
    try:
        name = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--", *WATCHED))
    except (OSError, subprocess.CalledProcessError):
        return Commit(UNKNOWN, dirty=False)
    return Commit(name, dirty)


def version() -> str:
    """Kerbline's version, as the package has it."""
    return metadata.version("kerbline")


def numbers(version: str) -> tuple[int, int, int]:
    """The first three numbers of a version."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    return major, minor, patch


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(carried.root()), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
