"""From a device's words to values in the unit that a register's name ends in; pure.

A `Decoder` is compiled once for each read: registers of one kind are taken together, so that a
read costs a few calls and not a few for each register.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import accumulate, chain
from operator import itemgetter
from typing import NamedTuple

from kerbline.config import Register
from kerbline.config.modbus import BIT_TABLES
from kerbline.model import Value
from kerbline.south.modbus.plan import Read

NOT_AVAILABLE = "not_available"  # the quality flag of a value that the device does not have

CODES = {  # of module struct
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}
FLOATS = frozenset(["float32", "float64"])
_FIRST_DIGITS = 7  # of a float32; as many as a decimal of six needs, and few need more
_MOST_DIGITS = {"float32": 9, "float64": 15}  # nine always give a float32 back exactly
_CENTURY = 2_000
_LARGEST = 1e250  # a float beyond, and one that is no number, was not measured

Number = int | float
_Take = Callable[[Sequence[int], dict[str, Value]], bool]  # False: a value is missing


class Linear(NamedTuple):
    """value = (raw * multiplier + addend) / divisor, in whole numbers: 2301 at 0.1 is 230.1.

    A quotient of whole numbers is the double next to it, so no digits are left to round away.
    """

    multiplier: int
    addend: int
    divisor: int

    @classmethod
    def of(cls, register: Register) -> Linear:
        """The scale and offset of a register, taken as the decimals they are written as."""
        scale, offset = Fraction(repr(register.scale)), Fraction(repr(register.offset))
        divisor = math.lcm(scale.denominator, offset.denominator)
        multiplier = scale.numerator * (divisor // scale.denominator)
        return cls(multiplier, offset.numerator * (divisor // offset.denominator), divisor)


UNSCALED = Linear(1, 0, 1)


class _Kind(NamedTuple):
    """What registers that are decoded together have in common."""

    type: str
    low_word_first: bool
    low_byte_first: bool
    linear: Linear
    invalid: frozenset[Number]

    @classmethod
    def of(cls, register: Register) -> _Kind:
        low_word_first = register.word_order == "low_first" and register.width > register.count
        invalid = frozenset(patterns(register))
        low_byte_first = register.byte_order == "low_first"
        return cls(register.type, low_word_first, low_byte_first, Linear.of(register), invalid)


class Decoder:
    """Turns the words of one read into values."""

    __slots__ = ("_big", "_little", "_names", "_odd", "_runs")

    def __init__(self, read: Read) -> None:
        groups: dict[_Kind, list[Register]] = {}
        coils: list[Register] = []
        self._odd: list[_Take] = []
        for register in read.registers:
            if register.table in BIT_TABLES:
                coils.append(register)
            elif register.type in CODES:
                groups.setdefault(_Kind.of(register), []).append(register)
            else:
                self._odd.append(_ODD[register.type](register, register.address - read.address))
        if coils:
            self._odd.append(_coils(coils, read))
        self._runs = [
            _Run(kind, layer, read)
            for kind, registers in groups.items()
            for layer in _layers(registers)
        ]
        self._names = [name for run in self._runs for name in run.names]
        packings = {run.packing for run in self._runs}
        self._big = struct.Struct(f">{read.count}H").pack if ">" in packings else None
        self._little = struct.Struct(f"<{read.count}H").pack if "<" in packings else None

    def decode(self, words: Sequence[int]) -> tuple[dict[str, Value], tuple[str, ...]]:
        """The values by name, and the quality flags of those that are missing.

        `words` are all of the read's; of coils and discrete inputs 0 and 1.
        """
        packed: dict[str, Sequence[int]] = {"": words}
        if self._big is not None:
            packed[">"] = self._big(*words)
        if self._little is not None:
            packed["<"] = self._little(*words)
        whole = True
        parts: list[Sequence[Value | None]] = []
        for run in self._runs:
            part, good = run.take(packed[run.packing])
            parts.append(part)
            whole &= good
        found = parts[0] if len(parts) == 1 else chain.from_iterable(parts)
        pairs = zip(self._names, found, strict=True)
        values: dict[str, Value]
        if whole:
            values = dict(pairs)  # type: ignore[arg-type]
        else:
            values = {name: each for name, each in pairs if each is not None}
        for take in self._odd:
            whole &= take(words, values)
        return values, () if whole else (NOT_AVAILABLE,)


class _Run:
    """Numbers of one kind that one struct, or one pick of words, finds.

    Words go into the struct by `packing`: swapped in words or in bytes, they are packed low byte
    first; swapped in both, as they are; "" is no struct at all.
    """

    __slots__ = ("_fetch", "_kind", "_ranges", "_raws", "_shorts", "_struct", "names", "packing")

    def __init__(self, kind: _Kind, registers: Sequence[Register], read: Read) -> None:
        self._kind = kind
        self._ranges = _ranges(registers)
        self._raws: Sequence[Number] = ()  # of the read before: meters repeat much
        self._shorts: list[Number] = []
        self._struct = struct.Struct(_form(kind, registers, read))
        self._fetch: Callable[[Sequence[int]], Sequence[Number]] = self._struct.unpack  # type: ignore[assignment]
        self.names = [register.name for register in registers]
        self.packing = "<" if kind.low_word_first != kind.low_byte_first else ">"
        if kind.type == "uint16" and not kind.low_byte_first:
            self._fetch = _pick(registers, read)
            self.packing = ""

    def take(self, source: Sequence[int]) -> tuple[Sequence[Value | None], bool]:
        """The value of each name, and are all there; None where it, or one of a range, is not."""
        raws = self._fetch(source)
        if self._whole(raws):
            found = self._scaled(raws)
            return (found if self._ranges is None else _gathered(self._ranges, found)), True
        there = [raw not in self._kind.invalid and abs(raw) < _LARGEST for raw in raws]
        found = self._scaled([raw if here else 0 for raw, here in zip(raws, there, strict=True)])
        ranges = self._ranges or [(at, 1) for at in range(len(found))]
        every = _gathered(ranges, found)
        whole = [all(there[at : at + count]) for at, count in ranges]
        return [each if here else None for each, here in zip(every, whole, strict=True)], False

    def _whole(self, raws: Sequence[Number]) -> bool:
        """Does the device have all of these? In one look, as it nearly always does."""
        return self._kind.invalid.isdisjoint(raws) and (
            self._kind.type not in FLOATS or sum(map(abs, raws)) < _LARGEST
        )

    def _shortened(self, raws: Sequence[Number]) -> Sequence[Number]:
        """The shortest decimals; of what did not change since the read before, those of then."""
        before = self._raws
        if raws == before:
            return self._shorts
        if len(before) == len(raws):
            pairs = zip(raws, before, strict=True)
            moved = [at for at, (raw, old) in enumerate(pairs) if raw != old]
            shorts = [*self._shorts]
            for at, short in zip(moved, _short([raws[at] for at in moved]), strict=True):
                shorts[at] = short
        else:
            shorts = _short(raws)
        self._raws, self._shorts = raws, shorts
        return shorts

    def _scaled(self, raws: Sequence[Number]) -> Sequence[Number]:
        if self._kind.type == "float32":
            raws = self._shortened(raws)
        linear = self._kind.linear
        if linear == UNSCALED:
            return raws
        multiplier, addend, divisor = linear
        if self._kind.type in FLOATS:
            digits = _MOST_DIGITS[self._kind.type]
            return [float(f"{(raw * multiplier + addend) / divisor:.{digits}g}") for raw in raws]
        if addend == 0 and multiplier == 1:
            return [raw / divisor for raw in raws]
        if divisor == 1 == multiplier:
            return [raw + addend for raw in raws]
        return [(raw * multiplier + addend) / divisor for raw in raws]


def patterns(register: Register) -> list[Number]:
    """The invalid raw values of a register as its type reads them: 0x8000 of an int16 is -32768."""
    code = CODES.get(register.type)
    if code is None:
        return list(register.invalid)
    size = struct.calcsize(f">{code}")
    found: list[Number] = []
    for pattern in register.invalid:
        found += struct.unpack(f">{code}", (pattern % (1 << 8 * size)).to_bytes(size, "big"))
    return found


def _layers(registers: Iterable[Register]) -> list[list[Register]]:
    """Registers apart where they overlap: a struct only goes forward."""
    layers: list[tuple[int, list[Register]]] = []
    for register in sorted(registers, key=lambda each: each.address):
        after = register.address + register.width
        for at, (end, layer) in enumerate(layers):
            if register.address >= end:
                layers[at] = (after, [*layer, register])
                break
        else:
            layers.append((after, [register]))
    return [layer for _, layer in layers]


def _form(kind: _Kind, registers: Sequence[Register], read: Read) -> str:
    """The struct of all of a read's bytes that gives the values of `registers`."""
    form = "<" if kind.low_word_first else ">"
    at = read.address
    for register in registers:
        form += f"{2 * (register.address - at)}x{register.count}{CODES[kind.type]}"
        at = register.address + register.width
    return f"{form}{2 * (read.address + read.count - at)}x"


def _pick(registers: Sequence[Register], read: Read) -> Callable[[Sequence[int]], Sequence[int]]:
    """What gives the words (or bits) of `registers` out of all of the read's."""
    places = [
        register.address - read.address + at
        for register in registers
        for at in range(register.width)
    ]
    if places == list(range(places[0], places[0] + len(places))):
        return itemgetter(slice(places[0], places[0] + len(places)))
    return itemgetter(*places)


def _ranges(registers: Sequence[Register]) -> list[tuple[int, int]] | None:
    """Place of the first value and count of each register; None where all are single values."""
    if all(register.count == 1 for register in registers):
        return None
    counts = [register.count for register in registers]
    return list(zip(accumulate(counts, initial=0), counts, strict=False))


def _gathered(ranges: Iterable[tuple[int, int]], found: Sequence[Number]) -> list[Value]:
    return [found[at] if count == 1 else tuple(found[at : at + count]) for at, count in ranges]


def _short(raws: Sequence[Number]) -> list[Number]:
    """The shortest decimals of float32 values: 230.1, where a double says 230.10000610351562.

    All at once with few digits, then those that don't come back exactly with more.
    """
    form = struct.Struct(f"{len(raws)}f")
    shorts = _rounded(raws, _FIRST_DIGITS)
    for digits in range(_FIRST_DIGITS + 1, _MOST_DIGITS["float32"] + 1):
        try:
            back = form.unpack(form.pack(*shorts))
        except OverflowError:  # the largest float32, rounded up
            back = (math.nan,) * len(raws)
        wrong = [at for at, raw in enumerate(raws) if back[at] != raw] if back != raws else []
        if not wrong:
            break
        for at, short in zip(wrong, _rounded([raws[at] for at in wrong], digits), strict=True):
            shorts[at] = short
    return shorts


def _rounded(raws: Sequence[Number], digits: int) -> list[Number]:
    return list(map(float, (f"%.{digits}g " * len(raws) % tuple(raws)).split()))


# ---------------------------------------------------------------- what is no number


def _coils(registers: Sequence[Register], read: Read) -> _Take:
    pick = _pick(registers, read)
    names = [register.name for register in registers]
    ranges = _ranges(registers)

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        found = [bit == 1 for bit in pick(words)]
        gathered = found if ranges is None else _gathered(ranges, found)
        values.update(zip(names, gathered, strict=True))
        return True

    return take


def ordered(register: Register, words: Sequence[int]) -> bytes:
    """The bytes of a register's words, the highest first."""
    if register.word_order == "low_first":
        words = words[::-1]
    order = "<" if register.byte_order == "low_first" else ">"
    return struct.pack(f"{order}{len(words)}H", *words)


def _flag(register: Register, at: int) -> _Take:
    """A bool in a word: one bit, or any."""
    name, invalid = register.name, frozenset(register.invalid)
    mask = 0xFFFF if register.bit is None else 1 << register.bit

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        raw = int.from_bytes(ordered(register, words[at : at + 1]), "big")
        if raw in invalid:
            return False
        values[name] = raw & mask != 0
        return True

    return take


def _flags(register: Register, at: int) -> _Take:
    masks = [(f"{register.name}_{flag}", 1 << bit) for flag, bit in register.bits.items()]
    invalid, end = frozenset(register.invalid), at + register.width

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        raw = int.from_bytes(ordered(register, words[at:end]), "big")
        if raw in invalid:
            return False
        for name, mask in masks:
            values[name] = raw & mask != 0
        return True

    return take


def _text(register: Register, at: int) -> _Take:
    """Up to the first NUL, without blanks around; what can't be printed is no text."""
    name, end = register.name, at + register.width

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        raw = ordered(register, words[at:end]).partition(b"\0")[0]
        text = raw.decode("utf-8", "replace").strip()
        if not text.isprintable() or "\ufffd" in text:
            return False
        values[name] = text
        return True

    return take


def _bcd(register: Register, at: int) -> _Take:
    name, end = register.name, at + register.width
    multiplier, addend, divisor = linear = Linear.of(register)

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        digits = ordered(register, words[at:end]).hex()
        if not digits.isdecimal():
            return False
        raw = int(digits)
        values[name] = raw if linear == UNSCALED else (raw * multiplier + addend) / divisor
        return True

    return take


def _moment(register: Register, at: int) -> _Take:
    """Four words as Schneider Electric's meters write a local time (DOCA0005, date and time)."""
    name, end = register.name, at + register.width

    def take(words: Sequence[int], values: dict[str, Value]) -> bool:
        year, date, time, ms = words[at:end]
        try:
            moment = datetime(  # noqa: DTZ001 - the meter does not tell its zone
                _CENTURY + (year & 0x7F),
                date >> 8 & 0xF,
                date & 0x1F,
                time >> 8 & 0x1F,
                time & 0x3F,
                ms // 1_000,
                ms % 1_000 * 1_000,
            )
        except ValueError:
            return False
        if time & 0x80:  # the meter itself calls it invalid
            return False
        values[name] = moment.isoformat(timespec="milliseconds")
        return True

    return take


_ODD: dict[str, Callable[[Register, int], _Take]] = {
    "bool": _flag,
    "bits": _flags,
    "string": _text,
    "bcd": _bcd,
    "datetime": _moment,
}
