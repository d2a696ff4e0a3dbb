"""The tables of a .mpy: its names and constants, whose places in them its byte code tells.

Format: MicroPython's py/persistentcode.c, version 6.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from kerbwire.errors import RemoteError
from kerbwire.parts import SHIFT, Renumbered

Ranges = list[tuple[int, int]]
MOST_RANGES = 255
_TEXT = (5, 6)  # kinds of constants that end in a zero
_TUPLE = 10


class _Reader:
    """Reads a .mpy from where its tables begin."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 4

    def number(self) -> int:
        found = 0
        while True:
            code = self.data[self.at]
            self.at += 1
            found = found << 7 | code & 0x7F
            if code < 0x80:
                return found

    def name(self) -> bytes:
        """One entry of the first table, as it stands there."""
        start = self.at
        length = self.number()
        if not length & 1:  # else one that every firmware has, by its number
            self.at += (length >> 1) + 1
        return self.data[start : self.at]

    def constant(self) -> bytes:
        """One entry of the second table, as it stands there."""
        start = self.at
        left = 1
        while left:
            left -= 1
            kind = self.data[self.at]
            self.at += 1
            if kind > 4:
                length = self.number()
                if kind == _TUPLE:
                    left += length
                else:
                    self.at += length + (kind in _TEXT)
        return self.data[start : self.at]


def tables(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Names and constants of a .mpy; raises IndexError where it is none."""
    reader = _Reader(data)
    names, constants = reader.number(), reader.number()
    return [reader.name() for _ in range(names)], [reader.constant() for _ in range(constants)]


def ranges(old: Sequence[bytes], new: Sequence[bytes]) -> Ranges:
    """Which numbers are others now: from (first) on, (what it is now) and so on."""
    places = {entry: place for place, entry in enumerate(new)}
    found: Ranges = []
    shift = 0
    for place, entry in enumerate(old):
        moved = places.get(entry, place + shift) - place
        if moved != shift:
            found.append((place, place + moved))
            shift = moved
    return found


def renumbered(old: bytes, new: bytes) -> tuple[bytes, Ranges, Ranges] | None:
    """The old .mpy with the new one's numbers, as a node makes it; None where it can't be."""
    try:
        pairs = zip(tables(old), tables(new), strict=True)
        names, constants = (ranges(before, after) for before, after in pairs)
        for moved in (names, constants):
            if len(moved) > MOST_RANGES or any(abs(b - a) >= SHIFT for a, b in moved):
                return None
        base = Renumbered(io.BytesIO(old), names, constants)
        return b"".join(bytes(base.out[:count]) for count in base.pieces()), names, constants
    except (IndexError, RemoteError):
        return None
