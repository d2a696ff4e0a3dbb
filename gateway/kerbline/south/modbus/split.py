"""Finds by halving what a unit refuses in a read that is too wide for it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerbline.config import Register
from kerbline.south.modbus.plan import Read


@dataclass(frozen=True, slots=True)
class Found:
    """What a refused read turned out to have.

    `missing`: registers that the unit does not have. `holes`: addresses between registers that it
    refuses. `longest`: how much of a table it gives at most, where the length alone was at fault.
    """

    missing: tuple[Register, ...] = ()
    holes: frozenset[tuple[str, int]] = frozenset()
    longest: tuple[str, int] | None = None


def halves(read: Read) -> tuple[Read, Read] | None:
    """Two reads of the same registers; None for one that can't be parted."""
    registers = read.registers
    if len(registers) < 2:
        return None
    middle = len(registers) // 2
    return _span(registers[:middle]), _span(registers[middle:])


def _span(registers: Sequence[Register]) -> Read:
    start = min(register.address for register in registers)
    end = max(register.address + register.width for register in registers)
    return Read(registers[0].table, start, end - start, tuple(registers))


class Split:
    """The parts of a refused read that are still to be asked for, and what they came to."""

    __slots__ = ("_given", "_missing", "_parted", "_under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Read] = []  # the next is the last
        self._under_way = 0
        self._missing: list[Register] = []
        self._parted: list[tuple[Read, Read]] = []
        self._given: set[Read] = set()

    @property
    def over(self) -> bool:
        """Every part was given or refused."""
        return not self.waiting and not self._under_way

    def take(self) -> Read:
        """The next part goes out."""
        self._under_way += 1
        return self.waiting.pop()

    def given(self, part: Read) -> None:
        """The unit gave a part."""
        self._under_way -= 1
        self._given.add(part)

    def dropped(self) -> None:
        """A part was neither given nor refused."""
        self._under_way -= 1

    def refuse(self, read: Read, *, part: bool = True) -> None:
        """The unit refused a read, the whole one or a part of it."""
        self._under_way -= part
        two = halves(read)
        if two is None:
            self._missing += read.registers
            return
        self._parted.append(two)
        self.waiting += reversed(two)

    def found(self) -> Found:
        """What the unit lacks, as far as its answers say it; a later poll finds the rest."""
        holes: set[tuple[str, int]] = set()
        longest = None
        for first, last in self._parted:
            if first in self._given and last in self._given:  # only both together were refused
                gap = range(first.address + first.count, last.address)
                holes |= {(first.table, address) for address in gap}
                if not gap:
                    longest = first.table, max(first.count, last.count)
        return Found(tuple(self._missing), frozenset(holes), longest)
