"""Simulated streets owe nobody light and save what they may: a part of `make bench-light`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests import light_traffic
from tests.budgets import bench_light_energy as bench


@pytest.mark.parametrize("seed", range(100, 103))
def test_a_street_drawn_from_a_seed_owes_nobody_light(tmp_path: Path, seed: int) -> None:
    keys, walks = bench.other(Random(seed))
    run = bench.played(tmp_path, {**keys, "days": 0.05}, walks, seed)
    assert run.verdict.violation_s == 0, run.verdict.first


def test_a_night_of_the_targets_street(tmp_path: Path) -> None:
    keys: dict[str, object] = {"days": 1, "start": "2025-03-20T12:00:00Z"}
    run = bench.played(tmp_path, keys, light_traffic.vehicles(300), 5)
    assert run.verdict.violation_s == 0, run.verdict.first
    saved, best = run.verdict.saved()
    assert saved >= 0.65
    assert saved / best >= 0.9


def test_who_is_there_already_when_night_falls_is_lit_with_its_first_second(
    tmp_path: Path,
) -> None:
    """Slow walkers all over the street at dusk, in blind gaps too; and at dawn."""
    keys: dict[str, object] = {
        "days": 0.75,
        "start": "2025-03-20T15:00:00Z",
        "lamps": 8,
        "spacing_m": 50,
        "sensor_range_m": 8,
    }
    walks = [light_traffic.Walk("pedestrian", 1000, 0.5, 1.5)]
    run = bench.played(tmp_path, keys, walks, 1)
    assert run.verdict.dark_users > 25
    assert run.verdict.violation_s == 0, run.verdict.first


def test_a_street_that_goes_on_behind_its_last_lamp_is_lit_to_its_end(tmp_path: Path) -> None:
    """Some call the street's length one spacing more: who comes from there is owed light there."""
    keys: dict[str, object] = {"days": 0.1, "start": "2025-03-20T19:00:00Z", "lamps": 8}
    run = bench.played(tmp_path, keys, light_traffic.vehicles(1000), 1, length_m=240)
    assert run.verdict.dark_users > 10
    assert run.verdict.violation_s == 0, run.verdict.first
