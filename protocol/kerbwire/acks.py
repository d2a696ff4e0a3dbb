"""POLL's acknowledgements: a cumulative number and up to four spans above it, from the top down.

On the wire a set is a count and so many pairs (gap, length). `length` is how many numbers the
span has. `gap` leads to its last number: counted up from the cumulative number for the first
pair, counted down from the first number of the span before for each further pair. So
1..10, 15..16, 20..24 is, after the cumulative 10: 2, (14, 5), (4, 2).
"""

from kerbwire.errors import RemoteError
from kerbwire.limits import SPANS_IN_POLL
from kerbwire.ranges import RangeSet
from kerbwire.report import integers


def _chosen(numbers: RangeSet, recent: "list[int]") -> "list[tuple[int, int]]":
    """The spans to tell: those that hold a recent number, then the newest; lowest first."""
    above = numbers.above()
    spans = [s for s in above if any([s[0] <= number <= s[1] for number in recent])]
    for span in reversed(above):
        if len(spans) >= SPANS_IN_POLL:
            break
        if span not in spans:
            spans.append(span)
    return sorted(spans[:SPANS_IN_POLL])


def encode_spans(numbers: RangeSet, recent: "list[int]") -> "list[int | bytes]":
    """Count and pairs; a span with one of the `recent` numbers, at most four, is never left out."""
    spans = _chosen(numbers, recent)
    items: list[int | bytes] = [len(spans)]
    below = None
    for first, last in reversed(spans):
        items.append(last - numbers.cumulative if below is None else below - last)
        items.append(last - first + 1)
        below = first
    return items


def decode_spans(
    items: "list[int | bytes]", at: int, cumulative: int, end: int
) -> "tuple[list[tuple[int, int]], int]":
    """The (first, last) spans below `end` that start at items[at], and the place after them."""
    count = integers(items[at : at + 1], 1)[0]
    at += 1
    if not 0 <= count <= SPANS_IN_POLL:
        raise RemoteError("value")
    spans: list[tuple[int, int]] = []
    below = None
    for _ in range(count):
        gap, length = integers(items[at : at + 2], 2)
        at += 2
        last = cumulative + gap if below is None else below - gap
        first = last - length + 1
        if gap < 1 or length < 1 or first <= cumulative or last >= end:
            raise RemoteError("value")
        spans.append((first, last))
        below = first
    return spans, at
