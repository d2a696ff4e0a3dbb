"""What is damaged is put aside under a free name `.damaged-N`, for study."""

from __future__ import annotations

import shutil
from pathlib import Path

COPIED_BYTES = 256_000_000  # of a file at most: an SD card takes a second for 20 MB


def move(path: Path) -> Path:
    """A database whole, with what lies beside it; where it went."""
    target = _free(path)
    for suffix in ("-wal", "-shm", ""):
        part = beside(path, suffix)
        if part.exists():
            part.rename(beside(target, suffix))
    return target


def copy_log(path: Path) -> Path:
    """A copy of the log beside a database, of which the sound part goes on; where it is.

    The database is copied too where it is no larger than COPIED_BYTES and there is twice the room.
    Raises OSError.
    """
    target = _free(path)
    copied = beside(target, "-wal")
    try:
        shutil.copyfile(beside(path, "-wal"), copied)
        size = path.stat().st_size
        if size <= COPIED_BYTES and shutil.disk_usage(path.parent).free >= 2 * size:
            shutil.copyfile(path, target)
    except OSError:
        copied.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        raise
    return copied


def beside(path: Path, suffix: str) -> Path:
    """The file of that suffix."""
    return path.with_name(path.name + suffix)


def _free(path: Path) -> Path:
    number = 1
    while True:
        target = beside(path, f".damaged-{number}")
        if not target.exists() and not beside(target, "-wal").exists():
            return target
        number += 1
