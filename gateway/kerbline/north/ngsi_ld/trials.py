"""Whose fault is an answer that tells nothing (409, 500): what was sent, or the broker's; pure."""

from __future__ import annotations

from collections.abc import Iterable

TRIES = 5  # then what fails alone is bad, where others were taken meanwhile
MANY = 5  # that fail alone, and none is taken: then it is the broker


class Trials:
    """Of one lane: what failed when it went alone, by name."""

    def __init__(self) -> None:
        self.taken = 0
        self._failed: dict[str, tuple[int, int]] = {}  # how often, and what was taken before

    def __contains__(self, name: str) -> bool:
        return name in self._failed

    def took(self, names: Iterable[str]) -> None:
        """The broker has these."""
        for name in names:
            self.taken += 1
            self._failed.pop(name, None)

    def failed(self, name: str, before: int) -> bool:
        """It failed alone, once more: is it to be given up?

        `before`: how much was `taken` when it, or what it was part of, failed for the first time.
        """
        times, before = self._failed.get(name, (0, before))
        self._failed[name] = (times + 1, before)
        return times + 1 > TRIES and self.taken > before

    def acquitted(self) -> bool:
        """Does the broker take nothing at all? Then none of them is to blame."""
        nothing = all(before == self.taken for _, before in self._failed.values())
        if len(self._failed) < MANY or not nothing:
            return False
        self._failed.clear()
        return True
