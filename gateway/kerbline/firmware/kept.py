"""Keeps small sources by what they were made from: making them is nearly all that a build takes.

Nothing goes out of date: whatever the outcome hangs on is in a file's name, and a file that is
not as it was written counts as absent.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from kerbline import carried
from kerbline.firmware import collect

Make = Callable[[Mapping[str, str]], dict[str, str]]
MOST_FILES = 64  # of some 100 kB each; the oldest go


def folder() -> Path | None:
    """Where a checkout keeps them; a wheel keeps none."""
    root = carried.root()
    return root / "build" / "small" if (root / "pyproject.toml").is_file() else None


def together(texts: Mapping[str, str], keep: Path, make: Make = collect.together) -> dict[str, str]:
    """What `make` makes of the texts, from that folder if it was made before.

    It may hang on the texts and on this package, and on nothing else.
    """
    file = keep / f"{_digest(_maker(), inspect.getsource(make), texts)}.json"
    known = _read(file)
    if known is None:
        known = make(texts)
        with suppress(OSError):  # a folder of somebody else's, a full disk
            _write(file, known)
            _forget(keep)
    return known


def _digest(*inputs: object) -> str:
    return sha256(json.dumps(inputs).encode()).hexdigest()


def _maker() -> list[str]:
    """This package's code, and the Python that runs it: it writes the trees as text."""
    return [sys.version, *(f.read_text() for f in sorted(Path(__file__).parent.glob("*.py")))]


def _read(file: Path) -> dict[str, str] | None:
    try:
        digest, small = json.loads(file.read_text())
        if digest == _digest(small):
            return dict(small)
    except (OSError, ValueError, TypeError):
        pass
    return None


def _write(file: Path, small: Mapping[str, str]) -> None:
    """At once, so that nobody beside us reads a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps((_digest(small), small)))
    fresh.replace(file)


def _forget(keep: Path) -> None:
    files = sorted(keep.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:-MOST_FILES]:
        file.unlink(missing_ok=True)
