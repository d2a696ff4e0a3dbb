"""Consumer meters: volumes from totalisers, leaks from rests, and what is no leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerbline.cli.leaks import group
from kerbline.control.leaks.meters import Change, Kind, Limits, MeterWatch, StepTooLong, score
from kerbline.control.leaks.rests import SCORE
from kerbline.control.leaks.totaliser import BACKWARD, ROLLED, SWAPPED, Register, Totalisers
from kerbline.sim.households import Habits, demand, leaking, totalised

DAY = 96
Reads = NDArray[np.uint32]
HOMES, DAYS, SEED = 40, 25, 20_261
ALL = np.ones(HOMES, np.bool_)
LEAK_LPH = (0.25, 0.5, 1.0, 4.0, 20.0)
START = 14 * DAY + 31
# Whose appliances do not fill at all hours, and who mostly sleep at night.
ORDINARY = Habits(
    night_worker=0.01, elderly=0.05, filler=0, ice_maker=0, restless_a_year=0, guests_a_year=1
)


@pytest.fixture(scope="module")
def homes() -> NDArray[np.float64]:
    """Litres of ordinary homes."""
    return demand(HOMES, DAYS, SEED, habits=ORDINARY)


@pytest.fixture(scope="module")
def leaky(homes: NDArray[np.float64]) -> Reads:
    """Reads where the first homes leak from START on."""
    litres = homes.copy()
    for home, lph in enumerate(LEAK_LPH):
        litres[home] += leaking(lph, litres.shape[1], START, SEED + home)
    return totalised(litres, SEED)


@pytest.fixture(scope="module")
def told(leaky: Reads) -> list[dict[str, Any]]:
    """The alarms of the leaking homes."""
    found: list[dict[str, Any]] = score(leaky, None, 15)["customer"]
    return found


def run(watch: MeterWatch, reads: Reads, present: NDArray[np.bool_] | None = None) -> list[object]:
    """Every change of every step, with the step."""
    there = np.ones(reads.shape, np.bool_) if present is None else present
    return [
        (step, change)
        for step in range(reads.shape[1])
        for change in watch.step(reads[:, step], there[:, step])
    ]


def kinds(found: list[object], kind: Kind) -> list[tuple[int, int, bool]]:
    """Step, meter and whether up of the changes of a kind."""
    told = []
    for item in found:
        assert isinstance(item, tuple)
        step, change = item
        assert isinstance(change, Change)
        if change.kind is kind:
            told.append((step, change.meter, change.up))
    return told


# ---------------------------------------------------------------- totalisers


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_litre_is_lost_over_gaps_and_roll_overs(data: st.DataObject) -> None:
    used = data.draw(st.lists(st.integers(0, 4_000), min_size=2, max_size=40))
    there = data.draw(st.lists(st.booleans(), min_size=len(used), max_size=len(used)))
    there[0] = there[-1] = True
    modulus = data.draw(st.sampled_from([1 << 32, 100_000, 10_000_000]))
    total = data.draw(st.integers(0, modulus - 1)) + np.cumsum(used)
    totalisers = Totalisers(1, Register(modulus=modulus))
    counted = spanned = 0
    for read, known in zip(total % modulus, there, strict=True):
        volumes = totalisers.step(np.array([read], np.uint32), np.array([known]))
        counted += int(volumes.counts[0])
        spanned += int(volumes.spans[0])
    if sum(used[1:]) < modulus - 5_000 * len(used):
        assert counted == sum(used[1:])
        assert spanned == len(used) - 1


@pytest.mark.parametrize(
    ("reads", "mark", "counts"),
    [
        ([4_294_967_290, 4], ROLLED, 10),
        ([900_000, 12], SWAPPED, 0),
        ([12, 900_000], SWAPPED, 0),
        ([500, 470], BACKWARD, 0),
        ([500, 500], 0, 0),
        ([0, 3], 0, 3),
    ],
)
def test_what_a_read_tells(reads: list[int], mark: int, counts: int) -> None:
    totalisers = Totalisers(1)
    for read in reads:
        volumes = totalisers.step(np.array([read], np.uint32), np.array([True]))
    assert volumes.marks[0] == mark
    assert volumes.counts[0] == counts
    assert volumes.spans[0] == (0 if mark == SWAPPED else 1)


def test_what_flowed_back_is_not_counted_twice() -> None:
    totalisers = Totalisers(1)
    counts = [
        int(totalisers.step(np.array([read], np.uint32), np.array([True])).counts[0])
        for read in (100, 90, 95, 103)
    ]
    assert counts == [0, 0, 0, 3]


# ---------------------------------------------------------------- leaks


def test_leaks_are_found_in_days_and_nothing_else_is(told: list[dict[str, Any]]) -> None:
    found = {alarm["meter"]: alarm for alarm in told}
    assert sorted(found) == list(range(len(LEAK_LPH)))
    for home, lph in enumerate(LEAK_LPH):
        days = (found[home]["start"] - START) / DAY
        assert 0 < days <= (10 if lph < 1 else 3)
        assert found[home]["lph"] == pytest.approx(lph, rel=0.4)


def test_nothing_is_known_ahead_of_its_step(leaky: Reads, told: list[dict[str, Any]]) -> None:
    cut = START + 3 * DAY
    part = leaky[: len(LEAK_LPH), :cut]
    early = [(one["meter"], one["start"]) for one in score(part, None, 15)["customer"]]
    assert early == [(one["meter"], one["start"]) for one in told if one["start"] < cut]
    assert early


@given(st.lists(st.integers(START - DAY, START + 6 * DAY), min_size=3, max_size=3))
@settings(max_examples=2, deadline=None)
def test_a_watch_that_was_stopped_goes_on_as_if_not(leaky: Reads, stops: list[int]) -> None:
    part, lasts = leaky[:8], 150
    straight = MeterWatch(len(part), 15)
    stopped: list[tuple[MeterWatch, int]] = []
    for step in range(START + 7 * DAY):
        changes = straight.step(part[:, step], ALL[: len(part)])
        for watch, stop in stopped:
            if step < stop + lasts:
                assert watch.step(part[:, step], ALL[: len(part)]) == changes
            if step == stop + lasts - 1:
                for name, array in straight.saved().items():
                    np.testing.assert_array_equal(watch.saved()[name], array, err_msg=name)
        if step + 1 in stops:
            again = MeterWatch(len(part), 15)
            again.restore(straight.saved())
            stopped.append((again, step + 1))
    assert stopped


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=2, deadline=None)
def test_late_reads_replayed_since_a_checkpoint_change_nothing(leaky: Reads, seed: int) -> None:
    part = leaky[:6]
    chance = np.random.default_rng(seed)
    horizon = START + int(chance.integers(0, 2 * DAY))
    end = horizon + int(chance.integers(1, 3 * DAY))
    there = chance.random(part.shape) > 0.3
    there[:, :horizon] = True
    watch = MeterWatch(len(part), 15)
    run(watch, part[:, :horizon])
    checkpoint = watch.saved()
    run(watch, part[:, horizon:end], there[:, horizon:end])  # what was known when they were late
    watch.restore(checkpoint)
    run(watch, part[:, horizon:end])
    straight = MeterWatch(len(part), 15)
    run(straight, part[:, :end])
    for name, array in straight.saved().items():
        np.testing.assert_array_equal(watch.saved()[name], array, err_msg=name)


def test_a_leak_is_found_though_reads_are_missing(leaky: Reads) -> None:
    chance = np.random.default_rng(7)
    leaky = leaky[: len(LEAK_LPH)]
    missing = chance.random(leaky.shape) < 0.05
    missing[:, START + DAY // 2 : START + DAY] = True
    found = score(leaky, missing, 15)["customer"]
    assert {alarm["meter"] for alarm in found} == set(range(len(LEAK_LPH)))
    late = {alarm["meter"]: (alarm["start"] - START) / DAY for alarm in found}
    assert late[2] <= 4


def test_a_gap_with_little_water_must_hide_a_rest() -> None:
    """Five litres in a day cannot come once an hour."""
    steps = 4 * DAY
    reads = np.arange(steps, dtype=np.uint32)[None] // 4
    reads[:, 3 * DAY :] = reads[:, 2 * DAY] + 5
    there = np.ones(reads.shape, np.bool_)
    watch = MeterWatch(1, 15)
    run(watch, reads[:, : 2 * DAY + 1], there)
    assert watch.rests.since[3, 0] > DAY
    there[:, 2 * DAY + 1 : 3 * DAY] = False
    run(watch, reads[:, 2 * DAY + 1 : 3 * DAY + 1], there[:, 2 * DAY + 1 : 3 * DAY + 1])
    assert watch.rests.since[3, 0] == 0


def test_roll_over_and_another_meter_are_no_flow(leaky: Reads, told: list[dict[str, Any]]) -> None:
    part = leaky[: len(LEAK_LPH)].astype(np.int64)
    part[:3] += (1 << 32) - 1 - part[:3, [START + DAY]]  # rolls over
    part[3:, START + DAY :] -= part[3:, [START + DAY]]  # is exchanged for one at 0
    found = score((part & 0xFFFFFFFF).astype(np.uint32), None, 15)["customer"]
    assert {alarm["meter"] for alarm in found} == set(range(len(LEAK_LPH)))
    assert [one for one in found if one["meter"] < 3] == [one for one in told if one["meter"] < 3]


def test_an_empty_home_that_leaks_is_found_and_one_that_does_not_is_quiet() -> None:
    litres = np.zeros((2, 8 * DAY))
    litres[0] = leaking(0.5, 8 * DAY, 0, 3)
    found = score(totalised(litres, 1), None, 15)["customer"]
    assert [alarm["meter"] for alarm in found] == [0]


def test_an_alarm_stays_while_the_leak_runs_clears_and_can_come_again(
    homes: NDArray[np.float64],
) -> None:
    litres = homes[:1].copy()
    on = np.zeros(litres.shape[1])
    on[8 * DAY : 13 * DAY] = on[17 * DAY : 22 * DAY] = 0.5  # 2 L/h
    watch = MeterWatch(1, 15)
    told = run(watch, totalised(litres + on, 2))
    steps = [(step, up) for step, _meter, up in kinds(told, Kind.LEAK)]
    assert [up for _step, up in steps] == [True, False, True, False]
    assert 8 * DAY < steps[0][0] < 11 * DAY
    assert 13 * DAY <= steps[1][0] < 15 * DAY
    assert 17 * DAY < steps[2][0] < 20 * DAY


def test_a_leak_that_grows_is_told_again(homes: NDArray[np.float64]) -> None:
    litres = homes[:1].copy()
    litres[0, 10 * DAY :] += 0.125  # 0.5 L/h
    litres[0, 19 * DAY :] += 3.0
    found = score(totalised(litres, 4), None, 15)["customer"]
    assert len(found) == 2
    assert found[1]["start"] > 19 * DAY
    assert [one["lph"] for one in found] == pytest.approx([12.5, 12.5], rel=0.3)


def test_an_appliance_that_fills_by_the_clock_is_no_leak(homes: NDArray[np.float64]) -> None:
    litres = homes[:6].copy()
    for home, every in enumerate((3, 4, 6, 8, 10, 12)):
        litres[home, ::every] += 3.0
    assert score(totalised(litres, 5), None, 15)["customer"] == []


def test_a_change_says_what_was_seen_and_what_is_lost(leaky: Reads) -> None:
    watch = MeterWatch(1, 15)
    leak = next(
        change
        for step in range(leaky.shape[1])
        for change in watch.step(leaky[2:3, step], ALL[:1])
        if change.kind is Kind.LEAK
    )
    assert leak.up and leak.seen is not None
    assert leak.sure_pct > 99.9
    assert leak.seen["rest_h"] == 1.0
    assert leak.seen["days_without"] >= 1.29
    assert leak.litres == pytest.approx(24 * leak.seen["days_without"], rel=0.4)
    assert watch.litres(0) == leak.litres


# ---------------------------------------------------------------- what is no leak


def test_a_burst_is_told_within_its_hour() -> None:
    litres = np.zeros((1, 2 * DAY))
    litres[0, DAY : DAY + 8] = 500.0  # 2 m3/h
    told = kinds(run(MeterWatch(1, 15), totalised(litres, 6)), Kind.BURST)
    assert told == [(DAY + 3, 0, True), (DAY + 8, 0, False)]


def test_water_that_flows_back_is_told_until_it_flows_forward() -> None:
    reads = np.array([[1_000, 1_000, 990, 960, 960, 990, 1_001]], np.uint32)
    told = kinds(run(MeterWatch(1, 15), reads), Kind.BACKFLOW)
    assert told == [(3, 0, True), (6, 0, False)]


def test_a_meter_that_stands_still_is_told_after_weeks() -> None:
    litres = np.zeros((1, 15 * DAY))
    litres[0, : 2 * DAY] = 3.0
    litres[0, -DAY:] = 3.0
    watch = MeterWatch(1, 15, limits=Limits(stuck_days=10))
    told = kinds(run(watch, totalised(litres, 8)), Kind.STUCK)
    assert [(step // DAY, up) for step, _meter, up in told] == [(11, True), (14, False)]


# ---------------------------------------------------------------- cost and form


def test_a_meter_costs_no_more_than_64_bytes() -> None:
    state = MeterWatch(1_000, 15).saved()
    assert sum(array.nbytes for array in state.values()) <= 64 * 1_000 + 64


@pytest.mark.parametrize(("step_min", "within_days"), [(5, 3), (30, 3), (60, 4), (120, 11)])
def test_other_steps_find_leaks_too(step_min: int, within_days: int) -> None:
    litres = demand(3, 15 + within_days, 11, step_min=step_min, habits=ORDINARY)
    start = 14 * 1440 // step_min
    litres[0] += leaking(2.0, litres.shape[1], start, 1, step_min=step_min)
    found = score(totalised(litres, 12), None, step_min)["customer"]
    assert {alarm["meter"] for alarm in found} == {0}
    assert start < found[0]["start"] <= start + within_days * 1440 // step_min


def test_hourly_reads_show_a_leak_of_a_litre_an_hour_within_three_days(
    homes: NDArray[np.float64],
) -> None:
    """Litre follows litre and no hour rests: it is the run of single litres that tells."""
    litres = homes[:12].copy()
    for home in range(12):
        litres[home] += leaking(1.0, litres.shape[1], START, SEED + home)
    found = score(totalised(litres, SEED)[:, 3::4], None, 60)["customer"]
    first = {alarm["meter"]: alarm["start"] for alarm in reversed(found)}
    intime = [home for home, step in first.items() if 0 < step - START // 4 <= 3 * 24]
    assert len(intime) >= 11


def test_a_register_of_ten_litres_shows_leaks_ten_times_as_fast(
    homes: NDArray[np.float64],
) -> None:
    litres = homes[:8].copy()
    for home in range(4):
        litres[home] += leaking(5.0, litres.shape[1], START, SEED + home)
    tens = totalised(litres, SEED, resolution_l=10.0) * np.uint32(10)
    found = score(tens, None, 15)["customer"]
    assert {alarm["meter"] for alarm in found} == set(range(4))
    for alarm in found:
        assert START < alarm["start"] <= START + 6 * DAY
        assert alarm["lph"] == pytest.approx(5.0, rel=0.3)


def test_days_without_a_rest_say_little_where_there_has_never_been_one() -> None:
    """A home that has always been as busy is more likely than a leak from the first read on."""
    litres = np.zeros((2, 9 * DAY))
    litres[:, ::3] = 3.0
    litres[1, DAY : DAY + DAY // 4] = 0
    watch = MeterWatch(2, 15)
    run(watch, totalised(litres, 5))
    never, once = watch.rests.evidence()[3:].T
    assert (once - never >= 4 * SCORE).all()


def test_reads_too_far_apart_are_refused() -> None:
    with pytest.raises(StepTooLong, match="every two hours"):
        MeterWatch(3, 180)


def test_the_command_writes_the_alarms(tmp_path: Path) -> None:
    litres = np.zeros((2, 4 * DAY))
    litres[1] = leaking(2.0, 4 * DAY, 0, 3)
    reads = totalised(litres, 1)
    file, out = tmp_path / "m.npz", tmp_path / "alarms.json"
    missing = np.zeros(reads.shape, np.bool_)
    missing[:, 100:110] = True
    np.savez(file, reads=np.where(missing, 0, reads), missing=np.packbits(missing, axis=1))
    words = ["score", "meters", str(file), "--step-min", "15", "--out", str(out)]
    assert CliRunner().invoke(group, words).exit_code == 0
    told = json.loads(out.read_text())
    assert told == score(reads, missing, 15)
    assert set(told["customer"][0]) == {"meter", "start", "lph"}
