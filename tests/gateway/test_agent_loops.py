"""The rules at work in the agent: what they know of a meter, and what time alone calls for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from kerbline.agent.light.loops import Loops, remembered
from kerbline.clock import ManualClock
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
