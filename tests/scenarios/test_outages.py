"""Kills of the gateway at every step, crossed with all that befalls a broker: nothing is lost.

`outages.py BROKER SEED KILLS FOLDER` plays one story by hand and leaves its logs.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kerbline.sim.broker import BrokerKind, program
from tests.scenarios.outages import Scene, Verdict, lanes
from tools.progress import Progress

GATEWAY = [f"gateway/kerbline/{room}" for room in ("agent", "north", "south", "store")]
CODE = [*GATEWAY, "tests/scenarios"]
SEEDS, KILLS = 20, 26  # of each broker: 1,040 kills in all


def here(kind: BrokerKind) -> pytest.MarkDecorator:
    return pytest.mark.skipif(program(kind) is None, reason=f"there is no {kind} here")


each_broker = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=here(kind)) for kind in BrokerKind]
)


def played(folder: Path, kind: BrokerKind, seed: int, kills: int) -> Verdict:
    folder.mkdir(exist_ok=True)
    return asyncio.run(Scene(folder, kind, seed).play(kills))


def assert_well(verdict: Verdict, kills: int) -> None:
    assert verdict.faults == []
    assert verdict.kills.total() == kills
    assert verdict.acked == verdict.made > 5 * kills
    assert verdict.repeats, "a kill costs repeats: without any it came at no bad moment"


@each_broker
def test_kills_and_outages_lose_nothing_and_double_nothing(
    kind: BrokerKind, tmp_path: Path
) -> None:
    verdict = played(tmp_path, kind, 1, 12)
    assert_well(verdict, 12)
    assert verdict.orders["OK"]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@each_broker
def test_a_thousand_kills_lose_nothing_and_double_nothing(kind: BrokerKind, tmp_path: Path) -> None:
    for seed in Progress(f"outages-{kind}", CODE).left(range(100, 100 + SEEDS)):
        verdict = played(tmp_path / str(seed), kind, seed, KILLS)
        assert verdict.faults == [], f"seed {seed}"
        assert_well(verdict, KILLS)


@here(BrokerKind.NATS)
@pytest.mark.parametrize("sin", ["kept_before_the_commit", "cursor_before_the_ack"])
def test_a_gateway_that_is_sure_too_early_is_caught(sin: str, tmp_path: Path) -> None:
    verdicts = []
    for seed in range(5, 9):  # the sin shows where a kill comes in its moment
        place = tmp_path / str(seed)
        place.mkdir()
        scene = Scene(place, BrokerKind.NATS, seed, sin, ("held",), "broker", stalled_s=5)
        verdicts.append(asyncio.run(scene.play(14)))
        if any("acknowledged and lost" in fault for fault in verdicts[-1].faults):
            return
    pytest.fail(f"nobody saw it: {verdicts}")


def test_an_order_that_two_lanes_keep_is_told_from_one_that_they_do_not() -> None:
    assert lanes([1, 2, 3, 4]) == 1
    assert lanes([1, 2, 7, 3, 8, 4, 5, 6, 9]) == 2
    assert lanes([3, 2, 1]) == 3
