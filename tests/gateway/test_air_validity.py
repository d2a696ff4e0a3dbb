"""Flags of particle sensors: faults as they are met in the field, and air that is only dirty."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kerbline.control.air.validity import Flag, Limits, Sample, State, judge
from kerbline.sim import air

DAYS = 16
LIMITS = Limits()
STEP_MS = air.STEP_MS


station = functools.cache(air.station)


def flagged(samples: Sequence[Sample]) -> list[tuple[Flag, ...]]:
    state, found = State(), []
    for sample in samples:
        state, flags = judge(LIMITS, state, sample)
        found.append(flags)
    return found


def alone(sample: Sample) -> Sample:
    """Without a second channel, and with nothing beside it."""
    return replace(sample, twin=None, beside=())


def test_healthy_air_is_hardly_ever_flagged() -> None:
    for strip in (alone, replace):
        found = [
            flags for seed in range(4) for flags in flagged(list(map(strip, station(seed, DAYS))))
        ]
        assert sum(map(bool, found)) <= 0.01 * len(found)


@pytest.mark.parametrize("fault", air.FAULTS)
def test_a_fault_is_flagged(fault: Flag) -> None:
    missed = 0
    for seed in range(2):
        samples, steps = air.faulty(station(seed, DAYS), fault, seed)
        found = flagged(samples)
        missed += not any(fault in found[step] for step in steps)
    assert missed == 0


def constant(count: int, pm2_5: float = 10.0, every_ms: int = STEP_MS) -> list[Sample]:
    """Nearly: it wanders by a tenth."""
    return [Sample(n * every_ms, pm2_5 + n % 3 / 10, 2 * pm2_5) for n in range(count)]


@pytest.mark.parametrize("value", [-0.1, 1000.1, math.nan, math.inf])
def test_what_no_sensor_can_tell(value: float) -> None:
    before = flagged(constant(20))
    assert not any(before)
    state = State()
    for sample in constant(20):
        state, _ = judge(LIMITS, state, sample)
    after, flags = judge(LIMITS, state, Sample(20 * STEP_MS, value))
    assert flags == (Flag.RANGE,)
    assert replace(after, at_ms=state.at_ms) == state  # it teaches nothing


def test_air_that_stays_high_is_a_spike_twice_at_most() -> None:
    samples = constant(20) + [
        replace(sample, at_ms=sample.at_ms + 20 * STEP_MS) for sample in constant(20, 120.0)
    ]
    spikes = [Flag.SPIKE in flags for flags in flagged(samples)]
    assert sum(spikes) <= 2
    assert spikes[20]


def test_a_plume_that_both_channels_see_is_none() -> None:
    samples = [replace(sample, twin=sample.pm2_5 + 0.3) for sample in constant(20)]
    plume = Sample(20 * STEP_MS, 120.0, 200.0, 110.0)
    assert flagged([*samples, plume])[-1] == ()
    assert flagged([*samples, replace(plume, twin=10.0)])[-1] == (Flag.SPIKE, Flag.CHANNELS)


def test_a_fan_that_says_so_is_believed_at_once() -> None:
    assert flagged([Sample(0, 10.0, is_fan_faulty=True)]) == [(Flag.FAN,)]


def test_clean_air_is_no_fan_at_rest() -> None:
    found = flagged(constant(200, 0.5))
    assert not any(Flag.FAN in flags for flags in found)


@pytest.mark.parametrize(("value", "hours"), [(0.0, 12), (3.0, 12), (3.1, 2), (12.0, 2)])
def test_clean_air_in_whole_numbers_is_not_stuck_so_soon(value: float, hours: int) -> None:
    found = flagged([Sample(n * STEP_MS, value, value) for n in range(6 * hours + 1)])
    assert not any(found[:-1])
    assert found[-1] == (Flag.STUCK,)


def test_a_sensor_that_tells_tenths_is_stuck_at_a_whole_number_too() -> None:
    wandering = constant(13, 2.9)
    stays = [Sample((13 + n) * STEP_MS, 3.0, 3.0) for n in range(13)]
    assert flagged([*wandering, *stays])[-1] == (Flag.STUCK,)


def test_an_older_sample_changes_nothing() -> None:
    state, _ = judge(LIMITS, State(), Sample(STEP_MS, 10.0))
    assert judge(LIMITS, state, Sample(STEP_MS, 900.0)) == (state, ())
    assert judge(LIMITS, state, Sample(0, 900.0)) == (state, ())
