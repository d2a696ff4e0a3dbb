"""Leaks from a district's inflow alone: found, sized, ended, and the same after a crash."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerbline import leakfiles
from kerbline.control.leaks.inflow import Change, InflowWatch, Kind, score
from tests.budgets import leakdb
from tests.gateway.district_years import Leak, inflow
from tests.gateway.test_cli import kerbline

DAY = 48
DAYS = 90
TIGHT = 4  # series without a leak
LEAKS = [
    [Leak(20 * DAY + 7, 60 * DAY, 0.03)],
    [Leak(25 * DAY, 90 * DAY, 0.15, peak=65 * DAY)],
    [Leak(15 * DAY + 30, 40 * DAY, 0.2), Leak(60 * DAY, 90 * DAY, 0.05)],
    [Leak(35 * DAY, 60 * DAY, 0.02), Leak(45 * DAY, 90 * DAY, 0.3)],
]


def years(leaks: list[list[Leak]], days: int, seed: int = 5) -> NDArray[np.float64]:
    return np.array([inflow(seed + n, days, each) for n, each in enumerate(leaks)])


def truth(leaks: list[list[Leak]], days: int) -> leakdb.Labels:
    found = np.zeros((len(leaks), days * DAY), np.int8)
    for row, each in zip(found, leaks, strict=True):
        for leak in each:
            row[leak.start : leak.end] = 1
    return found


def run(watch: InflowWatch, flows: NDArray[np.float64]) -> list[tuple[int, Change]]:
    return [(at, each) for at, flow in enumerate(flows.T) for each in watch.step(flow)]


@pytest.fixture(scope="module")
def seen() -> tuple[NDArray[np.float64], list[Any]]:
    flows = years([*LEAKS, *[[]] * TIGHT], DAYS)
    return flows, score(flows, 30)


def test_leaks_are_found_and_seen_to_end(seen: tuple[NDArray[np.float64], list[Any]]) -> None:
    flows, alarms = seen
    labels = truth([*LEAKS, *[[]] * TIGHT], DAYS)
    found = leakdb.score(labels, leakdb.labels(alarms, flows.shape[1]))
    assert found.f1 >= 93 and found.true_negative >= 99 and found.early >= 80
    assert alarms[len(LEAKS) :] == [[]] * TIGHT
    (three_pct,) = alarms[0]
    assert 0 < three_pct["start"] - LEAKS[0][0].start <= DAY
    assert 0 < three_pct["end"] - LEAKS[0][0].end <= 2 * DAY
    assert [each["end"] is None for each in alarms[2]] == [False, True]
    assert 0 < alarms[2][0]["start"] - LEAKS[2][0].start <= 6  # 20 %: a burst


def test_an_alarm_uses_no_later_data(seen: tuple[NDArray[np.float64], list[Any]]) -> None:
    flows, alarms = seen
    cut = 50 * DAY + 5
    until = [
        [
            {**each, "end": None if each["end"] is None or each["end"] >= cut else each["end"]}
            for each in of_one
            if each["start"] < cut
        ]
        for of_one in alarms
    ]
    assert score(flows[:, :cut], 30) == until


def test_gaps_and_spikes_are_no_leaks() -> None:
    flows = years([LEAKS[0], [], [], []], 60)
    chance = np.random.default_rng(3)
    flows[chance.random(flows.shape) < 0.04] = np.nan
    flows[:, 30 * DAY : 33 * DAY + 11] = np.nan
    flows[1, 17 * DAY + 3 :: 5 * DAY + 7] *= 4  # single wrong values
    flows[2, 40 * DAY : 41 * DAY] = 0  # the meter is off, or the district closed
    unit = flows[3].mean(where=np.isfinite(flows[3])) / 50
    flows[3] = np.round(flows[3] / unit) * unit  # a coarse meter
    first, *others = score(flows, 30)
    assert others == [[], [], []]
    assert [each["end"] for each in first] == [None]
    assert 0 < first[0]["start"] - LEAKS[0][0].start <= DAY


def test_a_raised_alarm_says_what_was_seen() -> None:
    flows = years([[Leak(20 * DAY, 40 * DAY, 0.1)]], 45)
    mean = float(flows[0, : 14 * DAY].mean())
    watch = InflowWatch(1, 30)
    (at, up), (ended, down) = run(watch, flows)
    assert (up.series, up.kind, up.up, down.up) == (0, Kind.BURST, True, False)
    assert 20 * DAY < at <= 20 * DAY + 8
    assert up.sure_pct > 99.9 and up.seen["sigma"] > 5 and up.seen["age_h"] >= 2
    lost = 0.1 * mean * 1000 * (ended - 20 * DAY) / 2
    assert down.litres == pytest.approx(lost, rel=0.15)
    assert watch.lph()[0] == 0


def test_other_steps_than_half_an_hour() -> None:
    for step_min in (15, 60):
        day = 1440 // step_min
        leaks = [Leak(20 * day, 40 * day, 0.06)]
        flows = np.array(
            [inflow(9, 45, leaks, step_min=step_min), inflow(8, 45, [], step_min=step_min)]
        )
        (alarm,), none = score(flows, step_min)
        assert none == []
        assert 0 < alarm["start"] - 20 * day <= day
        assert 0 < alarm["end"] - 40 * day <= 2 * day


def test_the_place_in_the_week_may_be_told() -> None:
    """An hour is skipped, as in spring: with the local slot no pattern is broken."""
    flows = years([[], []], 40)
    skip = 30 * DAY
    watch = InflowWatch(2, 30)
    changes = []
    for at in range(39 * DAY):
        local = at + 2 if at >= skip else at
        changes += watch.step(flows[:, local], local % (7 * DAY))
    assert changes == []


def test_neighbours_or_the_weather_explain_what_a_leak_does_not() -> None:
    """Days that differ alike in four districts hide a leak of 4 %, until they are known."""
    hours, at = 90 * 24, 80 * 24
    leaks: list[list[Leak]] = [[Leak(at, hours, 0.04)], [], [], []]
    flows = np.array([inflow(5 + n, 90, each, step_min=60) for n, each in enumerate(leaks)])
    chance = np.random.default_rng(4)
    weather = np.zeros(hours)
    for now in range(1, hours):  # it lasts a day or two
        weather[now] = 0.97 * weather[now - 1] + chance.normal(0, 0.25)
    flows *= 1 + 0.03 * weather * np.array([[1.0], [0.8], [1.1], [0.7]])

    def found(watch: InflowWatch, *, told: bool = False) -> list[int]:
        changes = [
            (now, each)
            for now in range(hours)
            for each in watch.step(
                flows[:, now], None, np.full((1, 4), weather[now]) if told else None
            )
        ]
        assert [each.series for _, each in changes if each.up] == [0]
        return [now - at for now, _ in changes]

    (alone,) = found(InflowWatch(4, 60))
    (by_weather,) = found(InflowWatch(4, 60, causes=1), told=True)
    (by_neighbours,) = found(InflowWatch(4, 60, peers=np.zeros(4)))
    assert 0 < by_weather <= alone / 2
    assert 0 < by_neighbours <= alone / 2


def frozen(watch: InflowWatch) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = watch.saved()
    np.savez(file, **arrays)
    return file.getvalue()


def thawed(count: int, state: bytes) -> InflowWatch:
    watch = InflowWatch(count, 30)
    with np.load(io.BytesIO(state)) as arrays:
        watch.restore(dict(arrays))
    return watch


@pytest.fixture(scope="module")
def standing() -> tuple[NDArray[np.float64], int, bytes]:
    """A watch in its third week, a minute before a leak begins."""
    at = 16 * DAY
    flows = years([[Leak(at, 30 * DAY, 0.05)], []], 30)
    watch = InflowWatch(2, 30)
    run(watch, flows[:, :at])
    return flows, at, frozen(watch)


@settings(max_examples=6, deadline=None)
@given(stop=st.integers(1, 2 * DAY - 1))
def test_a_restart_changes_nothing(
    standing: tuple[NDArray[np.float64], int, bytes], stop: int
) -> None:
    flows, at, state = standing
    part = flows[:, at : at + 2 * DAY]
    whole = thawed(2, state)
    changes = run(whole, part)
    first = thawed(2, state)
    early = run(first, part[:, :stop])
    second = thawed(2, frozen(first))
    late = run(second, part[:, stop:])
    assert early + [(stop + n, each) for n, each in late] == changes
    assert frozen(second) == frozen(whole)
    assert [each.up for _, each in changes] == [True]


@settings(max_examples=6, deadline=None)
@given(late=st.sets(st.integers(0, 2 * DAY - 1), min_size=1), times=st.integers(1, 2))
def test_late_and_repeated_reads_change_nothing(
    standing: tuple[NDArray[np.float64], int, bytes], late: set[int], times: int
) -> None:
    """They are replayed from a checkpoint before them, which nothing that was read has changed."""
    flows, at, state = standing
    part = flows[:, at : at + 2 * DAY]
    in_time = thawed(2, state)
    expected = run(in_time, part)
    watch = thawed(2, state)
    run(watch, np.where(np.isin(np.arange(2 * DAY), list(late)), np.nan, part))
    for _ in range(times):
        watch = thawed(2, state)
        assert run(watch, part) == expected
    assert frozen(watch) == frozen(in_time)


@pytest.mark.parametrize("share", [0.04, 0.3])
def test_what_an_operator_accepts_is_usual_and_a_later_leak_is_none(share: float) -> None:
    flows = years([[Leak(20 * DAY, 80 * DAY, share), Leak(60 * DAY, 80 * DAY, 0.1)]], 80)
    watch = InflowWatch(1, 30)
    ((at, up),) = run(watch, flows[:, : 23 * DAY])
    assert up.up and at > 20 * DAY
    watch.accept(0)
    assert watch.lph()[0] == 0
    state = watch.saved()
    ((at, found),) = run(watch, flows[:, 23 * DAY :])
    assert found.up and 37 * DAY < at <= 37 * DAY + 8
    again = InflowWatch(1, 30)
    again.restore(state)
    assert run(again, flows[:, 23 * DAY :]) == [(at, found)]


def test_a_state_of_other_series_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alarm\.up"):
        InflowWatch(2, 30).restore(InflowWatch(3, 30).saved())


def test_the_command_writes_alarms_of_each_series(tmp_path: Path) -> None:
    flows = years([[Leak(20 * DAY, 30 * DAY, 0.1)], []], 35)
    np.savez(tmp_path / "a.npz", inflow=flows.astype(np.float32))
    out = tmp_path / "alarms.json"
    words = ("leaks", "score", "dma-inflow", tmp_path / "a.npz", "--step-min", "30", "--out", out)
    assert kerbline(*words).returncode == 0
    (alarm,), none = json.loads(out.read_text())
    assert none == [] and set(alarm) == {"start", "end"}
    assert 20 * DAY <= alarm["start"] < 20 * DAY + 8
    assert 30 * DAY < alarm["end"] < 32 * DAY


def test_the_command_refuses_a_file_of_another_form(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", flow=np.ones((2, 96)))
    out = tmp_path / "alarms.json"
    words = ("leaks", "score", "dma-inflow", tmp_path / "b.npz", "--step-min", "30", "--out", out)
    done = kerbline(*words)
    assert done.returncode == 2 and not out.exists()
    assert done.stderr == f"{tmp_path}/b.npz: no array inflow; it holds flow\n"


FLOWS = np.ones((2, 96))
READS = np.ones((2, 96), np.uint32)


@pytest.mark.parametrize(
    ("arrays", "step_min", "told"),
    [
        ({"inflow": FLOWS[0]}, 30, "inflow has shape (96,): give series x time"),
        ({"inflow": FLOWS}, 7, "--step-min 7: a day is no whole number of such steps"),
        ({"inflow": np.full((1, 96), np.inf)}, 30, "inflow holds infinite values"),
        ({"inflow": np.full((1, 96), "1")}, 30, "inflow is of <U1: give numbers in m3/h"),
        ({"inflow": np.full((1, 9), None)}, 30, "inflow holds objects: give numbers"),
        ({"reads": FLOWS}, 15, "reads are of float64: give whole litres as uint32"),
        ({"reads": READS.astype(np.int64) - 9}, 15, "reads pass what uint32 holds"),
        ({"reads": READS, "missing": np.zeros((2, 11), np.uint8)}, 15, "numpy.packbits(mask"),
        ({"reads": READS}, 15, "no array inflow_total_l; it holds reads"),
        ({"reads": READS, "inflow_total_l": FLOWS[0, :5]}, 15, "give 96 numbers, one for each"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, arrays: dict[str, Any], step_min: int, told: str
) -> None:
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(leakfiles.LeakFileError, match=re.escape(told)):
        read(tmp_path / "c.npz", step_min)


def read(path: Path, step_min: int) -> None:
    """As the commands do, by what is in the file."""
    if "inflow" in np.load(path).files:
        leakfiles.read_inflow(path, step_min)
    else:
        reads = leakfiles.read_meters(path, step_min).reads
        leakfiles.read_inflow_total(path, reads.shape[1])


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"no zip")
    with pytest.raises(leakfiles.LeakFileError, match=r"no \.npz file that can be read"):
        leakfiles.read_inflow(tmp_path / "d.npz", 30)
    np.save(tmp_path / "e.npy", FLOWS)
    with pytest.raises(leakfiles.LeakFileError, match=r"numpy\.savez"):
        leakfiles.read_inflow(tmp_path / "e.npy", 30)


def test_an_even_flow_feigns_no_leak() -> None:
    """Its week is noise alone, and to what that tells all of the flow may be a leak."""
    noise = np.random.default_rng(9).normal(0, 0.1, (TIGHT, 90 * DAY))
    assert score(30 * (1 + noise), 30) == [[]] * TIGHT


def member(content: bytes) -> bytes:
    """An archive whose only array is `content`, whatever that is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as into:
        into.writestr("inflow.npy", content)
    return archive.getvalue()


def damaged() -> bytes:
    """A compressed archive of which the begin of its array is lost."""
    archive = io.BytesIO()
    np.savez_compressed(archive, inflow=np.arange(9.0)[None])
    whole = bytearray(archive.getvalue())
    whole[60:66] = b"xxxxxx"
    return bytes(whole)


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }"


@pytest.mark.parametrize(
    "content",
    [
        damaged(),
        member(b"no array"),
        member(b"\x93NUMPY\x01\x00v\x00" + HEADER.ljust(117) + b"\n"),
    ],
    ids=["damaged", "no array", "larger than memory"],
)
def test_an_array_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(leakfiles.LeakFileError, match="inflow"):
        leakfiles.read_inflow(tmp_path / "f.npz", 30)


def test_no_message_advises_to_load_what_may_run_code(tmp_path: Path) -> None:
    (tmp_path / "g.npz").write_bytes(pickle.dumps([1]))
    with pytest.raises(leakfiles.LeakFileError) as refused:
        leakfiles.read_inflow(tmp_path / "g.npz", 30)
    assert "pickle" not in str(refused.value)
    np.savez(tmp_path / "h.npz", inflow=np.full((1, 9), None))
    with pytest.raises(leakfiles.LeakFileError, match="inflow holds objects") as refused:
        leakfiles.read_inflow(tmp_path / "h.npz", 30)
    assert "pickle" not in str(refused.value)


def test_the_missing_bits_start_with_the_highest(tmp_path: Path) -> None:
    mask = np.zeros((2, 13), np.bool_)
    mask[0, 0] = mask[1, 12] = True
    packed = np.packbits(mask, axis=1)
    np.savez(tmp_path / "f.npz", reads=np.zeros((2, 13), np.uint32), missing=packed)
    found = leakfiles.read_meters(tmp_path / "f.npz", 15)
    assert found.missing is not None
    assert np.array_equal(found.missing, mask)
