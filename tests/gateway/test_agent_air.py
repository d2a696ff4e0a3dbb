"""Air from nodes' reports to a sink's files: each hour, day and alarm once, whatever kills us."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerbline.agent.air import AirFigures
from kerbline.agent.city import sinks
from kerbline.agent.records import Records
from kerbline.assets import Asset, Registry
from kerbline.assets.asset import Location
from kerbline.clock import ManualClock
from kerbline.config import Config, load
from kerbline.control.air.averages import HOUR_MS
from kerbline.control.air.configured import settings
from kerbline.control.air.stations import Setting
from kerbline.counters import Counters as Counts
from kerbline.model import Reading
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests import steady
from tests.gateway.many_lives import killed
from tests.gateway.test_air_stations import T0_MS, clean, report
from tests.gateway.test_privacy import Nobody

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[[file]]
name = "archive"
folder = "archive"
[[node]]
id = "n-air-1"
asset = "air-1"
kind = "air_quality"
key_file = "node.key"
port = "udp"
report_s = 600
[udp]
listen = "127.0.0.1:5683"
[air]
sensor_type = "plantower"
[[air.threshold]]
name = "school"
pollutant = "no2"
above_ugm3 = 100
"""
HOURS = 27
DIRTY = range(60, 72)  # reports of two hours


def config(folder: Path) -> Config:
    (folder / "node.key").write_text("00112233445566778899aabbccddeeff")
    (folder / "node.key").chmod(0o600)
    (folder / "gateway.toml").write_text(CONFIG)
    return load(folder / "gateway.toml")


def stream() -> list[Reading]:
    made = clean("air-1", HOURS)
    for n in DIRTY:
        values = {**made[n].values, "no2_ppb": 70.0}
        made[n] = report("air-1", made[n].observed_at_ms, values, n + 1)
    return made


async def live(folder: Path, tell: int = -1) -> None:
    """One life of a gateway: what the log lacks of the stream comes in."""
    made = config(folder)
    made.gateway.state_dir.mkdir(exist_ok=True)
    store = Store.open(made.gateway.state_dir / "kerbline.db")
    entries = [entry for batch in store.read(0, 100_000) for entry in batch.entries]
    had = {each.key for each in entries if isinstance(each, Reading)}
    left = [each for each in stream() if each.key not in had]
    clock = ManualClock(left[0].observed_at_ms if left else T0_MS + HOURS * HOUR_MS)
    group = GroupCommit(store, GroupPolicy(readings=4, interval_s=0.002), clock.utc_ms, "gw-1")
    north = sinks.made(made, store, group, clock, Counts())
    air = AirFigures(made, None, store, group)
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    inlets = [*north.inlets, air]
    records = Records("gw-1", epoch, group, inlets, Nobody(), clock)  # type: ignore[arg-type]
    committing = asyncio.create_task(group.run())
    tasks = [
        asyncio.create_task(air.run(records, look_s=0.002)),
        asyncio.create_task(records.confirm()),
        *(asyncio.create_task(sink.run()) for sink in north.sinks),
    ]
    await records.resume(store.undeclared)
    for reading in left:
        clock.advance(max(0, reading.observed_at_ms - clock.utc_ms()))
        await records.take(reading)
        if tell >= 0:
            os.write(tell, b".")
        await asyncio.sleep(0.003)
    clock.advance(HOUR_MS)
    for _ in range(2):  # it looks, and what it tells is delivered
        await asyncio.sleep(0.1)
        while group.pending or air._cursor < store.head:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    while any(sink.cursor < store.head for sink in north.sinks):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    air.note()
    group.stop()
    await committing
    for task in tasks:
        task.cancel()
    for sink in north.sinks:
        await sink.close()
    await group.close()


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """What the sink wrote; a line that it wrote again after a kill counts once."""
    found: dict[str, None] = {}
    for path in sorted((folder / "archive").glob("*.jsonl")):
        found |= dict.fromkeys(path.read_text().splitlines())
    yield from map(json.loads, found)


def judge(folder: Path) -> list[tuple[object, ...]]:
    told = list(lines(folder))
    hours = [each for each in told if each.get("kind") == "air_hour"]
    days = [each for each in told if each.get("kind") == "air_day"]
    alarms = [each for each in told if each.get("rule") == "air_school"]
    assert set(Counter(each["observed_at_ms"] for each in hours).values()) == {1}
    assert len(hours) == HOURS - 1
    assert len(days) == 1
    assert days[0]["values"]["hours"] == 24
    assert days[0]["values"]["pm2_5_low95_ugm3"] < days[0]["values"]["pm2_5_corrected_ugm3"]
    assert [each["active"] for each in alarms] == [True, False]
    figures = (*hours, *days)
    return [(each["observed_at_ms"], sorted(each["values"].items())) for each in figures] + [
        (each["observed_at_ms"], each["active"]) for each in alarms
    ]


def test_killed_at_any_moment_a_sink_gets_the_same(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    steady.run(live(whole))
    killed(lambda tell: live(broken, tell), random.Random(3), range(10, 50), 4)
    assert judge(broken) == judge(whole)


def test_seasons_turn_over_where_the_list_says_so(tmp_path: Path) -> None:
    place = Location("Point", ((151.2, -33.9),))
    registry = Registry("sydney", [Asset("air-1", "AirQualityObserved", location=place)])
    assert settings(config(tmp_path), registry) == {"air-1": Setting(10, southern=True)}
    assert settings(config(tmp_path), None) == {"air-1": Setting(10)}


async def station_joins(folder: Path) -> None:
    loaded = config(folder)
    store = Store.open(folder / "s.db")
    group = GroupCommit(store, GroupPolicy(100, 10.0), lambda: 0, "gw-1")
    air = AirFigures(loaded, None, store, group)
    other = replace(loaded.nodes[0], id="n-air-2", asset="air-2", report_s=None)
    reading = clean("air-2", 1)[0]
    air._mind()
    air._take(reading, reading.observed_at_ms)
    assert "air-2" not in air.told()
    air.join((*loaded.nodes, other))
    air._mind()
    air._take(reading, reading.observed_at_ms)
    assert "air-2" in air.told()
    store.close()


def test_a_station_that_joins_is_followed_at_once(tmp_path: Path) -> None:
    asyncio.run(station_joins(tmp_path))
