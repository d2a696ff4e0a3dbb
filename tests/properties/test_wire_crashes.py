"""Readings through a bad line and crashes of node, gateway and sink: what arrives is what was made.

A failing round is told by its seed. `make nightly` plays 10^6 readings with 1,000 crashes and goes
on where it was stopped.
"""

from pathlib import Path

import pytest

from kerbwire import messages as m
from tests.properties.crash_world import World
from tools.progress import WIRE, Progress

ROUNDS = 100
READINGS = 10_000  # of one round in a nightly run
CRASHES = 10
PLAYED = (*WIRE, "firmware/kerbnode", "gateway/kerbline/store", "tests/properties")


def _play(seed: int, folder: Path, readings: int, crashes: int) -> World:
    world = World(seed, folder)
    world.play(readings, crashes)
    world.verdict()
    world.gateway.store.close()
    return world


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_what_arrives_equals_what_was_made(seed: int, tmp_path: Path) -> None:
    world = _play(seed, tmp_path, 300, 12)
    assert world.crashes == 12
    assert len(world.sink.held) > 200


@pytest.mark.nightly
@pytest.mark.parametrize("shard", range(4))
def test_a_million_readings_and_a_thousand_crashes(shard: int, tmp_path: Path) -> None:
    for seed in Progress("crashes", PLAYED).left(range(shard, ROUNDS, 4)):
        world = _play(seed, tmp_path, READINGS, CRASHES)
        assert world.crashes == CRASHES, seed


def test_power_lost_with_reports_seen_but_not_flushed(tmp_path: Path) -> None:
    """Their numbers are never given again; what the gateway holds of them stays as it was."""
    world = World(2, tmp_path, quiet=True)
    world.settle()
    node = world.node
    for number in range(6):
        world.make(m.REPORT, (number, 1, 2, 3, 4, 5, 6))
        while node.session.wants(node.journal.next - 1):
            world.run(world.now + 100)
    live = {(node.journal.epoch, record[0]) for record in node.journal.pending}
    assert live
    assert not [number for _, number in live if node.session.wants(number)]
    node.power_cut()
    world.gateway.start(world.now)  # and nothing of it is durable behind the line
    world.run(world.now + 1000)
    for _ in range(80):
        world.make(m.REPORT, (9, 9, 9, 9, 9, 9, 9))  # the witness refuses a number given twice
        world.run(world.now + 200)
    world.settle()
    world.verdict()
    assert live <= world.witness.cut_off
