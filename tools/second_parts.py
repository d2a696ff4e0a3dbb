"""A second implementation of what makes parts, and of the .mpy that they renumber.

Shares no code with kerbwire; written from protocol/wire.md, section 16.
"""

import zlib
from collections.abc import Sequence
from hashlib import sha256

WINDOW_BITS = 10
JUMPS = b"\x42\x81\x02\x44\x05\x40\x07\x02"
WHOLE, COPIED, RENUMBERED = 0, 1, 2


def number(value: int) -> bytes:
    """Groups of 7 bits, the highest first; .mpy files have them too."""
    assert value >= 0
    told = bytes((value & 0x7F,))
    while value >> 7:
        value >>= 7
        told = bytes((value & 0x7F | 0x80,)) + told
    return told


def deflated(body: bytes, bits: int = WINDOW_BITS) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -bits, 9)
    return deflate.compress(body) + deflate.flush()


def head(manifest: bytes) -> bytes:
    """What is before the deflate stream."""
    return b"KBP1" + sha256(manifest).digest()[:8]


def whole(step: int, content: bytes) -> bytes:
    return number(step) + bytes((WHOLE,)) + content


def edited(step: int, base: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Of each edit what to skip, to copy and to put in."""
    return number(step) + bytes((COPIED,)) + sha256(base).digest()[:16] + _told(edits)


def renumbered(
    step: int,
    base: bytes,
    names: Sequence[tuple[int, int]],
    constants: Sequence[tuple[int, int]],
    edits: Sequence[tuple[int, int, bytes]],
) -> bytes:
    """`names` and `constants`: (first, by how much) of each range."""
    told = number(step) + bytes((RENUMBERED,)) + sha256(base).digest()[:16]
    for ranges in (names, constants):
        told += bytes((len(ranges),))
        before = 0
        for first, shift in ranges:
            told += number(first - before) + number(shift + 8192)
            before = first
    return told + _told(edits)


def _told(edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    return b"".join(number(s) + number(c) + number(len(i)) + i for s, c, i in edits)


def mpy(
    names: Sequence[str],
    constants: Sequence[bytes],
    used: Sequence[int],
    first: int,
    flags: int = 0,
) -> list[bytes]:
    """A .mpy in six segments: tables, then kind and data of a function, a count, of another one.

    They name the `used` names and the constants from `first` on; nobody runs them. A name of digits
    is one of those that each firmware has.
    """
    told = b"M\x06" + bytes((flags, 31)) + number(len(names)) + number(len(constants) + 2)
    for name in names:
        if name.isdigit():
            told += number(int(name) << 1 | 1)
        else:
            told += number(len(name) << 1) + name.encode() + b"\0"
    for constant in constants:
        told += b"\x05" + number(len(constant)) + constant + b"\0"
    told += b"\x0a" + number(2) + b"\x01" + b"\x07" + number(3) + b"1e9"  # (None, an integer)
    told += b"\x04"
    code = b""
    for name_number in used:
        code += b"\x11" + number(name_number) + b"\x22" + number(300)
        code += b"\x14" + number(name_number) + b"\xb0"
    for constant_number in range(first, len(constants)):
        code += b"\x23" + number(constant_number) + JUMPS
    code += b"\x20\x01\x03" + b"\x32\x00" + b"\x51\x63"
    outer, inner = _function(code, used[:1], 1), _function(code, used[:3], 0)
    return [told, *outer, number(1), *inner]


def _function(code: bytes, names: Sequence[int], children: int) -> tuple[bytes, bytes]:
    """Its kind; and its name and those of its arguments, a byte about lines, a cell, the code."""
    info = b"".join(number(name) for name in names) + b"\x20"
    data = bytes((0x08 | (len(names) - 1), len(info) << 1 | 1)) + info + b"\0" + code
    return number(len(data) << 3 | children << 2), data
