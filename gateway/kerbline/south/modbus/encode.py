"""From a value to the words that a write sends: what `decode` reads back; pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

from kerbline.config import Register
from kerbline.config.modbus import BIT_TABLES, WORD_BITS
from kerbline.errors import KerblineError
from kerbline.model import Value
from kerbline.south.modbus.decode import CODES, FLOATS, Linear, Number, ordered, patterns


class WrongValue(KerblineError):
    """A value that a register can't hold; the text says why."""

    code = "wrong_value"


def to_words(register: Register, value: Value) -> tuple[int, ...]:
    """The words of a register (of coils the bits) that say `value`, or what is next to it.

    Raises WrongValue. What may be written (`writable`) is not asked here.
    """
    if register.type == "string":
        return _text(register, value)
    if register.type == "bool":
        if register.bit is not None:
            raise _wrong(register, "a bit of a word is written by `to_mask`")
        return tuple(int(_truth(register, each)) for each in _each(register, value))
    if register.type == "bcd":
        return _ordered(register, _digits(register, _number(register, value)))
    if register.type not in CODES:
        raise _wrong(register, f"a register of type {register.type} can't be written")
    words: tuple[int, ...] = ()
    for each in _each(register, value):
        words += _ordered(register, _packed(register, _number(register, each)))
    return words


def to_mask(register: Register, value: Value) -> tuple[int, int]:
    """The two masks that set one bit of a word (function 22, 6.16): and, or. Raises WrongValue."""
    if register.bit is None or register.table in BIT_TABLES:
        raise _wrong(register, "it is no bit of a word")
    bit = register.bit
    if register.byte_order == "low_first":
        bit ^= WORD_BITS // 2
    return 0xFFFF & ~(1 << bit), _truth(register, value) << bit


def _wrong(register: Register, why: str) -> WrongValue:
    return WrongValue(f"{register.name}: {why}")


def _each(register: Register, value: Value) -> Sequence[Value]:
    if register.count == 1:
        return (value,)
    if not isinstance(value, tuple) or len(value) != register.count:
        raise _wrong(register, f"{value!r} is no list of {register.count}")
    return value


def _truth(register: Register, value: Value) -> bool:
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    raise _wrong(register, f"{value!r} is neither true nor false")


def _number(register: Register, value: Value) -> Number:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise _wrong(register, f"{value!r} is no number")


def _raw(register: Register, value: Number) -> int:
    multiplier, addend, divisor = Linear.of(register)
    return round((Fraction(value) * divisor - addend) / multiplier)


def _packed(register: Register, value: Number) -> bytes:
    """The bytes of one number, the highest first."""
    raw: Number
    if register.type in FLOATS:
        multiplier, addend, divisor = Linear.of(register)
        raw = (value * divisor - addend) / multiplier
    else:
        raw = _raw(register, value)
    form = f">{CODES[register.type]}"
    try:
        packed = struct.pack(form, raw)
    except (struct.error, OverflowError):
        raise _wrong(register, f"{value!r} does not fit into a {register.type}") from None
    if struct.unpack(form, packed)[0] in patterns(register):
        raise _wrong(register, f"{value!r} is what it says when it has no value")
    return packed


def _digits(register: Register, value: Number) -> bytes:
    digits = 4 * register.words
    raw = _raw(register, value)
    if not 0 <= raw < 10**digits:
        raise _wrong(register, f"{value!r} does not fit into {digits} digits")
    return bytes.fromhex(f"{raw:0{digits}}")


def _text(register: Register, value: Value) -> tuple[int, ...]:
    if not isinstance(value, str) or not value.isprintable() or value != value.strip():
        raise _wrong(register, f"{value!r} is no text of printable characters")
    raw = value.encode()
    if len(raw) > 2 * register.words:
        raise _wrong(register, f"{value!r} is longer than {2 * register.words} bytes")
    return _ordered(register, raw.ljust(2 * register.words, b"\0"))


def _ordered(register: Register, packed: bytes) -> tuple[int, ...]:
    """Swapping words and bytes twice changes nothing: the way back is the same."""
    words = struct.unpack(f">{len(packed) // 2}H", packed)
    swapped = ordered(register, words)
    return struct.unpack(f">{len(words)}H", swapped)
