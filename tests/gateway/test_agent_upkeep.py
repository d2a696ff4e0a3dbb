"""What the agent says when its store was damaged, and of its own numbers after a restart."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from kerbline.agent import upkeep
from kerbline.agent.records import Records
from kerbline.clock import ManualClock
from kerbline.config import Config, Gateway
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.model import Alarm, Entry, Gap
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, GroupPolicy, Store

START_MS = 1_790_000_000_000


async def one_life(folder: Path) -> list[Entry]:
    """Open, resume, look after the store once, stop in order; what the log holds then."""
    store = Store.open(folder / "store.db")
    clock = ManualClock(START_MS)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    config = Config(Gateway("gw", folder))
    nodes = Nodes(config, KeyRing(folder / "keys"), clock, Counters())
    epoch = store.begin_epoch(clock.utc_ms() // 1000)
    records = Records("gw", epoch, group, [], nodes, clock)
    await records.resume(store.undeclared)
    watching = asyncio.create_task(upkeep.watch("gw", store, group, records))
    await asyncio.sleep(0)
    group.stop()
    await group.run()
    watching.cancel()
    entries = [entry for batch in store.read(0, 100) for entry in batch.entries]
    await group.close()
    return entries


def test_a_store_set_aside_is_an_alarm_and_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database at all" * 500)
    with caplog.at_level(logging.ERROR):
        first = asyncio.run(one_life(tmp_path))
    alarms = [entry for entry in first if isinstance(entry, Alarm)]
    assert [(a.asset, a.rule, a.active) for a in alarms] == [("gw", "store_lost", True)]
    assert "set aside as" in caplog.text

    second = asyncio.run(one_life(tmp_path))
    gaps = [entry for entry in second if isinstance(entry, Gap)]
    own = alarms[0].key
    assert [(g.source, g.epoch, g.first, g.last) for g in gaps] == [
        ("gw", own.epoch, own.number + 1, None)
    ]


async def jumping(folder: Path) -> None:
    """The clock runs, is set back by an hour, and runs."""
    store = Store.open(folder / "store.db")
    clock = ManualClock(START_MS)
    group = GroupCommit(store, GroupPolicy(), clock.utc_ms)
    nodes = Nodes(Config(Gateway("gw", folder)), KeyRing(folder / "keys"), clock, Counters())
    records = Records("gw", 1, group, [], nodes, clock)
    watching = asyncio.create_task(upkeep.watch("gw", store, group, records, look_s=0))

    async def looks() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    await looks()
    clock.advance(90_000)
    await looks()
    clock.set_utc(clock.utc_ms() - 3_600_000)
    await looks()
    clock.advance(2_000)
    await looks()
    watching.cancel()
    await group.close()


def test_a_clock_that_jumps_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(jumping(tmp_path))
    assert [text for text in caplog.messages if "clock" in text] == [
        "this machine's clock jumped by -3600 s; what comes is dated by it"
    ]
