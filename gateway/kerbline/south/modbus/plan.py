"""Which requests read a device's registers: as few as its limits allow; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kerbline.config import Register
from kerbline.config.modbus import BIT_TABLES, MAX_BITS, MAX_GAP, MAX_WORDS, WORD_BITS


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask of a unit.

    `max_gap` unread words between two registers are read along (16 times as many of bits); -1
    leaves each register alone. `holes`: (table, address) that the unit refuses.
    """

    max_words: int = MAX_WORDS
    max_bits: int = MAX_BITS
    max_gap: int = MAX_GAP
    holes: frozenset[tuple[str, int]] = frozenset()

    def longest(self, table: str) -> int:
        """The largest count of a read of `table`."""
        return self.max_bits if table in BIT_TABLES else self.max_words

    def gap(self, table: str) -> int:
        """How many addresses of `table` may be read in vain."""
        return self.max_gap * WORD_BITS if table in BIT_TABLES else self.max_gap


@dataclass(frozen=True, slots=True)
class Read:
    """One request: `count` words or bits of `table` from `address` on, for `registers`."""

    table: str
    address: int
    count: int
    registers: tuple[Register, ...]


def plan(registers: Iterable[Register], limits: Limits = Limits()) -> tuple[Read, ...]:
    """As few reads as hold each register once, in the order of their addresses.

    No read is longer than the limits or spans a hole. A register that does so by itself is read
    alone: nothing can be done about it here.
    """
    reads: list[Read] = []
    taken: list[Register] = []
    start = end = 0
    for register in sorted(registers, key=_place):
        first, after = register.address, register.address + register.width
        table = register.table
        joins = (
            bool(taken)
            and limits.max_gap >= 0
            and taken[-1].table == table
            and first - end <= limits.gap(table)
            and max(end, after) - start <= limits.longest(table)
            and not _holed(limits, table, start, max(end, after))
        )
        if not joins:
            if taken:
                reads.append(Read(taken[0].table, start, end - start, tuple(taken)))
            taken, start, end = [], first, after
        taken.append(register)
        end = max(end, after)
    if taken:
        reads.append(Read(taken[0].table, start, end - start, tuple(taken)))
    return tuple(reads)


def _place(register: Register) -> tuple[str, int, int]:
    return register.table, register.address, register.width


def _holed(limits: Limits, table: str, start: int, end: int) -> bool:
    return any(where == table and start <= at < end for where, at in limits.holes)
