"""Leaks from a district's balance: found, sized, ended, and the same after a crash."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerbline.control.leaks.balance import BalanceWatch, score
from kerbline.control.leaks.ledger import Ledger
from kerbline.control.leaks.network import Change
from kerbline.control.leaks.totaliser import Register
from kerbline.sim.district import District, Leak, MeterLeak, Recorded, recorded
from tests.gateway.test_cli import kerbline

DAY = 96
HOMES = 150
USE_LPH = HOMES * 16.6
SMALL = District(homes=HOMES, days=26, start_lph=2.0)
LEAKS = (
    Leak(10 * DAY + 30, 14 * DAY, 0.03 * USE_LPH),
    Leak(16 * DAY, 19 * DAY + 40, 0.05 * USE_LPH, incipient=True),
    Leak(22 * DAY + 50, 23 * DAY + 20, 0.3 * USE_LPH),
)
LEAKY = replace(
    SMALL,
    leaks=LEAKS,
    customer=(MeterLeak(3, 12 * DAY, 0.04 * USE_LPH), MeterLeak(9, 20 * DAY, 0.1 * USE_LPH)),
)


def stepped(
    watch: BalanceWatch, found: Recorded, begin: int = 0, end: int | None = None
) -> list[tuple[int, Change]]:
    steps = range(begin, found.reads.shape[1] if end is None else end)
    return [
        (at, change)
        for at in steps
        for change in watch.step(
            found.reads[:, at], ~found.missing[:, at], float(found.inflow_total_l[at])
        )
    ]


@pytest.fixture(scope="module")
def leaky() -> Recorded:
    return recorded(LEAKY, 7)


@pytest.fixture(scope="module")
def alarms(leaky: Recorded) -> dict[str, Any]:
    return score(leaky.reads, leaky.missing, leaky.inflow_total_l, 15)


def test_leaks_are_found_sized_and_seen_to_end(alarms: dict[str, Any]) -> None:
    assert len(alarms["network"]) == len(LEAKS)
    for alarm, leak in zip(alarms["network"], LEAKS, strict=True):
        within = 48 if not leak.incipient else leak.end - leak.start
        assert 0 <= alarm["start"] - leak.start <= within
        assert 0 <= alarm["end"] - leak.end <= DAY // 2
        assert alarm["lph"] == pytest.approx(leak.lph, rel=0.15, abs=0.005 * USE_LPH)


def test_what_customers_lose_is_no_leak_of_the_network(alarms: dict[str, Any]) -> None:
    found = recorded(replace(LEAKY, leaks=()), 7)
    assert stepped(BalanceWatch(HOMES, 15), found) == []
    assert {9} <= {each["meter"] for each in alarms["customer"]}


def test_an_alarm_uses_no_later_data(leaky: Recorded, alarms: dict[str, Any]) -> None:
    cut = 18 * DAY + 11
    until = score(leaky.reads[:, :cut], leaky.missing[:, :cut], leaky.inflow_total_l[:cut], 15)
    starts = [each["start"] for each in alarms["network"] if each["start"] < cut]
    assert [each["start"] for each in until["network"]] == starts
    assert until["network"][0] == alarms["network"][0]
    assert until["network"][-1]["end"] is None


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 12 * DAY), st.integers(0, 12 * DAY))
def test_a_crash_changes_nothing(leaky: Recorded, one: int, other: int) -> None:
    end = 12 * DAY
    whole = BalanceWatch(HOMES, 15)
    said = stepped(whole, leaky, 0, end)
    watch, told, at = BalanceWatch(HOMES, 15), [], 0
    for crash in [*sorted((one, other)), end]:
        told += stepped(watch, leaky, at, crash)
        state, watch, at = watch.saved(), BalanceWatch(HOMES, 15), crash
        watch.restore(state)
    assert told == said
    left, right = whole.saved(), watch.saved()
    assert left.keys() == right.keys()
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 13 * DAY), st.integers(1, 200), st.integers(0, 1 << 30))
def test_a_late_read_is_as_one_in_time(leaky: Recorded, since: int, lasts: int, seed: int) -> None:
    """What the agent does: a checkpoint behind what is late, replayed when it has come."""
    end = since + lasts
    in_time = BalanceWatch(HOMES, 15)
    said = stepped(in_time, leaky, 0, end)
    chance: NDArray[np.float64] = np.random.default_rng(seed).random(size=leaky.missing.shape)
    gone: NDArray[np.bool_] = np.less(chance, 0.3)
    gone[:, :since] = False
    holed = Recorded(leaky.reads, leaky.missing | gone, leaky.inflow_total_l)
    watch = BalanceWatch(HOMES, 15)
    before = stepped(watch, leaky, 0, since)
    checkpoint = watch.saved()
    stepped(watch, holed, since, end)
    replayed = BalanceWatch(HOMES, 15)
    replayed.restore(checkpoint)
    assert before + stepped(replayed, leaky, since, end) == said
    left, right = in_time.saved(), replayed.saved()
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 30), st.floats(0, 0.6), st.integers(5, 60))
def test_what_was_imputed_never_adds_up(seed: int, share: float, steps: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.poisson(3, (20, steps)) * rng.integers(0, 30, (20, steps))
    reads = np.cumsum(drawn, axis=1).astype(np.uint32)
    there: NDArray[np.bool_] = np.greater_equal(rng.random(size=(20, steps)), share)
    there[:, 0] = there[:, -1] = True
    ledger = Ledger(20, DAY)
    entries = [ledger.step(reads[:, t], there[:, t], float(10 * t)) for t in range(steps)]
    told = [entry for entry in entries if entry is not None]
    assert sum(entry.steps for entry in told) == steps
    assert sum(entry.use_l for entry in told) == pytest.approx(drawn[:, 1:].sum(), abs=1)
    assert told[-1].unknown_l2 == 0


def test_meters_and_inflow_that_wrap_or_are_exchanged_raise_nothing() -> None:
    odd = replace(SMALL, days=16, rollover_l=20_000, swaps=6, inflow_missing=0.02)
    found = recorded(odd, 3)
    half = found.inflow_total_l.size // 2
    found.inflow_total_l[half:] -= found.inflow_total_l[half - 40]  # another inflow meter
    watch = BalanceWatch(HOMES, 15, Register(modulus=20_000))
    assert np.isnan(found.inflow_total_l).any()
    assert stepped(watch, found) == []


def test_meters_that_fall_silent_for_good_feign_no_leak() -> None:
    """What nobody counts any more is noise: it is believed less, and a leak is seen through it."""
    leak = Leak(14 * DAY, 18 * DAY, 0.05 * USE_LPH)
    found = recorded(replace(SMALL, leaks=(leak,)), 7)
    found.missing[: HOMES // 10, 8 * DAY :] = True
    (alarm,) = score(found.reads, found.missing, found.inflow_total_l, 15)["network"]
    assert 0 < alarm["start"] - leak.start <= 1.5 * DAY
    assert 0 < alarm["end"] - leak.end <= DAY


def test_an_inflow_that_stands_still_while_meters_turn_was_not_read() -> None:
    found = recorded(replace(SMALL, days=16), 7)
    found.inflow_total_l[8 * DAY : 8 * DAY + 24] = found.inflow_total_l[8 * DAY]
    assert score(found.reads, found.missing, found.inflow_total_l, 15)["network"] == []


def test_meters_that_count_no_more_are_no_leak_that_comes_and_goes() -> None:
    """Their use is told apart by its hours; a leak is still found beside it, and sized."""
    leak = Leak(14 * DAY, 18 * DAY, 0.05 * USE_LPH)
    found = recorded(replace(SMALL, days=20, leaks=(leak,)), 4)
    found.reads[:8, 8 * DAY :] = found.reads[:8, 8 * DAY][:, None]
    network = score(found.reads, found.missing, found.inflow_total_l, 15)["network"]
    false = [alarm for alarm in network if not leak.start <= alarm["start"] < leak.end]
    (alarm,) = (alarm for alarm in network if alarm not in false)
    assert alarm["lph"] == pytest.approx(leak.lph, rel=0.25)
    assert len(false) <= 1 and all(0 <= each["end"] - 8 * DAY <= DAY for each in false)


def test_counts_that_were_not_read_anew_are_not_drawn_when_they_jump_ahead() -> None:
    found = recorded(replace(SMALL, days=20), 4)
    found.reads[:8, 8 * DAY : 11 * DAY] = found.reads[:8, 8 * DAY][:, None]
    network = score(found.reads, found.missing, found.inflow_total_l, 15)["network"]
    assert all(alarm["end"] is not None and alarm["end"] <= 9 * DAY for alarm in network)


def test_a_large_customer_whose_meter_stops_is_no_leak() -> None:
    found = recorded(replace(SMALL, days=16), 7)
    rng = np.random.default_rng(7)
    drawn_l = np.cumsum(0.1 * USE_LPH / 4 * rng.gamma(30, 1 / 30, found.reads.shape[1]))
    inflow_l = found.inflow_total_l + np.floor(drawn_l)
    found.reads[5] += drawn_l.astype(np.uint32)
    found.reads[5, 10 * DAY + 30 :] = found.reads[5, 10 * DAY + 30]
    assert score(found.reads, found.missing, inflow_l, 15)["network"] == []


def test_a_planned_flushing_is_no_leak() -> None:
    flushed = replace(SMALL, days=16, leaks=(Leak(12 * DAY, 12 * DAY + 16, 2 * USE_LPH),))
    found = recorded(flushed, 4)
    assert len(stepped(BalanceWatch(HOMES, 15), found)) == 2
    watch = BalanceWatch(HOMES, 15)
    for at in range(found.reads.shape[1]):
        planned = 12 * DAY <= at < 12 * DAY + 16
        assert not watch.step(
            found.reads[:, at],
            ~found.missing[:, at],
            float(found.inflow_total_l[at]),
            planned=planned,
        )


def test_a_second_leak_has_an_alarm_of_its_own() -> None:
    first = Leak(9 * DAY, 16 * DAY, 0.05 * USE_LPH)
    second = Leak(12 * DAY, 14 * DAY, 0.2 * USE_LPH)
    found = recorded(replace(SMALL, days=18, leaks=(first, second)), 5)
    changes = stepped(BalanceWatch(HOMES, 15), found)
    assert [change.up for _, change in changes] == [True, True, False, False]
    ones, twos = changes[0][1].start, changes[1][1].start
    assert [change.start for _, change in changes] == [ones, twos, twos, ones]
    assert changes[2][1].lph == pytest.approx(second.lph, rel=0.15)
    assert changes[3][1].lph == pytest.approx(first.lph, rel=0.3)
    litres = second.lph * 48
    assert changes[2][1].litres == pytest.approx(litres, rel=0.25)


def test_an_operator_may_say_that_it_is_no_leak() -> None:
    found = recorded(replace(SMALL, days=16, leaks=(Leak(9 * DAY, 16 * DAY, 0.1 * USE_LPH),)), 6)
    watch = BalanceWatch(HOMES, 15)
    assert [change.up for _, change in stepped(watch, found, 0, 10 * DAY)] == [True]
    watch.accept()
    assert not watch.alarms
    assert stepped(watch, found, 10 * DAY) == []


def test_state_of_another_district_is_refused(leaky: Recorded) -> None:
    watch = BalanceWatch(HOMES, 15)
    stepped(watch, leaky, 0, 2 * DAY)
    state = watch.saved()
    with pytest.raises(ValueError, match="mean"):
        BalanceWatch(HOMES + 1, 15).restore(state)
    state["format"] = state["format"] + 1
    with pytest.raises(ValueError, match="format 3"):
        BalanceWatch(HOMES, 15).restore(state)


def test_the_command_writes_the_alarms(leaky: Recorded, tmp_path: Path) -> None:
    short = 12 * DAY + 3  # packed bits end within a byte
    np.savez(
        tmp_path / "d.npz",
        reads=leaky.reads[:, :short],
        missing=np.packbits(leaky.missing[:, :short], axis=1),
        inflow_total_l=leaky.inflow_total_l[:short],
    )
    out = tmp_path / "alarms.json"
    done = kerbline(
        *("leaks", "score", "dma-balance", str(tmp_path / "d.npz"), "--step-min", "15"),
        *("--out", str(out)),
    )
    assert done.returncode == 0, done.stderr
    alarms = json.loads(out.read_text())
    (alarm,) = alarms["network"]
    assert alarm.keys() == {"start", "end", "lph"} and alarm["end"] is None
    assert all(each.keys() == {"meter", "start", "lph"} for each in alarms["customer"])


def used(values: NDArray[np.float64]) -> float:
    return float(values[-1] - values[0])


def test_the_simulated_district_adds_up() -> None:
    """Inflow less use is background and leaks; what is seen of use is what bias leaves."""
    tight = replace(SMALL, days=6, missing=0.0, jitter=0.0, skew=0.0, start_lph=0.0, bias=-0.1)
    found = recorded(tight, 8)
    use_l = float((found.reads[:, -1].astype(float) - found.reads[:, 0]).sum())
    background_l = 0.08 * USE_LPH * 24 * 6
    assert used(found.inflow_total_l) - background_l == pytest.approx(use_l / 0.9, rel=0.02)
    leak = recorded(replace(tight, leaks=(Leak(0, 6 * DAY, 500.0),)), 8)
    more_l = used(leak.inflow_total_l) - used(found.inflow_total_l)
    assert more_l == pytest.approx(500 * 24 * 6, rel=0.01)


def test_where_nobody_draws_ever_nothing_is_found_and_nothing_divided() -> None:
    reads = np.full((HOMES, 12 * DAY), 1_000, np.uint32)
    with np.errstate(all="raise"):
        found = score(reads, None, np.full(12 * DAY, 5_000.0), 15)
    assert found == {"network": [], "customer": []}
