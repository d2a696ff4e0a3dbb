"""What the units of a bus said lately, so that several masters cost it one read; pure.

Times are seconds of the bus's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kerbline.south.modbus.framing import READS, Request

MAX_READS = 64  # of one unit and function; the oldest goes
_READS = frozenset(READS.values())


class _Read(NamedTuple):
    address: int
    words: Sequence[int]
    asked_s: float


class Cache:
    """Answers of reads that are not older than `max_age_s`; a write to a unit ends all of its."""

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._reads: dict[tuple[int, int], list[_Read]] = {}  # by unit and function
        self._written_s: dict[int, float] = {}

    def saw(self, request: Request, words: Sequence[int], asked_s: float, now_s: float) -> None:
        """A transaction went well; it was sent at `asked_s`."""
        if request.function not in _READS:
            self._written_s[request.unit] = now_s
            for key in [key for key in self._reads if key[0] == request.unit]:
                del self._reads[key]
        elif asked_s >= self._written_s.get(request.unit, asked_s):
            reads = self._reads.setdefault((request.unit, request.function), [])
            kept = [
                read
                for read in reads
                if now_s - read.asked_s <= self._max_age_s
                and (read.address, len(read.words)) != (request.address, len(words))
            ]
            reads[:] = [*kept[1 - MAX_READS :], _Read(request.address, words, asked_s)]

    def words(self, request: Request, now_s: float) -> Sequence[int] | None:
        """The newest words that answer a read; None when it must go to the bus."""
        if not self._max_age_s:
            return None
        for read in reversed(self._reads.get((request.unit, request.function), ())):
            at = request.address - read.address
            if now_s - read.asked_s > self._max_age_s or at < 0:
                continue
            if at + request.count <= len(read.words):
                return read.words[at : at + request.count]
        return None
