"""One process alone at a board, a port or the records."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kerbline.field.commission.words import CommissionFault

PAUSE_S = 0.05


@contextmanager
def held(lock: Path, fault: str, *, patience_s: float = 0.0, **values: object) -> Iterator[None]:
    """Nobody else holds `lock` meanwhile; the kernel lets go of it when a process ends."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = time.monotonic() + patience_s
        while not _locked(descriptor):
            if time.monotonic() > end:
                raise CommissionFault(fault, **values)
            time.sleep(PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
