"""POLL's acknowledgements: a cumulative number and up to four spans above it, newest first.

Items: seen, behind (kept = seen - behind), credit, then for seen and for kept a count and so many
pairs (gap, length): gap is the distance from the span's last number to the place before the span
that was named last (to the cumulative number's side, from the highest down). The first pair is
counted from the cumulative number up to the span's last number.
"""

from kerbwire.errors import RemoteError
from kerbwire.limits import SPANS_IN_POLL
from kerbwire.ranges import RangeSet


def encode_spans(numbers: RangeSet) -> "list[int | bytes]":
    """Count and pairs of the newest spans above the cumulative number."""
    spans = numbers.above()[-SPANS_IN_POLL:]
    items: list[int | bytes] = [len(spans)]
    below = None
    for first, last in reversed(spans):
        items.append(last - numbers.cumulative if below is None else below - last)
        items.append(last - first + 1)
        below = first
    return items


def decode_spans(
    numbers: "list[int]", at: int, cumulative: int
) -> "tuple[list[tuple[int, int]], int]":
    """The (first, last) spans that start at numbers[at], and the place after them."""
    count = _item(numbers, at)
    at += 1
    if not 0 <= count <= SPANS_IN_POLL:
        raise RemoteError("value")
    spans: list[tuple[int, int]] = []
    below = None
    for _ in range(count):
        gap = _item(numbers, at)
        length = _item(numbers, at + 1)
        at += 2
        last = cumulative + gap if below is None else below - gap
        first = last - length + 1
        if gap < 1 or length < 1 or first <= cumulative or last >= 1 << 40:
            raise RemoteError("value")
        spans.append((first, last))
        below = first
    return spans, at


def _item(numbers: "list[int]", at: int) -> int:
    if at >= len(numbers):
        raise RemoteError("value")
    return numbers[at]
