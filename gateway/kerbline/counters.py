"""Counting by kind, so that what must not crash anything is still seen; saying it is health's."""

from __future__ import annotations

from collections.abc import Mapping

MAX_KINDS = 64
OTHER = "other"


class Counters:
    """Counts of what happened, by kind; kinds past `MAX_KINDS` are counted together as "other".

    A kind is a short fixed word of ours ("nodes.tag", "modbus.timeout"), never a peer's text.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, kind: str, times: int = 1) -> None:
        """Add `times` to `kind`."""
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = OTHER
        self._counts[kind] = self._counts.get(kind, 0) + times

    def totals(self) -> Mapping[str, int]:
        """Every count since the start, as a copy."""
        return dict(self._counts)
