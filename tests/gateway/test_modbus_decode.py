"""Words to values and back: checked by hand on known words, by hypothesis on all others."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kerbline.config import Register
from kerbline.model import Value
from kerbline.south.modbus.decode import NOT_AVAILABLE, Decoder
from kerbline.south.modbus.encode import WrongValue, to_mask, to_words
from kerbline.south.modbus.plan import Read, plan

INTS = {
    "uint16": (0, 0xFFFF),
    "int16": (-0x8000, 0x7FFF),
    "uint32": (0, (1 << 32) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint64": (0, (1 << 64) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}
ORDERS = ["high_first", "low_first"]


def decoded(register: Register, words: list[int] | tuple[int, ...]) -> Value | None:
    """What one register alone gives; None when it is missing."""
    (read,) = plan([register])
    values, flags = Decoder(read).decode(words)
    assert flags == (() if values else (NOT_AVAILABLE,))
    return values.get("x")


@pytest.mark.parametrize(
    ("kind", "words", "scale", "value"),
    [
        ("uint16", [0xFFFF], 1.0, 65535),
        ("int16", [0xFFFE], 1.0, -2),
        ("int16", [2301], 0.1, 230.1),
        ("int16", [5], 0.3, 1.5),
        ("uint32", [0xFFFF, 0xFFFE], 1.0, 0xFFFF_FFFE),
        ("int32", [0xFFFF, 0xFFFE], 10.0, -20.0),
        ("uint64", [0, 0, 1, 0], 0.01, 655.36),
        ("int64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], 1.0, -1),
        ("float32", [0x4366, 0x199A], 1.0, 230.1),
        ("float32", [0x4366, 0x199A], 1000.0, 230100.0),
        ("float32", [0x4B80, 0x0001], 1.0, 16777218.0),
        ("float32", [0x7F80, 0], 1.0, None),
        ("float32", [0x7FC0, 0], 1.0, None),
        ("float32", [0x7F7F, 0xFFFF], 1.0, 3.4028235e38),
        ("float32", [0x8000, 0], 1.0, -0.0),
        ("float64", [0x406C, 0xC333, 0x3333, 0x3333], 1.0, 230.1),
        ("float64", [0x7FE0, 0, 0, 0], 1.0, None),
    ],
)
def test_words_become_values(
    kind: str, words: list[int], scale: float, value: float | None
) -> None:
    register = Register("x", 0, kind, scale=scale)
    found = decoded(register, words)
    assert (found, type(found)) == (value, type(value))
    assert decoded(replace(register, word_order="low_first"), words[::-1]) == value
    swapped = [word >> 8 | (word & 0xFF) << 8 for word in words]
    assert decoded(replace(register, byte_order="low_first"), swapped) == value
    both = replace(register, word_order="low_first", byte_order="low_first")
    assert decoded(both, swapped[::-1]) == value


@pytest.mark.parametrize(
    ("more", "words", "value"),
    [
        ({"type": "bool"}, [0], False),
        ({"type": "bool"}, [256], True),
        ({"type": "bool", "bit": 3}, [0b1000], True),
        ({"type": "bool", "bit": 3}, [0b0111], False),
        ({"type": "bool", "bit": 8, "byte_order": "low_first"}, [1], True),
        ({"type": "bool", "bit": 3, "invalid": (0xFFFF,)}, [0xFFFF], None),
        ({"type": "string", "words": 3}, [0x6945, 0x4D33, 0x3000], "iEM30"),
        ({"type": "string", "words": 3}, [0x4241, 0x2000, 0], "BA"),
        ({"type": "string", "words": 2, "byte_order": "low_first"}, [0x4142, 0x4344], "BADC"),
        ({"type": "string", "words": 2}, [0xFFFF, 0xFFFF], None),
        ({"type": "string", "words": 2}, [0x411B, 0x5B41], None),
        ({"type": "bcd", "words": 2}, [0x1234, 0x5678], 12345678),
        ({"type": "bcd", "words": 2, "word_order": "low_first"}, [0x1234, 0x5678], 56781234),
        ({"type": "bcd", "words": 2, "scale": 0.01}, [0x1234, 0x5678], 123456.78),
        ({"type": "bcd"}, [0x12FF], None),
        ({"type": "datetime"}, [26, 0x0B16, 0x041E, 15_250], "2026-11-22T04:30:15.250"),
        ({"type": "datetime"}, [26, 0x0BF6, 0x041E, 15_250], "2026-11-22T04:30:15.250"),
        ({"type": "datetime"}, [26, 0x0B16, 0x049E, 0], None),
        ({"type": "datetime"}, [0xFFFF] * 4, None),
        ({"offset": -40.0}, [65], 25),
        ({"offset": -40.0, "scale": 0.1}, [651], 25.1),
        ({"offset": 0.5, "scale": 2.0}, [3], 6.5),
        (
            {"type": "float64", "scale": 123456789.12345678, "offset": 1.2345678912345678e-9},
            [0x7BF0, 0x6B0B, 0xB1FB, 0x384C],
            None,
        ),
        ({"type": "int16", "invalid": (0x8000,)}, [0x8000], None),
        ({"type": "int16", "invalid": (-32768,)}, [0x8000], None),
        ({"type": "uint32", "invalid": (0xFFFF_FFFF,)}, [0xFFFF, 0xFFFF], None),
        ({"type": "float32", "invalid": (0xC479_C000,)}, [0xC479, 0xC000], None),
        ({"count": 3}, [1, 2, 3], (1, 2, 3)),
        ({"count": 2, "type": "int32", "scale": 0.1}, [0, 15, 0xFFFF, 0xFFFF], (1.5, -0.1)),
        ({"count": 2, "invalid": (7,)}, [7, 8], None),
        ({"table": "coil", "type": "bool"}, [1], True),
        ({"table": "discrete", "type": "bool", "count": 3}, [1, 0, 1], (True, False, True)),
    ],
)
def test_other_forms(more: dict[str, Any], words: list[int], value: Value | None) -> None:
    found = decoded(Register("x", 7, **more), words)
    assert (found, type(found)) == (value, type(value))


def test_flags_are_values_of_their_own() -> None:
    register = Register("state", 3, "bits", words=2, bits={"running": 0, "fault": 17})
    (read,) = plan([register])
    decoder = Decoder(read)
    assert decoder.decode([2, 1]) == ({"state_running": True, "state_fault": True}, ())
    assert decoder.decode([0, 2]) == ({"state_running": False, "state_fault": False}, ())


def test_what_is_missing_takes_nothing_with_it() -> None:
    registers = [
        Register("a", 0, "float32"),
        Register("b", 2, "float32"),
        Register("c", 4, "int16", invalid=(0x8000,)),
        Register("d", 5, "int16", invalid=(0x8000,)),
        Register("e", 6, count=2, invalid=(9,)),
        Register("f", 8, invalid=(9,)),
    ]
    (read,) = plan(registers)
    words = [0x7FC0, 0, 0x3F80, 0, 0x8000, 5, 1, 9, 3]
    assert Decoder(read).decode(words) == ({"b": 1.0, "d": 5, "f": 3}, (NOT_AVAILABLE,))


def test_registers_may_lie_over_each_other_and_apart() -> None:
    registers = [
        Register("whole", 10, "int32"),
        Register("high", 10, "int16"),
        Register("low", 11, "int16"),
        Register("bit", 11, "bool", bit=0),
        Register("far", 20, "int32"),
        Register("plain", 12),
    ]
    (read,) = plan(registers)
    words = [0xFFFF, 0xFFFD, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    values, _ = Decoder(read).decode(words)
    assert values == {
        "whole": -3, "high": -1, "low": -3, "bit": True, "far": 1, "plain": 7,
    }  # fmt: skip


def digits(value: float) -> int:
    """The significant ones: 1e12 has one, and as many places as 999999995904."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(999_999_995_904.0)
def test_a_float_comes_back_exactly_and_short(value: float) -> None:
    raw = struct.pack(">f", value)
    found = decoded(Register("x", 0, "float32"), struct.unpack(">HH", raw))
    assert isinstance(found, float)
    assert struct.pack(">f", found) == raw
    assert digits(found) <= digits(value)
    assert math.copysign(1, found) == math.copysign(1, value)


@given(st.decimals(-99_999, 99_999, places=1))
def test_a_decimal_that_fits_is_shown_as_it_was_written(value: float) -> None:
    wanted = float(value)
    words = struct.unpack(">HH", struct.pack(">f", wanted))
    assert decoded(Register("x", 0, "float32"), words) == wanted


scales = st.sampled_from([1.0, 0.1, 0.01, 0.001, 10.0, 0.25, 3.0, -0.5])
offsets = st.sampled_from([0.0, -40.0, 0.5])
orders = st.sampled_from(ORDERS)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[Register, tuple[int, ...]]:
    kind = draw(st.sampled_from([*INTS, "float32", "float64"]))
    count = draw(st.integers(1, 4))
    if kind in INTS:
        low, high = INTS[kind]
        raws = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        form = ">" + {"16": "h", "32": "i", "64": "q"}[kind[-2:]]
        form = form.upper() if kind.startswith("u") else form
    else:
        plain = st.floats(-(2.0**99), 2.0**99, width=32 if kind == "float32" else 64)
        raws = draw(st.lists(plain, min_size=count, max_size=count))  # type: ignore[arg-type]
        form = ">f" if kind == "float32" else ">d"
    packed = b"".join(struct.pack(form, raw) for raw in raws)
    words = struct.unpack(f">{len(packed) // 2}H", packed)
    scaled = kind in INTS
    register = Register(
        "x", 0, kind, word_order=draw(orders), byte_order=draw(orders), count=count,
        scale=draw(scales) if scaled else 1.0, offset=draw(offsets) if scaled else 0.0,
    )  # fmt: skip
    return register, words


@given(numbers())
def test_what_was_read_is_written_back_as_it_was(drawn: tuple[Register, tuple[int, ...]]) -> None:
    register, words = drawn
    value = decoded(register, words)
    if value is None:
        return
    if register.type.endswith("64") and (register.scale, register.offset) != (1.0, 0.0):
        again = decoded(register, to_words(register, value))  # more digits than a double has
        assert again == value
        return
    back = to_words(register, value)
    if register.type.startswith("float"):
        assert decoded(register, back) == value
    else:
        assert back == words


@given(st.sampled_from(["string", "bcd"]), orders, orders, st.integers(1, 4), st.integers(0, 9999))
def test_texts_and_digits_come_back(
    kind: str, word_order: str, byte_order: str, words: int, number: int
) -> None:
    register = Register("x", 0, kind, word_order=word_order, byte_order=byte_order, words=words)
    value: Value = str(number % 100) if kind == "string" else number
    assert decoded(register, to_words(register, value)) == value


@given(st.integers(0, 0xFFFF), st.integers(0, 15), st.booleans(), orders)
def test_a_bit_is_set_without_its_neighbours(word: int, bit: int, on: bool, order: str) -> None:  # noqa: FBT001
    register = Register("x", 0, "bool", bit=bit, byte_order=order)
    and_mask, or_mask = to_mask(register, on)
    after = word & and_mask | or_mask & ~and_mask & 0xFFFF  # as function 22 does it
    assert decoded(register, [after]) is on
    assert bin(after ^ word).count("1") == (decoded(register, [word]) is not on)


def test_coils_are_written_as_bits() -> None:
    coil = Register("x", 0, "bool", "coil")
    assert to_words(coil, True) == (1,)
    assert to_words(replace(coil, count=3), (True, False, True)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("more", "value", "says"),
    [
        ({}, 65536, "x: 65536 does not fit into a uint16"),
        ({}, -1, "does not fit into a uint16"),
        ({}, True, "True is no number"),
        ({}, math.nan, "nan is no number"),
        ({}, "on", "'on' is no number"),
        ({"scale": 0.1}, 6553.6, "6553.6 does not fit into a uint16"),
        ({"type": "float32"}, 1e39, "does not fit into a float32"),
        ({"invalid": (0xFFFF,)}, 65535, "65535 is what it says when it has no value"),
        ({"count": 2}, 5, "5 is no list of 2"),
        ({"count": 2}, (1, 2, 3), "is no list of 2"),
        ({"type": "bool"}, 2, "2 is neither true nor false"),
        ({"type": "bool", "bit": 1}, True, "a bit of a word is written by `to_mask`"),
        ({"type": "string"}, "abc", "'abc' is longer than 2 bytes"),
        ({"type": "string"}, "a\n", "is no text of printable characters"),
        ({"type": "bcd"}, 10_000, "10000 does not fit into 4 digits"),
        ({"type": "datetime"}, "2026", "a register of type datetime can't be written"),
    ],
)
def test_what_does_not_fit_is_refused(more: dict[str, Any], value: Value, says: str) -> None:
    with pytest.raises(WrongValue) as raised:
        to_words(Register("x", 0, **more), value)
    assert says in str(raised.value)


def test_a_word_that_is_no_bit_has_no_mask() -> None:
    with pytest.raises(WrongValue, match="it is no bit of a word"):
        to_mask(Register("x", 0), True)


def test_a_write_takes_the_next_raw_value() -> None:
    register = Register("x", 0, scale=0.1)
    assert to_words(register, 49.97) == (500,)
    assert to_words(register, 0.3) == (3,)


@given(st.lists(st.lists(st.sampled_from([0, 1, 0x3F80, 0x4366, 0x7FC0]), min_size=8, max_size=8)))
def test_what_came_before_does_not_change_what_comes(reads: list[list[int]]) -> None:
    (read,) = plan([Register(f"x{n}", 2 * n, "float32") for n in range(4)])
    decoder = Decoder(read)
    for words in reads:
        assert decoder.decode(words) == Decoder(read).decode(words)


def test_a_read_without_registers_gives_nothing() -> None:
    assert Decoder(Read("holding", 0, 1, ())).decode([5]) == ({}, ())
