"""Kills of the gateway at every step, crossed with all that befalls a broker: nothing is lost.

`outages.py BROKER SEED KILLS FOLDER` plays one story by hand and leaves its logs.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kerbline.sim.broker import BrokerKind, program
from tests.scenarios.nursery import PLACES
from tests.scenarios.outages import Scene, Spoken, Verdict, lanes
from tests.scenarios.tap import Tap
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
    assert verdict.kills.total() >= kills
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
@pytest.mark.parametrize(
    ("sin", "trouble", "kills", "fault"),
    [
        ("kept_before_the_commit", "held", 10, "acknowledged and lost"),
        ("cursor_before_the_ack", "slow", 8, "acknowledged and lost"),
        ("newest_first", "held", 3, "out of order"),
        ("not_written_down", "held", 10, "not in the book"),
    ],
)
def test_a_gateway_that_sins_is_caught(
    sin: str, trouble: str, kills: int, fault: str, tmp_path: Path
) -> None:
    verdicts = []
    # An order has left before the ledger hears of it: few kills at random come in between.
    places = ("order",) if sin == "not_written_down" else ("", "", *PLACES)
    for seed in range(5, 25):  # the sin shows where a kill comes in its moment
        place = tmp_path / str(seed)
        place.mkdir()
        scene = Scene(place, BrokerKind.NATS, seed, sin, (trouble,), "broker", 5, places)
        verdicts.append(asyncio.run(scene.play(kills)))
        if any(fault in said for said in verdicts[-1].faults):
            return
    pytest.fail(f"nobody saw it: {verdicts}")


def test_an_order_that_two_lanes_keep_is_told_from_one_that_they_do_not() -> None:
    assert lanes([1, 2, 3, 4]) == 1
    assert lanes([1, 2, 7, 3, 8, 4, 5, 6, 9]) == 2
    assert lanes([3, 2, 1]) == 3


def published(topic: str, payload: bytes, version: int) -> bytes:
    """A PUBLISH of QoS 1 as it goes over the line."""
    body = len(topic).to_bytes(2) + topic.encode() + b"\0\7" + b"\0" * (version == 5) + payload
    size = bytes([len(body) & 127 | 128, len(body) >> 7])
    return b"\x32" + size + body


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_the_order_is_heard_where_the_gateway_speaks(version: int, piece: int) -> None:
    said = b"\x10\x0c\0\4MQTT" + bytes([version]) + b"\2\0\x0f\0\0"
    for numbers in ([1, 2], [9], [3], [9, 4]):
        readings = [{"n": n, "why": "x" * 100} for n in numbers]
        told = {"source": "sl-1", "epoch": 7, "readings": readings}
        said += published("p/gw/sl-1/readings", json.dumps(told).encode(), version)
        said += published("p/gw/status", b"{}", version) + b"\x40\2\0\7"
    spoken = Spoken()
    for life in (1, 2):
        spoken.life = life
        tap = Tap(spoken.listener())
        spoken.life = 3  # begins while this connection still brings what was under way
        for start in range(0, len(said), piece):
            tap.take(said[start : start + piece])
    orders = {key: list(order) for key, order in spoken.order.items()}
    assert orders == {(life, "sl-1", 7): [1, 2, 9, 3, 4] for life in (1, 2)}
