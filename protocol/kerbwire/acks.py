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


def encode_spans(numbers: RangeSet, recent: "list[int]") -> "list[int | bytes]":
    """Count and pairs; a span with one of the `recent` numbers, at most four, is never left out.

    Those that hold a recent number are told, then the newest.
    """
    above = numbers.above()
    spans = [s for s in above if any([s[0] <= number <= s[1] for number in recent])]
    for span in reversed(above):
        if len(spans) >= SPANS_IN_POLL:
            break
        if span not in spans:
            spans.append(span)
    spans = sorted(spans[:SPANS_IN_POLL])
    items: list[int | bytes] = [len(spans)]
    below = None
    for first, last in reversed(spans):
        items.append(last - numbers.cumulative if below is None else below - last)
        items.append(last - first + 1)
        below = first
    return items


def decode_spans(
    items: "list[int | bytes]", at: int, cumulative: int, end: int
) -> "list[tuple[int, int]]":
    """1..cumulative if there is any, and the (first, last) spans below `end` from items[at] on."""
    count = integers(items, 1, at)[at]
    if not 0 <= count <= SPANS_IN_POLL:
        raise RemoteError("value")
    numbers = integers(items, 2 * count, at + 1)
    spans = [(1, cumulative)] if cumulative else []
    first = 0
    for place in range(at + 1, at + 2 * count, 2):
        gap, length = numbers[place], numbers[place + 1]
        last = first - gap if first else cumulative + gap
        first = last - length + 1
        if gap < 1 or length < 1 or first <= cumulative or last >= end:
            raise RemoteError("value")
        spans.append((first, last))
    return spans
