"""What is read of a device in one poll, request by request, and what its answers come to; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kerbline.config import ModbusDevice, Register
from kerbline.config.modbus import BIT_TABLES
from kerbline.model import Value
from kerbline.south.modbus.deadband import Reports
from kerbline.south.modbus.decode import Decoder
from kerbline.south.modbus.framing import (
    EXCEPTIONS,
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    READS,
    Request,
    Wanted,
    wanted,
)
from kerbline.south.modbus.plan import Limits, Read, plan
from kerbline.south.modbus.split import Found, Split

FIRST_RECHECK_POLLS = (
    8  # then what a unit refused is asked for again, each time after twice as many
)
LAST_RECHECK_POLLS = 4_096
NOT_THERE = EXCEPTIONS[ILLEGAL_ADDRESS]
TOO_WIDE = (NOT_THERE, EXCEPTIONS[ILLEGAL_VALUE])  # the latter is for a quantity, says the standard


class Ask:
    """One read, ready to go out and to be understood."""

    __slots__ = ("decoder", "read", "wanted")

    def __init__(self, unit: int, read: Read) -> None:
        self.read = read
        self.wanted: Wanted = wanted(Request(unit, READS[read.table], read.address, read.count))
        self.decoder = Decoder(read)


class Survey:
    """The reads of registers that are polled together; one poll of them is under way at a time."""

    __slots__ = (
        "_asks",
        "_at",
        "_flags",
        "_limits",
        "_missing",
        "_part",
        "_polls",
        "_recheck",
        "_split",
        "_stopped",
        "_told_limits",
        "_under_way",
        "_unit",
        "_values",
        "asset",
        "registers",
        "reports",
    )

    def __init__(self, device: ModbusDevice, registers: Iterable[Register]) -> None:
        self.asset = device.asset
        self.registers = tuple(registers)
        self.reports = Reports(device.asset, self.registers)
        self._unit = device.unit
        self._limits = Limits(device.max_words, device.max_bits, device.max_gap)
        self._told_limits = self._limits
        self._missing: frozenset[Register] = frozenset()
        self._polls = 0  # since something was found missing
        self._recheck = FIRST_RECHECK_POLLS
        self._asks = self._planned()
        self.begin()

    def begin(self) -> None:
        """A poll begins: nothing is known yet but what the unit never had."""
        self._values: dict[str, Value] = {}
        self._flags: set[str] = set()
        self._at = self._under_way = 0
        self._stopped = False
        self._split: Split | None = None
        self._part: Ask | None = None  # the next of the split
        if self._learnt():
            self._look_again()

    def next(self) -> Ask | None:
        """What is to be asked for next; None when there is nothing more, or not yet."""
        if self._stopped:
            return None
        if self._at < len(self._asks):
            return self._asks[self._at]
        if self._split is not None and self._split.waiting:
            part = self._split.waiting[-1]
            if self._part is None or self._part.read is not part:
                self._part = Ask(self._unit, part)
            return self._part
        return None

    def sent(self) -> None:
        """What `next` gave went out."""
        self._under_way += 1
        if self._at < len(self._asks):
            self._at += 1
        elif self._split is not None:
            self._split.take()

    @property
    def untouched(self) -> bool:
        """Nothing of this poll went out yet."""
        return not self._at

    @property
    def over(self) -> bool:
        """The poll is: nothing is under way and nothing more to be asked for."""
        if self._under_way:
            return False
        if self._stopped:
            return True
        return self._at >= len(self._asks) and (self._split is None or self._split.over)

    def took(self, ask: Ask, words: Sequence[int]) -> None:
        """The words of a read came."""
        self._under_way -= 1
        values, flags = ask.decoder.decode(words)
        if self._values:
            self._values.update(values)
        else:
            self._values = values
        if flags:
            self._flags.update(flags)
        if self._split is not None and self._is_part(ask):
            self._split.given(ask.read)
        if self._missing and not self._missing.isdisjoint(ask.read.registers):
            self._polls = self._recheck  # what was missing is there: the next poll asks for all

    def refused(self, ask: Ask, code: str) -> None:
        """The unit lives, and refuses this read; what it minds in it is looked for."""
        self._under_way -= 1
        part = self._is_part(ask)
        if code in TOO_WIDE:
            self._split = self._split or Split()
            self._split.refuse(ask.read, part=part)
            return
        self._flags.add(code)
        if part and self._split is not None:
            self._split.dropped()

    def failed(self, ask: Ask, code: str) -> None:
        """No good answer came; more reads would only cost time."""
        self._under_way -= 1
        self._flags.add(code)
        self._stopped = True
        if self._split is not None and self._is_part(ask):
            self._split.dropped()

    def stop(self, code: str) -> None:
        """The unit does not answer others: nothing more is asked for in this poll."""
        if not self._stopped and (self._at or self._split):
            self._flags.add(code)
            self._stopped = True

    def end(self) -> tuple[dict[str, Value], tuple[str, ...]]:
        """The values of a poll that is over, and its quality flags; the next may begin."""
        if self._split is not None and self._split.over:
            self._learn(self._split.found())
        if self._missing:
            self._flags.add(NOT_THERE)
        values, flags = self._values, tuple(sorted(self._flags))
        self.begin()
        return values, flags

    def forget(self) -> None:
        """Perhaps another device said what was refused: soon everything is asked for again."""
        self._recheck = self._polls = FIRST_RECHECK_POLLS

    def _is_part(self, ask: Ask) -> bool:
        return all(ask is not planned for planned in self._asks)

    def _learnt(self) -> bool:
        return bool(self._missing) or self._limits is not self._told_limits

    def _look_again(self) -> None:
        self._polls += 1
        if self._polls >= self._recheck:
            self._recheck = min(2 * self._recheck, LAST_RECHECK_POLLS)
            self._reset()

    def _reset(self) -> None:
        self._polls = 0
        self._missing = frozenset()
        self._limits = self._told_limits
        self._asks = self._planned()

    def _learn(self, found: Found) -> None:
        self._missing |= frozenset(found.missing)
        there = [each for each in self.registers if each not in self._missing]
        holes = self._limits.holes | found.holes | _places(self._missing)
        limits = replace(self._limits, holes=holes - _places(there))
        if found.longest:
            table, longest = found.longest
            if table in BIT_TABLES:
                limits = replace(limits, max_bits=longest)
            else:
                limits = replace(limits, max_words=longest)
        self._limits = limits
        self._asks = self._planned()

    def _planned(self) -> tuple[Ask, ...]:
        there = [each for each in self.registers if each not in self._missing]
        reads = plan(there or self.registers[:1], self._limits)  # one at least: it says if it lives
        return tuple(Ask(self._unit, read) for read in reads)


def _places(registers: Iterable[Register]) -> frozenset[tuple[str, int]]:
    return frozenset(
        (each.table, each.address + at) for each in registers for at in range(each.width)
    )
