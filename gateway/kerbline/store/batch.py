"""One commit as it lies in the log: its entries stay text until somebody needs one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from kerbline.model import Entry, Gap
from kerbline.store.entries import Garbled, decoded, inflated, written
from kerbline.store.retention import garbled

PIECE_BYTES = 12_000  # about 40 readings
# Between two entries, and nowhere else: in a text a quote has a backslash before it, no array of
# an entry holds objects.
_BETWEEN = b'},{"type":"'
_CUT = b'}\0{"type":"'  # JSON has no bare zero byte


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of the log; what can't be read of it comes as a gap of source "store"."""

    seq: int
    at_ms: int  # real UTC
    body: bytes  # as `entries.written` has it

    @classmethod
    def made(cls, seq: int, at_ms: int, entries: Iterable[Entry]) -> Self:
        """One that was never stored."""
        return cls(seq, at_ms, written(entries))

    @classmethod
    def read(cls, seq: int, at_ms: object, count: int, body: bytes, crc: int | None) -> Self:
        """A row as it was found; a flipped bit makes anything of a number."""
        sound_ms = at_ms if isinstance(at_ms, int) else 0
        try:
            return cls(seq, sound_ms, inflated(seq, sound_ms, count, body, crc))
        except Garbled:
            return cls.made(seq, sound_ms, [garbled(seq, sound_ms)])

    def __len__(self) -> int:
        return self.body.count(_BETWEEN) + 1

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of it, decoded anew each time: 8 us a reading, not for the loop."""
        try:
            return decoded(self.body)
        except Garbled:
            return (self.lost(),)

    def pieces(self) -> Iterator[list[bytes]]:
        """The JSON text of each entry, some at a time; raises Garbled."""
        if self.body[:1] + self.body[-1:] != b"[]":
            raise Garbled("no array")
        start, end = 1, len(self.body) - 1
        while start < end:
            cut = self.body.find(_BETWEEN, start + PIECE_BYTES) + 1 or end
            yield self.body[start:cut].replace(_BETWEEN, _CUT).split(b"\0")
            start = cut + 1

    def lost(self) -> Gap:
        """What declares that it can't be read."""
        return garbled(self.seq, self.at_ms)
