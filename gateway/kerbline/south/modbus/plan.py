"""Which requests read a device's registers: as few as the protocol allows; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kerbline.config import Register
from kerbline.south.modbus.decode import width

MAX_COUNT = 125  # Modbus Application Protocol V1.1b3, 6.3 and 6.4
MAX_GAP = 16  # unread registers cost a bus less than one more request with its two silences


@dataclass(frozen=True, slots=True)
class Read:
    """One request: `count` words of `table` from `address` on, for `registers`."""

    table: str
    address: int
    count: int
    registers: tuple[Register, ...]


def plan(
    registers: Iterable[Register], max_gap: int = MAX_GAP, max_count: int = MAX_COUNT
) -> tuple[Read, ...]:
    """Merge reads over gaps of up to `max_gap` words; with `max_gap` -1 each register is alone."""
    reads: list[Read] = []
    for register in sorted(registers, key=lambda each: (each.table, each.address, width(each))):
        end = register.address + width(register)
        if reads and reads[-1].table == register.table:
            last = reads[-1]
            count = max(last.address + last.count, end) - last.address
            gap = register.address - (last.address + last.count)
            if max_gap >= 0 and gap <= max_gap and count <= max_count:
                reads[-1] = Read(last.table, last.address, count, (*last.registers, register))
                continue
        reads.append(Read(register.table, register.address, width(register), (register,)))
    return tuple(reads)
