"""Merging reads and decoding words: pure, so checked on whatever hypothesis thinks of."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.config import Register
from kerbline.south.modbus.decode import decode, width
from kerbline.south.modbus.plan import MAX_COUNT, plan

TYPES = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2}

registers = st.builds(
    Register,
    name=st.just("x"),
    address=st.integers(0, 2000),
    type=st.sampled_from(sorted(TYPES)),
    table=st.sampled_from(["input", "holding"]),
)


@given(st.lists(registers, max_size=60), st.integers(-1, 40), st.integers(2, MAX_COUNT))
def test_each_register_is_in_one_read_and_no_read_is_too_long(
    wanted: list[Register], max_gap: int, max_count: int
) -> None:
    reads = plan(wanted, max_gap, max_count)
    assert sorted(map(repr, wanted)) == sorted(repr(r) for read in reads for r in read.registers)
    for read in reads:
        assert 1 <= read.count <= max_count
        ends = []
        for register in read.registers:
            assert register.table == read.table
            assert read.address <= register.address
            ends.append(register.address + width(register))
        assert max(ends) == read.address + read.count
    if max_gap < 0:
        assert len(reads) == len(wanted)


@given(st.lists(registers, max_size=60))
def test_no_two_neighbours_could_have_been_one(wanted: list[Register]) -> None:
    reads = plan(wanted, 16)
    for left, right in pairwise(reads):
        apart = right.address - (left.address + left.count)
        together = right.address + width(right.registers[0]) - left.address
        assert left.table != right.table or apart > 16 or together > MAX_COUNT


def test_one_entry_a_register_costs_the_same_as_a_range() -> None:
    reads = plan([Register(f"r{at}", at) for at in range(250)])
    assert [(read.address, read.count) for read in reads] == [(0, 125), (125, 125)]


@pytest.mark.parametrize(
    ("kind", "words", "scale", "value"),
    [
        ("uint16", [0xFFFF], 1.0, 65535),
        ("int16", [0xFFFE], 1.0, -2),
        ("int16", [2301], 0.1, 230.1),
        ("uint32", [0xFFFF, 0xFFFE], 1.0, 0xFFFF_FFFE),
        ("int32", [0xFFFF, 0xFFFE], 10.0, -20.0),
        ("float32", [0x4366, 0x199A], 1.0, 230.1),
        ("float32", [0x4B80, 0x0001], 1.0, 16777218.0),
        ("float32", [0x7F80, 0], 1.0, None),
        ("float32", [0x7FC0, 0], 1.0, None),
        ("float32", [0x7F7F, 0xFFFF], 1.0, 3.4028235e38),
        ("float32", [0x8000, 0], 1.0, -0.0),
    ],
)
def test_words_become_values(
    kind: str, words: list[int], scale: float, value: float | None
) -> None:
    found = decode(Register("x", 0, kind, scale=scale), words)
    assert (found, type(found)) == (value, type(value))
    turned = Register("x", 0, kind, word_order="low_first", scale=scale)
    assert decode(turned, words[::-1]) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_exactly_and_short(value: float) -> None:
    raw = struct.pack(">f", value)
    found = decode(Register("x", 0, "float32"), struct.unpack(">HH", raw))
    assert found is not None
    assert struct.pack(">f", found) == raw
    assert len(repr(found)) <= len(repr(value))
    assert math.copysign(1, found) == math.copysign(1, value)
