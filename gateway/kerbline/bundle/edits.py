"""From one row of bytes to another: what to skip, to copy and to put in, forward only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

_GRAMS = (32, 16, 8, 5, 4)  # lengths of the rows of bytes that are looked for, in turn


@dataclass(frozen=True, slots=True)
class Edit:
    """Skip so many bytes of the old row, copy so many, then put these in."""

    skipped: int
    copied: int
    inserted: bytes


@dataclass(frozen=True, slots=True)
class _Gap:
    """Parts of both rows that are not matched yet."""

    old: int
    old_end: int
    new: int
    new_end: int


Match = tuple[int, int, int]  # where in the old row, where in the new one, how many bytes


def edits(old: bytes, new: bytes) -> list[Edit]:
    """From the old row to the new one."""
    found = []
    at = skipped = copied = came = 0  # `came`: up to where the new row is made
    for start, place, length in [*_matches(old, new), (len(old), len(new), 0)]:
        inserted = new[came:place]
        if copied or inserted:
            found.append(Edit(skipped, copied, inserted))
        skipped, copied = start - at, length
        at, came = start + length, place + length
    return found


def _matches(old: bytes, new: bytes) -> list[Match]:
    """Rising in both rows, none touching the next in both."""
    found: list[Match] = []
    gaps = [_Gap(0, len(old), 0, len(new))]
    for length in _GRAMS:
        for gap in gaps:
            found += _chained(old, new, gap, length)
        found.sort()
        gaps = list(_between(found, len(old), len(new)))
    return _joined(found)


def _joined(found: list[Match]) -> list[Match]:
    joined: list[Match] = []
    for start, place, length in found:
        if joined:
            before = joined[-1]
            if (before[0] + before[2], before[1] + before[2]) == (start, place):
                joined[-1] = (before[0], before[1], before[2] + length)
                continue
        joined.append((start, place, length))
    return joined


def _between(found: list[Match], old_end: int, new_end: int) -> Iterator[_Gap]:
    old = new = 0
    for start, place, length in [*found, (old_end, new_end, 0)]:
        if start > old and place > new:
            yield _Gap(old, start, new, place)
        old, new = start + length, place + length


def _chained(old: bytes, new: bytes, gap: _Gap, length: int) -> list[Match]:
    """Matches around rows of `length` bytes that occur once in each side of the gap."""
    here = _once(old, gap.old, gap.old_end, length)
    there = _once(new, gap.new, gap.new_end, length)
    pairs = sorted((place, here[row]) for row, place in there.items() if row in here)
    found = []
    at, came = gap.old, gap.new
    for place, start in _rising(pairs):
        if start < at or place < came:
            continue  # the match before holds it
        while start > at and place > came and old[start - 1] == new[place - 1]:
            start -= 1
            place -= 1
        end = place
        while (
            end < gap.new_end
            and start + end - place < gap.old_end
            and new[end] == old[start + end - place]
        ):
            end += 1
        found.append((start, place, end - place))
        at, came = start + end - place, end
    return found


def _once(row: bytes, start: int, end: int, length: int) -> dict[bytes, int]:
    seen: dict[bytes, int] = {}
    for place in range(start, end - length + 1):
        part = row[place : place + length]
        seen[part] = place if part not in seen else -1
    return {part: place for part, place in seen.items() if place >= 0}


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest row of pairs that rises in both places; they come in the order of the first."""
    tails: list[int] = []  # smallest last `start` of a row of that length
    last: list[int] = []  # which pair that is
    before: list[int] = []
    for number, (_, start) in enumerate(pairs):
        rank = bisect_left(tails, start)
        before.append(last[rank - 1] if rank else -1)
        tails[rank : rank + 1] = [start]
        last[rank : rank + 1] = [number]
    row = []
    number = last[-1] if last else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]
