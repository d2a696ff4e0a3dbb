"""Keeps small sources and compiled files by what they were made from: that is all a build takes.

Nothing goes out of date: whatever the outcome hangs on is in a file's name, and a file that is
not as it was written counts as absent.
"""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

from kerbline import carried
from kerbline.firmware import collect

Make = Callable[..., dict[str, str]]
MOST_FILES = 128  # of some 100 kB each; the oldest go
PATIENCE_S = 60.0  # far longer than a board takes
PAUSE_S = 0.02


def folder() -> Path:
    """Where a checkout keeps them; a wheel does below $XDG_CACHE_HOME, by default ~/.cache."""
    root = carried.root()
    if (root / "pyproject.toml").is_file():
        return root / "build" / "small"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kerbline" / "small"


def together(
    texts: Mapping[str, str], keep: Path, make: Make = collect.together, *given: str
) -> dict[str, str]:
    """What `make` makes of the texts and of what is given, from that folder if it was made before.

    It may hang on these and on this package, and on nothing else.
    """
    file = keep / f"{_digest(_maker(), inspect.getsource(make), texts, given)}.json"
    known = _read(file)
    if known is not None:
        return known
    with _alone(file):
        known = _read(file)
        if known is None:
            known = make(texts, *given)
            with suppress(OSError):  # a folder of somebody else's, a full disk
                _write(file, known)
                _forget(keep)
    return known


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Whoever makes the same beside us is waited for; where no lock is to be had both make it."""
    with ExitStack() as stack:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = file.with_suffix(".lock")
            held = stack.enter_context(lock.open("w"))
            stack.callback(lock.unlink, missing_ok=True)
            end_s = time.monotonic() + PATIENCE_S
            while not _locked(held) and time.monotonic() < end_s:
                time.sleep(PAUSE_S)
        yield


def _locked(held: IO[str]) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps((_digest(small), small)))
    fresh.replace(file)


def _forget(keep: Path) -> None:
    there = (file for file in keep.iterdir() if file.suffix != ".lock")
    files = sorted(there, key=lambda file: file.stat().st_mtime_ns)
    for file in files[:-MOST_FILES]:
        file.unlink(missing_ok=True)
