"""Campaigns that are killed, paused by failures, aborted, and whose clock is set, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from kerbline.sim import virtual_time
from kerbline.update.campaign import ABSENT_MS, Campaign, Run
from kerbline.update.states import ENDED, State
from kerbwire import messages as m
from tests.scenarios.update_fleet import Fate, Life, Street

YEAR_MS = 365 * 86_400_000
FATES = (Fate(refuses=m.UPDATE_FLASH), Fate(boots_fail=True), Fate(deaf=True), Fate(mute=True))


def campaign_of(life: Life) -> Campaign:
    assert life.updates.campaign is not None
    return life.updates.campaign


async def again(life: Life, folder: Path) -> Life:
    """A kill, and the next life."""
    await life.kill()
    following = Life(life.street, folder)
    following.start()
    return following


async def aborted(folder: Path, chance: Random) -> None:
    street = Street(folder, 40, chance.randrange(1_000), bus=chance.choice([0, 8, 40]))
    street.block_s = chance.choice([0.02, 0.5])
    for name in chance.sample(list(street.nodes), 6):
        street.nodes[name].fate = chance.choice(FATES)
    street.sleeping(list(street.nodes)[-3:], 600, 30)
    life = Life(street, folder)
    life.start()
    street.begin(life, stages=chance.choice([(100,), (10, 100)]), soak_min=0)
    for _ in range(chance.randrange(1, 6)):
        await asyncio.sleep(200 * chance.random())
        if campaign_of(life).course.run is Run.STOPPED:
            life.updates.turn(Run.RUNNING, "")
        life.clock.set_ms = chance.choice([0, 0, YEAR_MS, -YEAR_MS])
        life = await again(life, folder)
    await asyncio.sleep(100 * chance.random())
    for _ in range(2):  # the first one may be lost with a kill
        if campaign_of(life).live:
            life.updates.turn(Run.ABORTED, "")
        await asyncio.sleep(30 * chance.random())
        life = await again(life, folder)
    if campaign_of(life).live:
        life.updates.turn(Run.ABORTED, "")
    await asyncio.sleep(ABSENT_MS / 1_000 + 4 * 3_600)
    for member, progress in campaign_of(life).fleet.items():
        node = street.nodes[member.node]
        assert progress.state in ENDED, (member, progress)
        runs = node.build == street.bundle.build and not node.trial
        assert runs == (progress.state is State.DONE), (member, progress)
    await life.kill()


@pytest.mark.parametrize("seed", range(4))
def test_in_the_end_each_node_is_what_is_said_of_it(tmp_path: Path, seed: int) -> None:
    virtual_time.run(aborted(tmp_path, Random(seed)))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4, 200))
def test_in_the_end_each_of_many_is_what_is_said_of_it(tmp_path: Path, seed: int) -> None:
    virtual_time.run(aborted(tmp_path, Random(seed)))


async def paused_in_between(folder: Path) -> None:
    """Somebody pauses while the disk still takes what another one resumed."""
    slow: list[object] = []  # writes, of which the next one takes until somebody pauses

    async def waiting(call: Callable[[], object]) -> object:
        done = call()
        if slow:
            slow.clear()
            updates.turn(Run.PAUSED, "")
        return done

    street = Street(folder, 1, 0)
    life = Life(street, folder, waiting)
    updates = life.updates
    life.start()
    street.begin(life, stages=(100,), soak_min=0)
    await asyncio.sleep(2)
    assert street.nodes["sl-0000"].held, "it is receiving"
    updates.turn(Run.PAUSED, "")
    await asyncio.sleep(5)
    slow.append("next")
    updates.turn(Run.RUNNING, "")
    await asyncio.sleep(5)
    assert campaign_of(life).course.run is Run.PAUSED
    updates.turn(Run.RUNNING, "")
    await asyncio.sleep(30)
    ((_, progress),) = campaign_of(life).fleet.items()
    assert (progress.state, progress.tries) == (State.DONE, 0)
    await life.kill()


def test_a_pause_while_a_resume_is_made_durable_costs_no_try(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kerbline.update")
    virtual_time.run(paused_in_between(tmp_path))
    assert caplog.text.count("is paused: by an operator") == 2
    assert caplog.text.count("is resumed: by an operator") == 2
