"""Makes parts: what a node lacks of a manifest's objects, as `kerbwire.parts` applies it.

The same input makes the same bytes, with the same zlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from kerbline.bundle.edits import Edit, edits
from kerbline.bundle.numbering import Ranges, renumbered
from kerbwire import manifest as manifests
from kerbwire.parts import COPIED, MAGIC, RENUMBERED, SHIFT, WHOLE, WINDOW_BITS

Objects = Callable[[bytes], bytes]  # the content of the object with that digest


def made(new: bytes, objects: Objects, old: bytes = b"", base: Objects | None = None) -> bytes:
    """Parts of the manifest `new` for a node that has all objects of the manifest `old`, or none.

    `objects` gives those of `new`, `base` those of `old`. What it makes is b"" where nothing lacks.
    """
    had = {name: digest for name, _, digest in manifests.decode(old).entries} if old else {}
    here = set(had.values())
    told = bytearray()
    place = 0
    for number, (name, _, digest) in enumerate(manifests.decode(new).entries, 1):
        if digest in here:
            continue
        here.add(digest)
        before = base(had[name]) if base and name in had else b""
        told += _number(number - place) + _shortest(objects(digest), before)
        place = number
    if not told:
        return b""
    return MAGIC + manifests.build_id(new) + _deflated(bytes(told) + b"\0")


def _shortest(content: bytes, before: bytes) -> bytes:
    """How the object is told: whole, or by the one before."""
    ways = [bytes((WHOLE,)) + content]
    if before:
        named = manifests.digest(before)
        ways.append(bytes((COPIED,)) + named + _told(edits(before, content)))
        turned = renumbered(before, content)
        if turned is not None:
            middle, *moved = turned
            numbers = b"".join(_ranges(each) for each in moved)
            told = _told(edits(middle, content))
            ways.append(bytes((RENUMBERED,)) + named + numbers + told)
    return min(ways, key=lambda way: len(_deflated(way)))


def _told(found: list[Edit]) -> bytes:
    return b"".join(
        _number(edit.skipped) + _number(edit.copied) + _number(len(edit.inserted)) + edit.inserted
        for edit in found
    )


def _ranges(moved: Ranges) -> bytes:
    return bytes((len(moved),)) + b"".join(_steps(moved))


def _steps(moved: Ranges) -> Iterator[bytes]:
    before = 0
    for first, now in moved:
        yield _number(first - before) + _number(now - first + SHIFT)
        before = first


def _number(number: int) -> bytes:
    """Groups of 7 bits, the highest first."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, 9)
    return deflate.compress(data) + deflate.flush()
