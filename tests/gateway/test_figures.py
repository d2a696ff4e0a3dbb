"""Figures of the gateway's log: each once, whatever kills it, and from the log alone."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from kerbline.agent.figures import Figures
from kerbline.agent.records import Records
from kerbline.assets import Asset, Registry
from kerbline.clock import ManualClock
from kerbline.config import City
from kerbline.control import kpi, zone_water
from kerbline.control.kpi import HOUR_MS, Area, Days
from kerbline.model import Entry, Key, Reading
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests import steady
from tests.gateway.many_lives import killed
from tests.gateway.test_privacy import Nobody, Taken
from tests.gateway.test_zone_water import HOUR, T0_MS, ZONE, House, daily

DAYS = 5
UNTIL_MS = T0_MS + (24 * DAYS + 12) * HOUR_MS


def houses() -> list[House]:
    chance = random.Random(11)
    return [House(home, chance, 24 * DAYS, 1_000 * n) for n, home in enumerate(ZONE)]


def stream() -> list[tuple[int, Reading]]:
    """What comes in: each house once a day, and lamps by the hour, one of them broken for a day."""
    found = list(daily(houses(), DAYS, random.Random(12)))
    for hour in range(24 * DAYS):
        for n in range(4):
            at_ms = T0_MS + hour * HOUR_MS + (5 + n) * 60_000
            values = {"level_pct": 30, "status": 16 if n == 1 and 24 <= hour < 48 else 0}
            if n == 3 and hour >= 24 * 3:
                continue  # dead
            key = Key(f"sl-{n}", 1, hour + 1)
            found.append((at_ms, Reading(key, f"lamp-{n}", "streetlight", at_ms, 500, values)))
    return sorted(found, key=lambda each: each[0])


def registry() -> Registry:
    assets = [Asset(home, "WaterConsumptionObserved", zone="dma-4") for home in ZONE]
    assets += [Asset(f"lamp-{n}", "Streetlight", group="quay", zone="dma-4") for n in range(4)]
    kinds = dict.fromkeys(ZONE, "water_meter") | {f"lamp-{n}": "streetlight" for n in range(4)}
    return Registry("stad", assets, kinds, gateway="gw-1")


def kept(path: Path) -> list[Entry]:
    store = Store.open(path)
    found = [entry for batch in store.read(0, 1_000_000) for entry in batch.entries]
    store.close()
    return found


async def live(path: Path, tell: int = -1) -> None:
    """One life of a gateway: what the log lacks of the stream comes in; then nights without."""
    had = {each.key for each in kept(path) if isinstance(each, Reading)}
    left = [each for each in stream() if each[1].key not in had]
    clock = ManualClock(left[0][0] if left else UNTIL_MS + 40 * HOUR_MS)
    store = Store.open(path)
    group = GroupCommit(store, GroupPolicy(readings=9, interval_s=0.01), clock.utc_ms, "gw-1")
    figures = Figures("gw-1", City("stad"), registry(), store, group)
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    records = Records("gw-1", epoch, group, [figures], Nobody(), clock)  # type: ignore[arg-type]
    committing = asyncio.create_task(group.run())
    tasks = [
        asyncio.create_task(figures.run(records, look_s=0.002)),
        asyncio.create_task(records.confirm()),
    ]
    await records.resume(store.undeclared)
    paced_ms = clock.utc_ms()
    for came_ms, reading in left:
        if came_ms > paced_ms:  # a street's hours do not go by faster than commits
            paced_ms = came_ms + 4 * HOUR_MS
            while group.pending or figures._cursor < store.head:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        clock.advance(max(0, came_ms - clock.utc_ms()))
        await records.take(reading)
        if tell >= 0:
            os.write(tell, b".")
    while clock.utc_ms() < UNTIL_MS + 40 * HOUR_MS:
        clock.advance(HOUR_MS)
        await asyncio.sleep(0.01)
    for _ in range(2):  # it looks, and what it tells is durable
        await asyncio.sleep(0.1)
        while group.pending or figures._cursor < store.head:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    figures.note()
    group.stop()
    await committing
    for task in tasks:
        task.cancel()
    await group.close()


def judge(entries: Sequence[Entry]) -> None:
    """Each hour and day once, and right."""
    readings = [each for each in entries if isinstance(each, Reading)]
    hours = [each for each in readings if each.kind == zone_water.KIND]
    days = [each for each in readings if each.kind == kpi.KIND]
    for some in (hours, days):
        counts = Counter((each.asset, each.observed_at_ms) for each in some)
        assert set(counts.values()) == {1}
    of_hour = {each.observed_at_ms // HOUR_MS - 1 - HOUR: each for each in hours}
    whole = [hour for hour, each in of_hour.items() if each.values["households"] == len(ZONE)]
    assert set(range(25, 24 * (DAYS - 1))) <= set(whole)
    for hour in whole:
        assert of_hour[hour].values["consumed_l"] == sum(house.used(hour) for house in houses())
    for hour in of_hour.keys() - set(whole):
        few = of_hour[hour].values["households"]
        assert isinstance(few, int)
        assert ("consumed_l" in of_hour[hour].values) is (few >= 5)
        assert of_hour[hour].quality == (() if few >= 5 else ("withheld",))
    told = {(each.asset, each.observed_at_ms): each.values for each in days}
    began, over = T0_MS // (24 * HOUR_MS), 24 * HOUR_MS
    figures = {(area, end_ms // over - began): values for (area, end_ms), values in told.items()}
    assert figures["quay", 2] == {"lamp_availability_pct": 89.6, "group_completeness_pct": 100.0}
    assert figures["quay", 3] == {"lamp_availability_pct": 85.4, "group_completeness_pct": 100.0}
    assert figures["quay", 5] == {"lamp_availability_pct": 100.0, "group_completeness_pct": 75.0}
    assert figures["dma-4", 3] == {"zone_completeness_pct": 100.0}
    assert figures["dma-4", 5] == {"zone_completeness_pct": 90.0}


def test_a_whole_life(tmp_path: Path) -> None:
    path = tmp_path / "kerbline.db"
    steady.run(live(path))
    judge(kept(path))
    before = sum(isinstance(each, Reading) for each in kept(path))
    steady.run(live(path))
    assert sum(isinstance(each, Reading) for each in kept(path)) == before


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_no_hour_is_told_twice_or_lost(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "kerbline.db"
    killed(lambda tell: live(path, tell), random.Random(seed), range(1, 35), 12)
    judge(kept(path))


def test_a_figure_leaves_from_the_log_alone(tmp_path: Path) -> None:
    """Or a kill could have it told twice, and differently."""

    async def scene() -> None:
        clock = ManualClock(T0_MS)
        store = Store.open(tmp_path / "kerbline.db")
        group = GroupCommit(store, GroupPolicy(interval_s=0.01), clock.utc_ms, "gw-1")
        live = Taken()
        records = Records("gw-1", 1, group, [live], Nobody(), clock)  # type: ignore[arg-type]
        await records.worked_out("dma-4", zone_water.KIND, T0_MS, {"consumed_l": 4})
        group.stop()
        await group.run()
        await group.close()
        assert live.offered == []

    asyncio.run(scene())
    (told,) = kept(tmp_path / "kerbline.db")
    assert isinstance(told, Reading)
    assert (told.asset, told.kind, told.values) == ("dma-4", "zone_water", {"consumed_l": 4})


def test_days_come_late_but_once() -> None:
    days = Days()
    days.serve({"quay": Area(lamps=("lamp-1", "lamp-2"))})
    reading = Reading(Key("sl", 1, 1), "lamp-1", "streetlight", T0_MS, 0, {"status": 16})
    end_ms = T0_MS - T0_MS % kpi.DAY_MS + kpi.DAY_MS
    days.take(reading, T0_MS)
    assert days.due(end_ms + kpi.GRACE_MS - 1) == []
    (told,) = days.due(end_ms + kpi.GRACE_MS)
    expected = {"lamp_availability_pct": 0.0, "group_completeness_pct": 50.0}
    assert (told.area, told.end_ms, told.values) == ("quay", end_ms, expected)
    days.take(reading, end_ms + kpi.GRACE_MS + 1)
    assert days.due(end_ms + 2 * kpi.GRACE_MS) == []
    again = Days(days.saved())
    again.serve({"quay": Area(lamps=("lamp-1", "lamp-2"))})
    later_ms = end_ms + 2 * kpi.GRACE_MS
    assert [each.end_ms for each in again.due(later_ms)] == [end_ms]  # it was not in the log
    again = Days(days.saved())
    again.closed("quay", end_ms)
    again.serve({"quay": Area(lamps=("lamp-1", "lamp-2"))})
    assert again.due(later_ms) == []


def test_what_is_not_sure_is_of_no_day() -> None:
    days = Days()
    days.serve({"quay": Area(lamps=("lamp-1",))})
    now_ms = T0_MS + 9 * kpi.DAY_MS
    for at_ms, doubt_ms in ((now_ms, HOUR_MS), (now_ms + HOUR_MS, 0), (T0_MS, 0)):
        days.take(Reading(Key("sl", 1, 1), "lamp-1", "streetlight", at_ms, doubt_ms, {}), now_ms)
    days.take(Reading(Key("sl", 1, 1), "lamp-9", "streetlight", now_ms, 0, {}), now_ms)
    assert days.saved()["days"] == {}


def test_few_households_do_not_count_in_a_zones_completeness() -> None:
    members = zone_water.members(registry())
    found = kpi.areas(registry(), zone_water.households(members), 7)
    assert set(found["dma-4"].assets) == {f"lamp-{n}" for n in range(4)}
    found = kpi.areas(registry(), zone_water.households(members), 6)
    assert len(found["dma-4"].assets) == 10
