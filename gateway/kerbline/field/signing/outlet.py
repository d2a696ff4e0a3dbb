"""Where a bundle is written to: a file, and none that can't be made again."""

from __future__ import annotations

import os
from pathlib import Path

from kerbline import durable
from kerbline.bundle import BundleFault, load
from kerbline.field.signing.disk import Disk, keep
from kerbline.field.signing.faults import SignerFault


def outlet(path: Path, *, replace: bool) -> Path:
    """The place of a bundle, behind links; raises SignerFault where it can't, or must not, be.

    What is there is kept unless it is a bundle that nobody has signed, or `replace`.
    """
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        raise SignerFault(path, "out", f"there is no folder {place.parent}", "make it first")
    if not os.path.lexists(place):
        return place
    if not place.is_file():
        raise SignerFault(path, "out", "is no file", "name a file to write to by --out")
    what = "" if replace else _lost(place)
    if what:
        raise SignerFault(path, "exists", what, "name another --out, or say --replace")
    return place


def _lost(place: Path) -> str:
    """What is there, if it would be missed; "" for what can be built again."""
    try:
        there = load(place, None)
    except BundleFault:
        return "is no bundle, and is there already"
    if not there.signed_manifest:
        return ""
    return f"is signed by root {there.root.hex()}, index {there.index}, and is there already"


def put(disk: Disk, path: Path, content: bytes) -> None:
    """A bundle in its place, for all to read; cut short, what was there stays. Raises OSError."""
    try:
        keep(disk, path, content)
    except OSError:
        durable.draft_of(path).unlink(missing_ok=True)
        raise
    path.chmod(0o644)
