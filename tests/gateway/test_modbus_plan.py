"""Merging reads: as few requests as a unit's limits allow; on whatever hypothesis thinks of."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kerbline.config import Register
from kerbline.config.modbus import BIT_TABLES, WIDTHS
from kerbline.south.modbus.plan import Limits, Read, plan

NUMBERS = sorted(set(WIDTHS) - {"bool"})

words = st.builds(
    Register,
    name=st.just("x"),
    address=st.integers(0, 900),
    type=st.sampled_from(NUMBERS),
    table=st.sampled_from(["input", "holding"]),
    count=st.integers(1, 3),
)
bits = st.builds(
    Register,
    name=st.just("x"),
    address=st.integers(0, 4_000),
    type=st.just("bool"),
    table=st.sampled_from(["coil", "discrete"]),
    count=st.integers(1, 12),
)
wanted_lists = st.lists(st.one_of(words, bits), max_size=60)
holes = st.frozensets(
    st.tuples(st.sampled_from(["input", "holding", "coil"]), st.integers(0, 900)), max_size=20
)
some_limits = st.builds(
    Limits,
    max_words=st.integers(1, 125),
    max_bits=st.integers(1, 2_000),
    max_gap=st.integers(-1, 40),
    holes=holes,
)


def covered(register: Register | Read) -> set[tuple[str, int]]:
    length = register.width if isinstance(register, Register) else register.count
    return {(register.table, at) for at in range(register.address, register.address + length)}


@given(wanted_lists, some_limits)
def test_each_register_is_in_one_read_and_no_read_crosses_a_limit(
    wanted: list[Register], limits: Limits
) -> None:
    reads = plan(wanted, limits)
    assert sorted(map(repr, wanted)) == sorted(repr(r) for read in reads for r in read.registers)
    for read in reads:
        longest = limits.max_bits if read.table in BIT_TABLES else limits.max_words
        assert read.address == min(register.address for register in read.registers)
        every = set().union(*map(covered, read.registers))
        assert every <= covered(read)
        assert {at for _, at in every} >= {read.address, read.address + read.count - 1}
        if len(read.registers) > 1:
            assert read.count <= longest
            assert not covered(read) & limits.holes
        else:
            assert read.count == read.registers[0].width
    if limits.max_gap < 0:
        assert len(reads) == len(wanted)


@given(wanted_lists, some_limits)
def test_no_gap_that_is_read_along_is_too_wide(wanted: list[Register], limits: Limits) -> None:
    for read in plan(wanted, limits):
        unread = 0
        asked = set().union(*map(covered, read.registers))
        for at in range(read.address, read.address + read.count):
            unread = 0 if (read.table, at) in asked else unread + 1
            factor = 16 if read.table in BIT_TABLES else 1
            assert unread <= max(limits.max_gap, 0) * factor


@given(st.lists(words, max_size=60), st.integers(0, 40))
def test_no_two_neighbours_could_have_been_one(wanted: list[Register], max_gap: int) -> None:
    reads = plan(wanted, Limits(max_gap=max_gap))
    for left, right in pairwise(reads):
        apart = right.address - (left.address + left.count)
        together = right.address + right.registers[0].width - left.address
        assert left.table != right.table or apart > max_gap or together > 125


@given(st.integers(0, 65_000), st.integers(1, 500), some_limits)
def test_one_entry_a_register_is_read_like_a_range(
    address: int, count: int, limits: Limits
) -> None:
    limits = dataclasses.replace(limits, holes=frozenset(), max_gap=max(limits.max_gap, 0))
    count = min(count, limits.max_words)
    whole = plan([Register("x", address, count=count)], limits)
    single = plan([Register(f"x_{n}", address + n) for n in range(count)], limits)
    assert [(r.table, r.address, r.count) for r in whole] == [
        (r.table, r.address, r.count) for r in single
    ]


def test_the_protocols_own_limits_are_the_usual_ones() -> None:
    reads = plan([Register(f"r{at}", at) for at in range(250)])
    assert [(read.address, read.count) for read in reads] == [(0, 125), (125, 125)]
    coils = plan([Register(f"c{at}", at, "bool", "coil") for at in range(4_000)])
    assert [(read.address, read.count) for read in coils] == [(0, 2_000), (2_000, 2_000)]


def test_a_hole_parts_its_neighbours() -> None:
    wanted = [Register("a", 10), Register("b", 14), Register("c", 15)]
    assert [(read.address, read.count) for read in plan(wanted)] == [(10, 6)]
    holed = plan(wanted, Limits(holes=frozenset([("holding", 12)])))
    assert [(read.address, read.count) for read in holed] == [(10, 1), (14, 2)]
    elsewhere = plan(wanted, Limits(holes=frozenset([("input", 12), ("holding", 16)])))
    assert [(read.address, read.count) for read in elsewhere] == [(10, 6)]
