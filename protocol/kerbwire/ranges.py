"""RangeSet: which record numbers are held, as few spans as it takes.

Numbers start at 1. `cumulative` is the last number up to which nothing is missing.
"""

from kerbwire.errors import LocalError


class RangeSet:
    """A set of positive integers kept as sorted, disjoint, non-adjacent (first, last) spans.

    With a `limit`, adding a span too many forgets the oldest span above the cumulative number:
    what is forgotten is asked for again, never believed held.
    """

    __slots__ = ("_limit", "_spans")

    def __init__(self, spans: "tuple[tuple[int, int], ...]" = (), limit: "int | None" = None):
        self._limit = limit
        self._spans: list[tuple[int, int]] = []
        for first, last in spans:
            self.add(first, last)

    @property
    def cumulative(self) -> int:
        """The highest number such that 1..number are all in the set; 0 if 1 is not."""
        if self._spans and self._spans[0][0] == 1:
            return self._spans[0][1]
        return 0

    @property
    def highest(self) -> int:
        """The highest number in the set, 0 when empty."""
        return self._spans[-1][1] if self._spans else 0

    def spans(self) -> "tuple[tuple[int, int], ...]":
        """All spans, lowest first."""
        return tuple(self._spans)

    def above(self) -> "tuple[tuple[int, int], ...]":
        """The spans above the cumulative number, lowest first."""
        return tuple(self._spans[1:] if self.cumulative else self._spans)

    def covers(self, first: int, last: int) -> bool:
        """Are all of first..last in the set?"""
        index = self._find(first)
        if index == len(self._spans):
            return False
        low, high = self._spans[index]
        return low <= first and last <= high

    def copy(self, limit: "int | None" = None) -> "RangeSet":
        """A set of its own with the same numbers."""
        twin = RangeSet((), limit)
        twin._spans = self._spans[:]
        twin._forget()
        return twin

    def missing(self, first: int, last: int) -> "list[tuple[int, int]]":
        """The parts of first..last that are not in the set, lowest first."""
        holes = []
        for low, high in self._spans[self._find(first) :]:
            if low > last:
                break
            if first < low:
                holes.append((first, low - 1))
            first = max(first, high + 1)
        if first <= last:
            holes.append((first, last))
        return holes

    def add(self, first: int, last: int) -> bool:
        """Put first..last (both included, first >= 1) into the set; False: all were in it."""
        if first < 1 or last < first:
            raise LocalError("range")
        if self.covers(first, last):
            return False
        spans = self._spans
        place = self._find(first - 1)  # the span that touches from below, or the next one
        while place < len(spans) and spans[place][0] <= last + 1:
            low, high = spans.pop(place)
            first = min(first, low)
            last = max(last, high)
        spans.insert(place, (first, last))
        self._forget()
        return True

    def _forget(self) -> None:
        while self._limit is not None and len(self._spans) > self._limit:
            self._spans.pop(1 if self.cumulative else 0)

    def _find(self, number: int) -> int:
        """Index of the first span whose last is not below `number`."""
        low, high = 0, len(self._spans)
        while low < high:
            middle = (low + high) // 2
            if self._spans[middle][1] < number:
                low = middle + 1
            else:
                high = middle
        return low

    def __contains__(self, number: int) -> bool:
        return self.covers(number, number)

    def __len__(self) -> int:
        return sum([last - first + 1 for first, last in self._spans])

    def __repr__(self) -> str:
        return "RangeSet({})".format(tuple(self._spans))
