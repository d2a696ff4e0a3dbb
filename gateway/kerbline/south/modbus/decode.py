"""From a device's 16-bit words to a value in the unit that its register's name ends in; pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from kerbline.config import Register

_FORMATS = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f"}
_FLOAT32_DIGITS = range(6, 10)  # nine always give a float32 back exactly


def width(register: Register) -> int:
    """How many 16-bit words the register takes."""
    return struct.calcsize(_FORMATS[register.type]) // 2


def decode(register: Register, words: Sequence[int]) -> int | float | None:
    """The scaled value of a register's `width` words; None for a float that is no number."""
    ordered = words if register.word_order == "high_first" else words[::-1]
    raw = struct.pack(f">{len(ordered)}H", *ordered)
    value: int | float = struct.unpack(_FORMATS[register.type], raw)[0]
    if not math.isfinite(value):
        return None
    if isinstance(value, float):
        value = _shortest(value, raw)
    if register.scale == 1.0:
        return value
    return float(f"{value * register.scale:.12g}")  # 2301 at 0.1 is 230.1, not 230.10000000000002


def _shortest(value: float, raw: bytes) -> float:
    """The shortest decimal of a float32: 230.1, where a double would say 230.10000610351562."""
    for digits in _FLOAT32_DIGITS:
        short = float(f"{value:.{digits}g}")
        if struct.pack(">d", value) == struct.pack(">d", short) or _is_float32(short, raw):
            return short
    return value


def _is_float32(value: float, raw: bytes) -> bool:
    try:
        return struct.pack(">f", value) == raw
    except OverflowError:  # the largest float32, rounded up
        return False
