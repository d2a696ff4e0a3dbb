"""A private file that a full disk still takes: room for its next content lies ready beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kerbline import durable


def replace(path: Path, content: bytes) -> None:
    """Write so that after a power cut either the old or the new content stands there whole.

    What was there is blanked and is the next one's draft.
    """
    draft, blank = spares(path)
    durable.place(draft, content)
    blank.unlink(missing_ok=True)
    with suppress(OSError):  # the first key, or a file system without links
        os.link(path, blank)
    durable.settle(draft, path)
    with suppress(OSError):  # the key is safe; without a blank the next one needs room
        durable.place(blank, bytes(len(content)))
        blank.replace(draft)


def spares(path: Path) -> tuple[Path, Path]:
    """What `replace` leaves beside a file: its draft, and one that is being blanked."""
    return path.with_suffix(".new"), path.with_suffix(".old")


def erase(path: Path) -> None:
    """The file and what lies beside it is overwritten, and gone when this returns."""
    durable.erase(path, *spares(path))
