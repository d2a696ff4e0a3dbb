"""A gateway that begins anew in the middle of a campaign: it goes on at once, and logs no order."""

import asyncio
from pathlib import Path

import pytest

from kerbline.sim import virtual_time
from kerbline.update.campaign import Run
from kerbline.update.journal import Journal
from kerbline.update.states import State
from kerbwire import messages as m
from tests.scenarios.update_fleet import Life, Street, until


async def killed_while(folder: Path, state: State) -> float:
    """Killed with a node in that state, which is durable; how long until it moved in a new life."""
    street = Street(folder, 1)
    street.block_s = 2.0  # so that a transfer takes longer than the journal waits
    life = Life(street, folder)
    life.start()
    street.begin(life)
    (node,) = street.nodes
    campaign = life.updates.campaign
    assert campaign is not None
    await until(lambda: campaign.fleet[node].state is state, 300.0, 0.5)
    await asyncio.sleep(5.5)
    assert campaign.fleet[node].state is state
    await life.kill()
    again = Life(street, folder)
    resumed = again.updates.campaign
    assert resumed is not None and resumed.fleet[node].state is state
    again.start()
    spent_s = await until(lambda: bool(again.offers[node]), 120.0, 0.5, bound=True)
    await again.kill()
    return spent_s


def test_a_transfer_goes_on_at_once(tmp_path: Path) -> None:
    assert virtual_time.run(killed_while(tmp_path, State.PARTS)) < 3


def test_an_order_of_before_is_not_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def ordered() -> None:
        street = Street(tmp_path, 1)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life)
        (node,) = street.nodes
        campaign = life.updates.campaign
        assert campaign is not None
        street.nodes[node].fate.deaf = True
        await until(lambda: campaign.fleet[node].state is State.ORDERED, 300.0, 0.5)
        await life.kill()
        street.awake.clear()
        again = Life(street, tmp_path)
        again.start()
        await asyncio.sleep(30)
        await again.kill()

    virtual_time.run(ordered())
    told = [each for each in caplog.messages if "is told to start" in each]
    assert len(told) == 1


def test_nothing_of_a_campaign_that_ended_comes_into_the_next_ones_journal(tmp_path: Path) -> None:
    """What a node said within the seconds that nothing is written, and what a full disk refused."""

    async def begun_again() -> None:
        street = Street(tmp_path, 8)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life)
        campaign = life.updates.campaign
        assert campaign is not None
        await until(lambda: campaign.fleet.count(State.ORDERED) > 0, 300.0, 0.5)
        (trying,) = campaign.fleet.within(State.ORDERED)
        journal = tmp_path / "updates" / "campaign" / "progress.jsonl"
        kept = journal.read_bytes()
        journal.unlink()
        journal.mkdir()  # the disk refuses
        life.updates.turn(Run.ABORTED, "by an operator")
        await life.updates.step()
        journal.rmdir()
        journal.write_bytes(kept)
        street.begin(life)
        await asyncio.sleep(30)
        await life.kill()
        again = Life(street, tmp_path)
        resumed = again.updates.campaign
        assert resumed is not None and resumed.course.run is Run.RUNNING
        assert resumed.fleet[trying].state is State.DONE
        assert resumed.fleet.count(State.GIVEN_UP, State.SKIPPED) == 0

    virtual_time.run(begun_again())


def test_what_ends_after_an_abort_is_durable_without_another_word(tmp_path: Path) -> None:
    async def aborted() -> None:
        street = Street(tmp_path, 1)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life)
        (node,) = street.nodes
        street.nodes[node].fate.deaf = True
        campaign = life.updates.campaign
        assert campaign is not None
        await until(lambda: campaign.fleet[node].state is State.ORDERED, 300.0, 0.5)
        life.updates.turn(Run.ABORTED, "by an operator")
        await until(lambda: campaign.fleet[node].state is not State.ORDERED, 900.0, 1.0)
        await asyncio.sleep(10)
        await life.kill()
        kept = Journal(tmp_path).read()
        assert kept is not None and kept.progress[node].state is State.FAILED

    virtual_time.run(aborted())


YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize("set_ms", [YEAR_MS, -YEAR_MS])
@pytest.mark.parametrize("state", [State.PARTS, State.ORDERED, State.DUE])
def test_a_clock_that_is_set_ends_no_wait_and_draws_none_out(
    tmp_path: Path, state: State, set_ms: int
) -> None:
    """Set while a node is in that state (the last one: after a try), and while a stage soaks."""

    async def jumped() -> None:
        street = Street(tmp_path, 100)
        street.block_s = 0.5
        life = Life(street, tmp_path)
        life.start()
        street.begin(life)
        campaign = life.updates.campaign
        assert campaign is not None
        first = street.plan().members[0].node
        if state is State.DUE:
            street.nodes[first].fate.refuses = m.UPDATE_FLASH
        progress = campaign.fleet
        await until(
            lambda: (
                progress[first].state is state
                and (state is not State.DUE or progress[first].tries > 0)
            ),
            300.0,
            0.1,
        )
        street.nodes[first].fate.refuses = 0
        life.clock.set_ms = set_ms
        await until(lambda: progress[first].state is State.DONE, 120.0, 0.5)
        assert progress[first].tries == (state is State.DUE)
        await asyncio.sleep(30)
        assert campaign.course.stage == 0 and campaign.course.settled_ms
        life.clock.set_ms = 0
        await asyncio.sleep(300)
        assert campaign.course.stage == 0
        await asyncio.sleep(300)
        assert campaign.course.stage == 1
        kept = Journal(tmp_path).read()
        assert kept is not None and kept.progress[first].state is State.DONE
        await life.kill()

    virtual_time.run(jumped())


def test_what_a_wrong_clock_left_on_the_disk_is_waited_for_no_longer_than_a_right_one(
    tmp_path: Path,
) -> None:
    async def begun_in_2099() -> None:
        street = Street(tmp_path, 2)
        life = Life(street, tmp_path)
        life.clock.set_ms = 70 * YEAR_MS
        life.start()
        street.begin(life, stages=(50, 100))
        campaign = life.updates.campaign
        assert campaign is not None
        first, second = (each.node for each in campaign.plan.members)
        await until(lambda: campaign.course.settled_ms > 0, 300.0, 1.0)
        await life.kill()
        again = Life(street, tmp_path)
        again.start()
        resumed = again.updates.campaign
        assert resumed is not None and resumed.course.settled_ms > again.clock.utc_ms()
        await until(lambda: resumed.fleet[second].state is State.DONE, 900.0, 1.0)
        assert resumed.fleet[first].state is State.DONE
        await again.kill()

    virtual_time.run(begun_in_2099())
