"""Where SQLite's write-ahead log ends, and whether it was cut there: "WAL-index format", 2020.

A log begins with a header and has frames of one page each. Their checksums run on from frame to
frame, and a commit is a frame that states the database's size. What follows the last sound commit
is not part of the database: rests of an earlier round (of other salt), or a commit that was cut.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = 0x377F0682  # the lowest bit set: checksums of big-endian words
_ROUNDS = 1 << 20  # the first salt is one more each round
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")


@dataclass(frozen=True, slots=True)
class LogEnd:
    """`used_bytes` hold sound commits; `cut_bytes` of newer ones follow, of no use.

    `frames_after` counts frames of the same round beyond the break: 0 is an ordinary cut, more
    means that the file was damaged in its midst.
    """

    used_bytes: int
    cut_bytes: int
    frames_after: int


def log_end(path: Path, sound_frames: int | None = None) -> LogEnd:
    """Look at the log of a database file; all 0 where there is none.

    `sound_frames`, where SQLite has told them, saves the checksums: a second for 10 MB.
    """
    try:
        log = path.with_name(path.name + "-wal").open("rb")
    except FileNotFoundError:
        return LogEnd(0, 0, 0)
    with log:
        size = log.seek(0, 2)
        log.seek(0)
        head = log.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return LogEnd(0, size, 0)
        magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack(head)
        checker = _Checker(">" if magic & 1 else "<")
        checker.take(head[:24])
        if magic | 1 != _MAGIC | 1 or checker.sums != (first, second):
            return LogEnd(0, size, 0)
        return _walked(log, page_bytes, tuple(salts), checker, sound_frames)


def _walked(
    log: BinaryIO,
    page_bytes: int,
    salts: tuple[int, ...],
    checker: _Checker,
    sound_frames: int | None,
) -> LogEnd:
    frame_bytes = _FRAME.size + page_bytes
    used = end = _HEADER.size if sound_frames is None else log.tell() + sound_frames * frame_bytes
    log.seek(end if sound_frames is not None else log.tell())
    sound, after = sound_frames is None, 0
    while frame := log.read(frame_bytes):
        if len(frame) < _FRAME.size:
            end = log.tell()
            break
        _, pages, *rest = _FRAME.unpack_from(frame)
        ours = tuple(rest[:2]) == salts
        if ours or not 0 < (salts[0] - rest[0]) & 0xFFFFFFFF < _ROUNDS:
            end = log.tell()  # no rest of an earlier round
        if not sound:
            after += ours
            continue
        checker.take(frame[:8] + frame[_FRAME.size :])
        sound = ours and len(frame) == frame_bytes and checker.sums == (rest[2], rest[3])
        if sound and pages:
            used = log.tell()
    return LogEnd(used, max(0, end - used), after)


class _Checker:
    """SQLite's running checksum over pairs of 32-bit words."""

    def __init__(self, order: str) -> None:
        self._order = order
        self.sums = (0, 0)

    def take(self, data: bytes) -> None:
        """Go on over `data`."""
        first, second = self.sums
        for one, two in struct.iter_unpack(f"{self._order}2I", data[: len(data) // 8 * 8]):
            first = (first + one + second) & 0xFFFFFFFF
            second = (second + two + first) & 0xFFFFFFFF
        self.sums = first, second
