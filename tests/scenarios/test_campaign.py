"""Campaigns in virtual time: to the end through kills, stopped by failures, paced, and polite."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from kerbline.sim import virtual_time
from kerbline.update.campaign import STREET_PCT, TRIALS, Campaign, Run
from kerbline.update.states import LINE_AWAY, TOO_OLD, State
from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES
from tests.scenarios.update_fleet import Fate, Life, LoopClock, Street, until

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


def campaign_of(street: Street) -> Campaign:
    assert street.life is not None and street.life.updates.campaign is not None
    return street.life.updates.campaign


def is_over(street: Street) -> bool:
    return campaign_of(street).course.run is not Run.RUNNING


def states(street: Street) -> dict[State, int]:
    fleet = campaign_of(street).fleet
    return {state: fleet.count(state) for state in State if fleet.count(state)}


def torn(folder: Path, chance: Random) -> None:
    """A kill may cut the last line of the journal anywhere."""
    path = folder / "updates" / "campaign" / "progress.jsonl"
    text = path.read_bytes()
    last = text.rstrip().rfind(b"\n")
    path.write_bytes(text[: chance.randrange(last, len(text))])


async def killed_often(folder: Path) -> tuple[Street, float]:
    street = Street(folder, 1_000, bus=16)
    street.sleeping(list(street.nodes)[500:540], HOUR_S, 30.0)
    chance = Random(4)
    life = Life(street, folder)
    life.start()
    street.begin(life)
    spent_s = 0.0
    for number in range(6):
        spent_s += await until(
            lambda: is_over(street), 900 + chance.randrange(120), 7.0, bound=True
        )
        await life.kill()
        if number < 3:
            torn(folder, chance)
        life = Life(street, folder)
        life.start()
    spent_s += await until(lambda: is_over(street), DAY_S)
    course = campaign_of(street).course
    await life.kill()
    street.life = life
    assert course.run is Run.ENDED
    return street, spent_s


def test_a_thousand_nodes_take_a_release_through_kills_of_the_gateway(tmp_path: Path) -> None:
    street, spent_s = virtual_time.run(killed_often(tmp_path))
    assert street.running() == 1_000
    assert states(street) == {State.DONE: 1_000}
    # What a node holds of a transfer is not sent again, and nobody starts twice for nothing.
    size = BLOCK_BYTES * -(-len(street.parts) // BLOCK_BYTES)
    size += BLOCK_BYTES * -(-len(street.bundle.signed_manifest) // BLOCK_BYTES)
    assert max(node.bytes for node in street.nodes.values()) <= size + BLOCK_BYTES
    assert max(node.starts for node in street.nodes.values()) == 1
    assert spent_s < 12 * HOUR_S


async def planted(folder: Path, count: int, places: list[int], fate: Fate) -> Street:
    street = Street(folder, count)
    life = Life(street, folder)
    members = street.plan().members
    for place in places:
        street.nodes[members[place].node].fate = fate
    life.start()
    street.begin(life, soak_min=0)
    await until(lambda: is_over(street), 10 * DAY_S)
    return street


def test_failures_of_two_percent_stop_a_campaign(tmp_path: Path) -> None:
    async def stopped() -> None:
        street = await planted(
            tmp_path, 1_000, list(range(150, 1_000, 10))[:60], Fate(boots_fail=True)
        )
        campaign = campaign_of(street)
        assert campaign.course.run is Run.STOPPED
        assert campaign.course.why == (
            "20 of 1000 nodes whose stage has begun failed, 2 % is too many"
        )
        starts = sum(node.starts for node in street.nodes.values())
        done = campaign.fleet.count(State.DONE)
        assert 0 <= starts - done - 20 <= TRIALS
        assert done < 400  # six in a hundred of the rest fail: it stops after a third of them
        await until(lambda: not campaign.fleet.count(State.TRIAL, State.ORDERED), HOUR_S)
        assert campaign.course.run is Run.STOPPED
        assert sum(node.starts for node in street.nodes.values()) == starts
        await campaign_life(street).kill()

    virtual_time.run(stopped())


def campaign_life(street: Street) -> Life:
    assert street.life is not None
    return street.life


def test_one_failure_of_the_first_stage_stops_a_campaign_and_resume_goes_on(
    tmp_path: Path,
) -> None:
    async def stopped() -> None:
        street = await planted(tmp_path, 200, [1], Fate(deaf=True))
        campaign = campaign_of(street)
        assert campaign.course.run is Run.STOPPED
        assert campaign.course.why.startswith("1 of 2 nodes")
        assert sum(node.starts for node in street.nodes.values()) <= 2
        (failed,) = campaign.fleet.within(State.FAILED)
        assert campaign.fleet[failed].why == (
            "rolled back: the new build had no word of the gateway for 120 s"
        )
        life = campaign_life(street)
        life.updates.turn(Run.RUNNING, "by an operator")
        await until(lambda: is_over(street), DAY_S)
        assert states(street) == {State.DONE: 199, State.FAILED: 1}
        assert campaign_of(street).course.run is Run.ENDED
        await life.kill()

    virtual_time.run(stopped())


def test_one_failure_in_a_hundred_does_not_stop_a_campaign(tmp_path: Path) -> None:
    async def went_on() -> None:
        street = await planted(
            tmp_path, 300, list(range(40, 300, 90)), Fate(refuses=m.UPDATE_NO_ROOM)
        )
        assert states(street) == {State.DONE: 297, State.FAILED: 3}
        (why,) = {
            campaign_of(street).fleet[n].why for n in campaign_of(street).fleet.within(State.FAILED)
        }
        assert why == "refused: no room on the node's flash"
        await campaign_life(street).kill()

    virtual_time.run(went_on())


def test_who_rolls_back_while_the_gateway_is_down_has_not_failed(tmp_path: Path) -> None:
    async def excused() -> None:
        street = Street(tmp_path, 60)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(100,), soak_min=0)
        await until(lambda: any(node.trial for node in street.nodes.values()), HOUR_S, 1.0)
        trying = [node for node in street.nodes.values() if node.trial]
        await life.kill()
        await until(lambda: not any(node.trial for node in trying), HOUR_S)
        life = Life(street, tmp_path)
        life.start()
        await until(
            lambda: any(LINE_AWAY in p.why for _, p in campaign_of(street).fleet.items()), 60
        )
        await until(lambda: is_over(street), DAY_S)
        assert states(street) == {State.DONE: 60}
        assert [node.starts for node in trying] == [2] * len(trying)
        await life.kill()

    virtual_time.run(excused())


def test_who_rolls_back_while_its_line_is_away_has_not_failed(tmp_path: Path) -> None:
    async def excused() -> None:
        street = Street(tmp_path, 40, bus=8)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(100,), soak_min=0)
        on_bus = [node for node in street.nodes.values() if street.lines[node.name] == "bus"]
        await until(lambda: any(node.trial for node in on_bus), HOUR_S, 1.0)
        trying = next(node for node in on_bus if node.trial)
        street.cuts.add("bus")
        await until(lambda: not trying.trial, HOUR_S)
        street.cuts.clear()
        for node in on_bus:
            node.wake()
        await until(lambda: is_over(street), DAY_S)
        assert states(street) == {State.DONE: 40}
        assert trying.starts == 2
        await life.kill()

    virtual_time.run(excused())


def test_a_release_that_no_node_can_run_is_given_up_though_the_line_breaks(tmp_path: Path) -> None:
    """Excuses end: the next trial with a gateway there is counted."""

    async def counted() -> None:
        street = Street(tmp_path, 8)
        for node in street.nodes.values():
            node.fate = Fate(deaf=True)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(1, 100), soak_min=0)
        await until(lambda: any(node.trial for node in street.nodes.values()), HOUR_S, 1.0)
        await life.kill()
        life = Life(street, tmp_path)
        life.start()
        await until(lambda: is_over(street), DAY_S)
        assert campaign_of(street).course.run is Run.STOPPED
        assert sum(node.starts for node in street.nodes.values()) == 2
        await life.kill()

    virtual_time.run(counted())


def test_a_release_that_makes_nodes_mute_stops_a_campaign_one_trial_later(tmp_path: Path) -> None:
    async def stopped() -> None:
        street = await planted(tmp_path, 1_000, list(range(1_000)), Fate(mute=True))
        assert campaign_of(street).course.why.startswith("1 of 10 nodes")
        starts = [node.starts for node in street.nodes.values() if node.starts]
        assert max(starts) == 2 and len(starts) <= 10
        await campaign_life(street).kill()

    virtual_time.run(stopped())


def test_a_street_never_restarts_all_at_once(tmp_path: Path) -> None:
    async def polite() -> None:
        street = Street(tmp_path, 200)  # four streets of 50
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(100,), soak_min=0)
        most: Counter[str] = Counter()
        while not is_over(street):
            members = campaign_of(street).fleet.members
            dark = Counter(members[n.name].street for n in street.nodes.values() if n.trial)
            most |= dark
            await until(lambda: True, 1.0, 1.0)
            await until(lambda: is_over(street), 1.0, 0.5, bound=True)
        assert set(most.values()) <= set(range(1, 50 * STREET_PCT // 100 + 1))
        assert states(street) == {State.DONE: 200}
        await life.kill()

    virtual_time.run(polite())


def test_nodes_restart_in_the_hours_that_are_given(tmp_path: Path) -> None:
    async def at_night() -> None:
        street = Street(tmp_path, 40)
        life = Life(street, tmp_path)
        life.start()
        plan = street.plan(window=(1_020, 1_080), time_zone="Europe/Stockholm")
        street.begin(life, window=(1_020, 1_080), time_zone="Europe/Stockholm", soak_min=0)
        started: list[int] = []
        while not is_over(street):
            before = sum(node.starts for node in street.nodes.values())
            await until(lambda: is_over(street), 60.0, 30.0, bound=True)
            if sum(node.starts for node in street.nodes.values()) > before:
                started.append(LoopClock().utc_ms())
        assert started and all(plan.in_window(at - 60_000) or plan.in_window(at) for at in started)
        assert states(street) == {State.DONE: 40}
        await life.kill()

    virtual_time.run(at_night())


def test_pause_holds_blocks_and_abort_leaves_whole_builds(tmp_path: Path) -> None:
    async def held() -> None:
        street = Street(tmp_path, 32, bus=32)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(100,), soak_min=0)
        await until(lambda: any(node.bytes for node in street.nodes.values()), HOUR_S, 1.0)
        life.updates.turn(Run.PAUSED, "by an operator")
        await life.updates.step()
        before = sum(node.bytes for node in street.nodes.values())
        await until(lambda: False, 600.0, bound=True)
        assert sum(node.bytes for node in street.nodes.values()) - before <= 2 * BLOCK_BYTES
        life.updates.turn(Run.RUNNING, "by an operator")
        await until(lambda: street.running() >= 3, DAY_S, 1.0)
        life.updates.turn(Run.ABORTED, "by an operator")
        await life.updates.step()
        await until(lambda: not any(node.trial for node in street.nodes.values()), HOUR_S)
        starts = sum(node.starts for node in street.nodes.values())
        await until(lambda: False, HOUR_S, 60.0, bound=True)
        assert sum(node.starts for node in street.nodes.values()) == starts == street.running()
        await life.kill()
        again = Life(street, tmp_path)
        again.start()
        await until(lambda: False, HOUR_S, 60.0, bound=True)
        assert campaign_of(street).course.run is Run.ABORTED
        assert set(states(street)) <= {State.DONE, State.GIVEN_UP, State.SKIPPED}
        assert states(street)[State.DONE] == starts
        assert sum(node.starts for node in street.nodes.values()) == starts
        await again.kill()

    virtual_time.run(held())


def test_blocks_take_no_more_than_their_share_of_a_slow_line(tmp_path: Path) -> None:
    async def paced() -> float:
        street = Street(tmp_path, 16, bus=16)
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, stages=(100,), soak_min=0)
        worst = 0.0
        carried = 0
        while not is_over(street):
            await until(lambda: is_over(street), 60.0, 10.0, bound=True)
            now = sum(node.bytes for node in street.nodes.values())
            worst = max(worst, (now - carried) / 960 / 60)
            carried = now
        assert states(street) == {State.DONE: 16}
        await life.kill()
        return worst

    assert 0.1 < virtual_time.run(paced()) <= 0.2


def test_who_is_too_old_or_silent_holds_up_nobody(tmp_path: Path) -> None:
    async def mixed() -> None:
        street = Street(tmp_path, 50)
        names = list(street.nodes)
        for name in names[:10]:
            street.nodes[name].messages = 2
        for name in names[10:15]:
            street.awake.discard(name)  # dead, for all that anybody knows
        life = Life(street, tmp_path)
        life.start()
        street.begin(life, soak_min=5)
        await until(lambda: street.running() == 35, 4 * DAY_S, 60.0)
        fleet = campaign_of(street).fleet
        assert {fleet[name].why for name in names[:10]} == {TOO_OLD}
        assert campaign_of(street).course.run is Run.RUNNING
        for name in names[10:14]:
            street.nodes[name].wake()
        await until(lambda: street.running() == 39, HOUR_S)
        assert campaign_of(street).course.run is Run.RUNNING
        street.removed.add(names[14])
        await until(lambda: is_over(street), HOUR_S)
        assert states(street) == {State.DONE: 39, State.SKIPPED: 11}
        await life.kill()

    virtual_time.run(mixed())
