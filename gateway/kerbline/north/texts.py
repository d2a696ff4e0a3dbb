"""Many texts in little memory, none of which stays behind when they are gone."""

from __future__ import annotations

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

FIRST_BYTES = 1 << 20  # of addresses: memory is taken as it is written to


class Texts:
    """Texts one behind the other, in a mapping that goes back to the system as a whole.

    A heap would keep what thousands of small pieces leave of it.
    """

    def __init__(self) -> None:
        self._memory = mmap(-1, FIRST_BYTES, MAP_PRIVATE | MAP_ANONYMOUS)
        self._end = 0

    def add(self, text: bytes) -> tuple[int, int]:
        """One more; where it begins and ends."""
        start = self._end
        self._end = end = start + len(text)
        while end > len(self._memory):
            self._memory.resize(2 * len(self._memory))
        self._memory.write(text)
        return start, end

    def at(self, start: int, end: int) -> bytes:
        """What is there."""
        return self._memory[start:end]
