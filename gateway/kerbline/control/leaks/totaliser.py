"""From reads of totalisers to volumes: roll-over, another meter, missing reads, backward flow.

One step takes the reads of all meters at one time. Six bytes are remembered of each: its last
count and how many steps ago that was, so that after missing reads the volume is known at once
and only its distribution is not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

NEVER = 0xFFFF  # of `blank`: no read yet
LONGEST = 0xFFFE  # a longer silence counts as this many steps
FORMAT = 1

READ, FIRST, ROLLED, BACKWARD, SWAPPED = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Register:
    """What a totaliser may do. Counts are what it counts in: litres where one count is a litre."""

    modulus: int = 1 << 32  # one above the highest count
    most_a_step: int = 5_000  # more is another meter: 20 m3/h at 15 minutes
    breath: int = 100  # so much back is backward flow, more is another meter


@dataclass(frozen=True, slots=True)
class Volumes:
    """Of one step, an array each over the meters.

    `counts` passed since the read before, over `spans` steps. A span of 0 says that nothing is
    known: no read, the first one, or another meter. `marks` is READ or what was odd. What flows
    back counts as nothing, and so does what then flows forward until the highest count is reached.
    """

    counts: NDArray[np.int32]
    spans: NDArray[np.uint16]
    marks: NDArray[np.uint8]


@dataclass(slots=True)
class Kept:
    """The last count of each meter and for how many steps it has been silent since."""

    last: NDArray[np.uint32]
    blank: NDArray[np.uint16]


class Totalisers:
    """The totalisers of `count` meters."""

    def __init__(self, count: int, register: Register | None = None) -> None:
        self.register = register or Register()
        self.kept = Kept(np.zeros(count, np.uint32), np.full(count, NEVER, np.uint16))

    def step(self, reads: NDArray[np.uint32], present: NDArray[np.bool_]) -> Volumes:
        """The volumes that the reads of this step tell; `reads` is looked at where `present`."""
        kept, register = self.kept, self.register
        never = kept.blank == NEVER
        spans = np.minimum(kept.blank, LONGEST - 1) + np.uint16(1)
        counts = reads.astype(np.int64)
        counts -= kept.last
        marks = np.zeros(len(reads), np.uint8)
        odd = np.flatnonzero(
            present & (never | (counts < 0) | (counts > register.most_a_step * spans.astype("i8")))
        )
        if len(odd):
            self._odd(odd, never, counts, spans, marks)
        spans[~present] = 0
        counts[~present] = 0
        silent = ~present & ~never
        kept.blank[silent] = np.minimum(kept.blank[silent], LONGEST - 1) + np.uint16(1)
        kept.blank[present] = 0
        np.copyto(kept.last, reads, where=present & (marks != BACKWARD))
        return Volumes(counts.astype(np.int32), spans, marks)

    def _odd(
        self,
        odd: NDArray[np.intp],
        never: NDArray[np.bool_],
        counts: NDArray[np.int64],
        spans: NDArray[np.uint16],
        marks: NDArray[np.uint8],
    ) -> None:
        """Judges the reads that did not simply go on; changes the arrays in place."""
        register = self.register
        found = counts[odd]
        most = register.most_a_step * spans[odd].astype(np.int64)
        round_again = (found < 0) & (found + register.modulus <= most)
        backward = (found < 0) & (found >= -register.breath)
        mark = np.select(
            [never[odd], round_again, backward], [FIRST, ROLLED, BACKWARD], default=SWAPPED
        )
        unknown = (mark == FIRST) | (mark == SWAPPED)
        counts[odd] = np.where(mark == ROLLED, found + register.modulus, 0)
        spans[odd] = np.where(unknown, 0, spans[odd])
        marks[odd] = mark

    def behind(self, meter: int, read: int) -> int:
        """By how much a read is below the highest count."""
        return int(self.kept.last[meter]) - read

    def saved(self) -> dict[str, NDArray[np.generic]]:
        """The whole state, as arrays; `restore` is its inverse."""
        return {item.name: getattr(self.kept, item.name).copy() for item in fields(Kept)}

    def restore(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Goes on from what `saved` gave; ValueError where it is of another number of meters."""
        for item in fields(Kept):
            mine, theirs = getattr(self.kept, item.name), saved[item.name]
            if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
                raise ValueError(f"{item.name}: {theirs.dtype}{theirs.shape} is not this state's")
            mine[...] = theirs
