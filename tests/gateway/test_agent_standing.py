"""Alarms of Modbus devices: they end after a restart, too, and are dated by the street's clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kerbline.agent.records import Records
from kerbline.agent.standing import Standing
from kerbline.clock import ManualClock
from kerbline.config.modbus import AlarmRule, Register
from kerbline.model import Alarm
from kerbline.south.modbus.deadband import Reports
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.samples import stored

START_MS = 1_790_000_000_000
HOT = Register("cabinet_c", 0, deadband=1.0, alarms=(AlarmRule("hot", above=60.0),))


async def live(path: Path, values: list[float]) -> list[tuple[int, str, bool]]:
    """One life of a gateway: a value each second; the alarms of its log at its end."""
    store = Store.open(path)
    clock = ManualClock(START_MS)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    epoch = store.begin_epoch(clock.utc_ms() // 1_000)
    records = Records("gw", epoch, group, (), None, clock)  # type: ignore[arg-type]
    standing = Standing(store, group)
    reports = Reports("cabinet-1", [HOT])
    reports.recall(standing.names.get("cabinet-1", ()))
    for second, value in enumerate(values):
        burst = reports.told({"cabinet_c": value}, START_MS + second * 1_000, ())
        await records.polled(burst)
        for measured in burst:
            standing.note(measured.findings)
            await records.found_at(measured.findings)
    group.stop()
    await group.run()
    found = [
        (alarm.observed_at_ms, alarm.rule, alarm.active)
        for alarm in stored(store)
        if isinstance(alarm, Alarm)
    ]
    await group.close()
    return found


def test_an_alarm_ends_in_another_life_than_it_began(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    began = (START_MS + 1_000, "hot", True)
    assert asyncio.run(live(path, [50.0, 61.0])) == [began]
    assert asyncio.run(live(path, [62.0, 63.0])) == [began]
    ended = (START_MS, "hot", False)
    assert asyncio.run(live(path, [50.0, 50.0])) == [began, ended]
    assert asyncio.run(live(path, [50.0, 50.0])) == [began, ended]
