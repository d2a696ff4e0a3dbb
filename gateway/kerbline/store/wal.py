"""Where SQLite's write-ahead log ends, and whether it was cut there: "WAL-index format", 2020.

A log begins with a header and has frames of one page each. Their checksums run on from frame to
frame, and a commit is a frame that states the database's size. What follows the last sound commit
is not part of the database: rests of an earlier round (of other salt), or a commit that was cut.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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

    Each commit is synced before the next begins, so that a cut leaves parts of one. Where commits
    of the same round go on beyond the break, the file was `damaged` in its midst, and
    `frames_after` counts their pages.
    """

    used_bytes: int
    cut_bytes: int
    frames_after: int
    damaged: bool = False


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
            # A new round's header that was cut has other salts than the old frames after it.
            frame = log.read(_FRAME.size)
            ours = len(frame) == _FRAME.size and _ours(_FRAME.unpack(frame)[2:4], tuple(salts))
            return LogEnd(0, size, size // (_FRAME.size + page_bytes) if ours else 0, ours)
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
    ended = damaged = False
    while frame := log.read(frame_bytes):
        if len(frame) < _FRAME.size:
            end = log.tell()
            break
        _, pages, *rest = _FRAME.unpack_from(frame)
        ours = tuple(rest[:2]) == salts
        if sound:
            checker.take(frame[:8] + frame[_FRAME.size :])
            whole = len(frame) == frame_bytes and checker.sums == (rest[2], rest[3])
            sound = ours and whole
            if sound and pages:
                used = log.tell()
        if not sound:
            same = _ours(rest[:2], salts)
            after += same
            damaged = damaged or (ended and same)
            ended = ended or (same and pages > 0)
        if ours or not 0 < (salts[0] - rest[0]) & 0xFFFFFFFF < _ROUNDS:
            end = log.tell()  # no rest of an earlier round
    return LogEnd(used, max(0, end - used), after, damaged)


def _ours(found: Sequence[int], salts: Sequence[int]) -> bool:
    """Is a frame of this round? A bit that flipped in one of its two salts does not hide it."""
    return found[0] == salts[0] or found[1] == salts[1]


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
