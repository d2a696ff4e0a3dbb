"""What flows into a district by several mains: each totaliser for itself, their sum as one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.control.leaks.grid import NONE, Row
from kerbline.control.leaks.mains import Flow, Mains

STEP_MS = 900_000
NAN = float("nan")


def row(*litres: float, at_ms: int = 1_000) -> Row:
    times = [NONE if read != read else at_ms for read in litres]
    nobody = np.zeros(0, np.uint32), np.zeros(0, np.bool_)
    return Row(*nobody, np.array(litres), np.array(times, np.int32))


def flows(mains: Mains, *rows: tuple[float, ...], first: int = 0) -> list[Flow]:
    return [mains.step(row(*litres), first + at) for at, litres in enumerate(rows)]


def test_inlets_are_added_and_outlets_taken_away() -> None:
    first, second = flows(Mains((1, 1, -1), STEP_MS), (100, 7_000, 50), (350, 7_300, 150))
    assert first.broken and first.lph != first.lph
    assert second == Flow(first.total_l + 450, False, 1_800.0, 250**2 + 300**2 + 100**2)


def test_without_one_of_them_there_is_no_total_and_nothing_is_lost() -> None:
    mains = Mains((1, 1), STEP_MS)
    first, gap, again, after = flows(mains, (0, 0), (100, NAN), (200, 80), (300, 120))
    assert gap.total_l != gap.total_l and gap.lph != gap.lph
    assert again.total_l - first.total_l == 280 and not again.broken
    assert again.lph != again.lph  # what the one that was silent drew in this step nobody knows
    assert after.lph == 4 * 140
    assert (gap.mains_l2, again.mains_l2) == (0, (200**2 + 80**2) / 2)


@pytest.mark.parametrize("top", [10**9, 1 << 32])  # a register of six digits of m3, one of 32 bit
def test_one_that_begins_again_at_zero_is_flow(top: int) -> None:
    rows = [(top - 300 + 200 * n, 5_000 + 10 * n) for n in range(5)]
    found = flows(Mains((1, 1), STEP_MS), *((float(one % top), float(two)) for one, two in rows))
    assert [each.broken for each in found] == [True, False, False, False, False]
    assert found[-1].total_l - found[0].total_l == 840
    assert {each.lph for each in found[1:]} == {840.0}


@pytest.mark.parametrize("first", [3.0, 1e12])  # what the new meter shows
def test_another_meter_is_no_flow(first: float) -> None:
    mains = Mains((1, 1), STEP_MS)
    old, new = (500_000.0, 0.0), (first, 10.0)
    found = flows(mains, old, (500_100.0, 5.0), new, (first + 100, 15.0))
    assert [each.broken for each in found] == [True, False, True, False]
    assert found[2].lph != found[2].lph
    assert found[3].total_l - found[2].total_l == 105


def test_what_flows_back_is_taken_away_and_no_total_falls() -> None:
    found = flows(Mains((1,), STEP_MS), (0,), (100,), (60,), (90,), (130,))
    totals = [each.total_l - found[0].total_l for each in found]
    assert totals[:2] == [0, 100] and totals[4] == 130
    assert totals[2] != totals[2] and totals[3] != totals[3]
    assert [each.lph for each in found[1:]] == [400, -160, 120, 160]
    assert not any(each.broken for each in found[1:])


def test_meters_that_round_lose_nothing() -> None:
    """An inlet and an outlet in whole m3, with little in between, never add up to a leak."""
    chance = random.Random(2)
    mains, through_l, used_l = Mains((1, -1), STEP_MS), 0.0, 0.0
    ends: list[float] = []
    for at in range(3_000):
        through_l += chance.uniform(5_000, 30_000)
        used_l += chance.uniform(0, 300)
        inlet, outlet = ((each // 1_000) * 1_000 for each in (through_l + used_l, through_l))
        flow = mains.step(row(inlet, outlet), at)
        if flow.total_l == flow.total_l:
            ends.append(flow.total_l)
    assert ends == sorted(ends)
    assert ends[-1] - ends[0] == pytest.approx(used_l, abs=3_000)


def years(seed: int) -> Iterator[tuple[float, ...]]:
    """Two inlets that miss reads and roll over, an outlet."""
    chance = random.Random(seed)
    counts = [99_000_000.0, 4_294_000_000.0, 0.0]
    for _ in range(200):
        for main, most in enumerate((40_000, 9_000, 6_000)):
            counts[main] += chance.randrange(most // 2, most)
        reads = counts[0] % 10**8, counts[1] % (1 << 32), counts[2]
        yield tuple(NAN if chance.random() < 0.1 else read for read in reads)


@given(st.integers(0, 1 << 30), st.integers(1, 199))
def test_a_restart_changes_nothing(seed: int, cut: int) -> None:
    rows = list(years(seed))
    one, other = Mains((1, 1, -1), STEP_MS), Mains((1, 1, -1), STEP_MS)
    whole = flows(one, *rows)
    flows(one := Mains((1, 1, -1), STEP_MS), *rows[:cut])
    other.restore(one.saved())
    assert str(flows(other, *rows[cut:], first=cut)) == str(whole[cut:])
    assert sum(each.broken for each in whole) == 1
    with pytest.raises(ValueError, match="read_l"):
        Mains((1, 1), STEP_MS).restore(one.saved())
