"""The rules at work in the agent: what they know of a meter, and what time alone calls for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from kerbline.agent.light.loops import Loops, plan, remembered
from kerbline.agent.roll import Roll
from kerbline.clock import ManualClock
from kerbline.config import Config, Gateway, Node
from kerbline.config import Leak as LeakSection
from kerbline.control import leak, program
from kerbline.control.light.corridor import Corridor
from kerbline.model import Command, Finding, Key, Reading, Value
from kerbline.store import GroupCommit, GroupPolicy, Store

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def read(hour: float, volume_l: int) -> Reading:
    at_ms = START_MS + int(hour * HOUR_MS)
    number = int(hour * 4) + 1
    return Reading(
        Key("wm-1", 1, number), "meter-1", "water_meter", at_ms, 500, {"volume_l": volume_l}
    )


async def watch(path: Path, hours: range) -> list[Finding]:
    """One life of a gateway: reads of these hours, stored and then stopped in order."""
    store = Store.open(path)
    clock = ManualClock(START_MS)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    plan = program.Plan(leaks={"meter-1": leak.Rule("meter-1", 6.0)})
    loops = Loops(plan, clock, remembered(store), group)
    findings: list[Finding] = []
    for quarter in range(hours.start * 4, hours.stop * 4):
        reading = read(quarter / 4, 1_000 + 5 * quarter)
        findings += loops.consider(reading).findings
        await group.put(reading)
    group.stop()
    await group.run()
    await group.close()
    return findings


def test_a_leak_is_found_across_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert asyncio.run(watch(path, range(4))) == []
    found = asyncio.run(watch(path, range(4, 8)))
    assert [finding.active for finding in found] == [True]
    assert found[0].observed_at_ms == START_MS + 6 * HOUR_MS
    assert asyncio.run(watch(path, range(8, 12))) == []  # it stands, and is not raised again


def test_a_lamp_is_let_go_with_nothing_heard_of_it(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    corridor = Corridor(("lamp-1", "lamp-2"), (0.0, 30.0), 10.0)
    released: list[str] = []

    def told(event: str) -> Reading:
        values: dict[str, Value] = {"event": event, "value": 0}
        return Reading(Key("sl-1", 1, 1), "lamp-1", "event", clock.utc_ms(), 100, values)

    async def scenario() -> None:
        store = Store.open(tmp_path / "store.db")
        group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
        loops = Loops(program.Plan((corridor,)), clock, program.State(), group)
        over = asyncio.Event()

        def follow(commands: Sequence[Command]) -> None:
            released.extend(each.asset for each in commands if each.operation == "release")
            if program.next_ms(loops.state) is None:
                over.set()

        raised = loops.consider(told("motion")).commands
        assert [(each.asset, each.operation) for each in raised] == [
            ("lamp-1", "set_level"),
            ("lamp-2", "set_level"),
        ]
        clock.advance(2_000)
        loops.consider(told("motion_clear"))
        clock.advance(600_000)
        running = asyncio.create_task(loops.run(follow))
        await over.wait()
        running.cancel()
        group.stop()
        await group.run()
        await group.close()

    asyncio.run(scenario())
    assert sorted(released) == ["lamp-1", "lamp-2"]


def test_a_loop_ends_when_it_is_told_so_with_a_motion(tmp_path: Path) -> None:
    """Both at the same instant, while it waits for a time."""
    clock = ManualClock(START_MS)
    corridor = Corridor(("lamp-1", "lamp-2"), (0.0, 30.0), 10.0)

    def told(number: int, event: str) -> Reading:
        values: dict[str, Value] = {"event": event, "value": 0}
        return Reading(Key("sl-1", 1, number), "lamp-1", "event", clock.utc_ms(), 100, values)

    async def scenario() -> bool:
        store = Store.open(tmp_path / "store.db")
        group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
        loops = Loops(program.Plan((corridor,)), clock, program.State(), group)
        loops.consider(told(1, "motion"))
        running = asyncio.create_task(loops.run(lambda _: None))
        await asyncio.sleep(0.02)  # it waits by now
        loops.consider(told(2, "motion_clear"))
        await asyncio.sleep(0)  # what it waits for has come, and it has not looked yet
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=60)
        running.cancel()
        await group.close()
        return bool(done)

    assert asyncio.run(scenario())


class Notes:
    """Takes what is noted."""

    def save_memory(self, rule: str, asset: str, body: str) -> None:
        assert (rule, asset) == ("leak", "meter-1")
        self.body = body

    def note_decision(self, at_ms: int, body: str) -> None:
        raise AssertionError(body)


def test_a_meter_that_joins_is_watched_and_its_past_is_kept_while_it_is_gone() -> None:
    key = Path("wm-1.key")
    awaits = Config(Gateway("gw", Path("state")), leaks=(LeakSection("meter-1", 6.0),))
    kinds: dict[str, str] = {}
    loops = Loops(plan(awaits), ManualClock(START_MS), program.State(), Notes())
    roll = Roll(awaits, kinds, loops)

    def at(kind: str, quarters: range) -> list[Finding]:
        """With a node of that kind for it, or none."""
        kinds.clear()
        kinds.update({"meter-1": kind} if kind else {})
        roll.serve([Node("wm-1", "meter-1", kind, key, "udp")] if kind else [])
        reads = [read(quarter / 4, 1_000 + 5 * quarter) for quarter in quarters]
        return [found for each in reads for found in loops.consider(each).findings]

    assert at("", range(4)) == [] and not loops.state.leaks
    assert [each["asset"] for each in roll.told()["awaited"]] == ["meter-1"]
    assert at("streetlight", range(4, 8)) == [] and not loops.state.leaks
    assert [each["wanted"] for each in roll.told()["misfits"]] == ["water_meter"]
    assert [each.active for each in at("water_meter", range(8, 40))] == [True]
    assert roll.of("meter-1") == {"part_of": ["leak[1]"], "left_out": []}
    at("", range(0))
    assert at("water_meter", range(40, 44)) == [], "it is told, and goes on"
    assert roll.told() == {"awaited": [], "misfits": []}
