"""What the manifest under way says of what is offered: has flash room for it, is it its image?

Room is counted as littlefs spends it, before the first block of the parts. Loaded for an offer.
"""

import os

import slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

ENOSPC = 28
BLOCK = 4096
FILLED = BLOCK - 8  # of a block of a file: pointers take eight bytes of each on the average
INLINE = 128  # a file of so few bytes stands in its folder
NAME_BYTES = 64  # of a file in its folder
FOLDER_BYTES = 1024  # at least, in each pair of blocks that a growing folder takes
NAMES_AT = 19  # in a manifest


def check(size: int, held: int, spare: int) -> None:
    """OSError(ENOSPC, KiB that are lacking) if these parts, of which so many are here, don't fit.

    `spare` blocks stay free.
    """
    sizes = os.statvfs(slots.home + "u")
    lacks = BLOCK * (needed(size, held) + spare) - sizes[0] * sizes[3]
    if lacks > 0:
        raise OSError(ENOSPC, -(-lacks // 1024))


def needed(size: int, held: int) -> int:
    """How many blocks these parts take, and what is made of them; OSError."""
    blocks = _blocks(size) - _blocks(held)
    names = 0
    file = _opened()
    if file is not None:  # else these parts tell nothing
        with file:
            for each in _lacked(file):
                blocks += _blocks(each)
                names += NAME_BYTES + (each if each <= INLINE else 0)
            blocks += _blocks(file.seek(0, 1))
    return blocks + 2 * -(-names // FOLDER_BYTES)


def image() -> "tuple[int, bytes] | None":
    """(size, digest) of the image that is under way; OSError."""
    file = _opened()
    if file is None:
        return None
    with file:
        found = file.read(1 + slots.ENTRY)
    return (int.from_bytes(found[1:4], "big"), found[4:]) if found[0] else None


def _opened() -> "BinaryIO | None":
    """The manifest that is under way, at its image."""
    try:
        file = open(slots.home + "u/manifest", "rb")
    except OSError:
        return None
    file.seek(NAMES_AT)
    for _ in range(2):  # the board's name, the next root
        file.seek(file.read(1)[0], 1)
    return file  # type: ignore[no-any-return]


def _blocks(size: int) -> int:
    return -(-size // FILLED) if size > INLINE else 0


def _lacked(file: "BinaryIO") -> "Iterator[int]":
    """The sizes of a manifest's objects that are not here; its names are passed over."""
    entry = bytearray(slots.ENTRY)
    file.seek(file.read(1)[0] * slots.ENTRY, 1)
    for _ in range(int.from_bytes(file.read(2), "big")):
        file.seek(file.read(1)[0], 1)
        file.readinto(entry)
        size = int.from_bytes(entry[:3], "big")
        try:
            if os.stat(slots.place(entry, 0))[6] == size:
                continue
        except OSError:
            pass
        yield size
