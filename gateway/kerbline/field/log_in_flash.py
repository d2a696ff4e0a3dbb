"""A node's log, seen from its loader: how much of it a write of its flash would take.

The form of the log is that of firmware/kerbnode/blocks.py. What its gateway has of it already is
known to the node and its gateway alone.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from kerbline.boardtools.loader import Loader
from kerbline.field.flash_images import TABLE_BYTES, TABLE_OFFSET, partitions
from kerbline.firmware.image import BLOCK_BYTES, Inside, NoImage

FOLDER = "/journal"
SEGMENT_BYTES = 16_384
_SEGMENT = re.compile(r"s[0-9a-f]{8}")
_MAGIC = b"\xb1\x4b"
_HEAD = struct.Struct("<2sHI")  # magic, length, CRC-32 that begins with the length
_STATE = struct.Struct("<IIII")  # epoch, reserved to, first number, behind the last number


def records(loader: Loader) -> int:
    """At most so many records are in the log, 0 where there is none; raises LoaderFault.

    Some dozen blocks are read: one second of a line at 460,800 baud.
    """
    found = partitions(loader.read(TABLE_OFFSET, TABLE_BYTES))
    if "vfs" not in found:
        return 0
    begin, size = found["vfs"]

    def block(number: int) -> bytes:
        return loader.read(begin + number * BLOCK_BYTES, BLOCK_BYTES)

    try:
        system = Inside(block, size)
        names = [name for name in system.names(FOLDER) if _SEGMENT.fullmatch(name)]
        if not names:
            return 0
        oldest = system.content(f"{FOLDER}/{names[0]}", BLOCK_BYTES)
        newest = system.content(f"{FOLDER}/{names[-1]}", SEGMENT_BYTES)
    except NoImage:  # nobody reads that log any more
        return 0
    first = next((first for first, _ in _numbers(oldest)), 0)
    end = max((end for _, end in _numbers(newest)), default=0)
    return max(0, end - first)


def _numbers(segment: bytes) -> Iterator[tuple[int, int]]:
    """Of each sound block its first number and the one behind its last."""
    at = 0
    while (at := segment.find(_MAGIC, at)) >= 0 and at + _HEAD.size + _STATE.size <= len(segment):
        _, length, check = _HEAD.unpack_from(segment, at)
        body = segment[at + _HEAD.size : at + _HEAD.size + length]
        if length >= _STATE.size and len(body) == length and zlib.crc32(body, length) == check:
            _, _, first, end = _STATE.unpack_from(body)
            yield first, end
            at += _HEAD.size + length
        else:
            at += 1
