"""Tables for people: columns as wide as they must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Row = Sequence[str]


def aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Rows of as many cells as the longest has, each column as wide as it must be."""
    widest = max((len(row) for row in rows), default=0)
    full = [(*row, *[""] * (widest - len(row))) for row in rows]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    for row in full:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
