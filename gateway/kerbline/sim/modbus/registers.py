"""From a value to the words that a device shows for it, and back: the other side of a profile.

The gateway decodes with code of its own; that the two agree is what the tests of a profile show.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Iterator, Sequence

from kerbline.config.modbus import BIT_TABLES, WIDE, WIDTHS, Register

_WHOLE = {1: "H", 2: "I", 4: "Q"}
_FLOATS = {"float32": "f", "float64": "d"}
CENTURY = 2_000


def size(register: Register) -> int:
    """The addresses that one value takes."""
    if register.table in BIT_TABLES:
        return 1
    return register.words if register.type in WIDE else WIDTHS[register.type]


def places(register: Register) -> Iterator[tuple[int, str]]:
    """The address and the name of each value of a register or a range."""
    if register.count == 1:
        yield register.address, register.name
        return
    for number in range(register.count):
        yield register.address + number * size(register), f"{register.name}_{number}"


def mask(register: Register) -> int | None:
    """Which bits of one word are the register's own; None: all its words are."""
    return None if register.bit is None else 1 << register.bit


def words_of(register: Register, value: float) -> tuple[int, ...]:
    """The value in its registers; what the type can't hold is cut to its range."""
    if register.table in BIT_TABLES:
        return (int(value != 0),)
    width = size(register)
    match register.type:
        case "bool":
            return ((mask(register) or 1) * int(value != 0),)
        case "string":
            packed = f"{value:.0f}".encode("ascii")[: 2 * width].ljust(2 * width, b"\0")
        case "bcd":
            digits = f"{_raw(register, value):d}"[-4 * width :].rjust(4 * width, "0")
            packed = bytes.fromhex(digits)
        case "datetime":
            packed = _date(value)
        case "float32" | "float64":
            packed = struct.pack(
                f">{_FLOATS[register.type]}", (value - register.offset) / register.scale
            )
        case _:
            packed = _clipped(register, value).to_bytes(2 * width, "big")
    return _ordered(register, struct.unpack(f">{width}H", packed))


def value_of(register: Register, words: Sequence[int]) -> float:
    """The inverse, for the numbers: what a master wrote."""
    if register.table in BIT_TABLES or register.type == "bool":
        return float(words[0] & (mask(register) or 0xFFFF) != 0)
    packed = struct.pack(f">{len(words)}H", *_ordered(register, words))
    if register.type in _FLOATS:
        (raw,) = struct.unpack(f">{_FLOATS[register.type]}", packed)
    else:
        raw = int.from_bytes(packed, "big", signed=register.type.startswith("int"))
    return float(raw * register.scale + register.offset)


def allowed(register: Register, value: float) -> bool:
    """May a master write that?"""
    limits = register.writable
    if limits is None:
        return False
    if limits.values:
        return any(math.isclose(value, each, abs_tol=1e-9) for each in limits.values)
    least = -math.inf if limits.min is None else limits.min
    most = math.inf if limits.max is None else limits.max
    return least <= value <= most


def _raw(register: Register, value: float) -> int:
    return max(round((value - register.offset) / register.scale), 0)


def _clipped(register: Register, value: float) -> int:
    """Two's complement in the register's width."""
    bits = 16 * size(register)
    raw = round((value - register.offset) / register.scale)
    signed = register.type.startswith("int")
    least = -(1 << bits - 1) if signed else 0
    most = (1 << bits - signed) - 1
    clipped = min(max(raw, least), most)
    if clipped in register.invalid:  # it stands for "no value", which this is not
        clipped -= 1
    return clipped % (1 << bits)


def _ordered(register: Register, words: Sequence[int]) -> tuple[int, ...]:
    """As they lie in the device, or back: each is the other's inverse."""
    if register.word_order == "low_first":
        words = words[::-1]
    if register.byte_order == "low_first":
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    return tuple(words)


def _date(utc_s: float) -> bytes:
    """Four words of IEC 60870-5-4, as meters of Schneider show a date."""
    when = dt.datetime.fromtimestamp(utc_s, dt.UTC)
    ms = when.second * 1_000 + when.microsecond // 1_000
    return struct.pack(
        ">HBBBBH", when.year - CENTURY, when.month, when.day, when.hour, when.minute, ms
    )
