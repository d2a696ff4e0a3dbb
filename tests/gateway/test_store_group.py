"""Group commit: when it commits, what it announces, and what it does when the disk refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.model import Entry, Gap, Key
from kerbline.store import Committed, GroupCommit, GroupPolicy, Notes, Store, StoreBlocked
from tests.gateway.samples import T0_MS, alarm, numbers, reading, stored

NEVER_S = 1_000.0


class FullDisk(Store):
    """A store whose disk refuses the first commits."""

    refusals = 0
    third_refusal = threading.Event()
    mended = threading.Event()

    def append(self, entries: Sequence[Entry], at_ms: int, notes: Notes | None = None) -> Committed:
        """Refuse until mended."""
        if not self.mended.is_set():
            self.refusals += 1
            if self.refusals == 3:
                self.third_refusal.set()
            raise StoreBlocked("full")
        return super().append(entries, at_ms, notes)


class Refusing(Store):
    """A store whose disk is full for ever."""

    def append(self, entries: Sequence[Entry], at_ms: int, notes: Notes | None = None) -> Committed:
        """Refuse."""
        raise StoreBlocked("full")


def work(
    path: Path,
    policy: GroupPolicy,
    story: Callable[[GroupCommit], Awaitable[None]],
    kind: type[Store] = Store,
    own: str = "",
) -> Store:
    """Tell `story` with a running group commit; the store afterwards, open again."""

    async def scene() -> None:
        group = GroupCommit(kind.open(path), policy, lambda: T0_MS, own)
        running = asyncio.create_task(group.run())
        async with asyncio.timeout(60):
            await story(group)
            group.stop()
            await running
            await group.close()

    asyncio.run(scene())
    return Store.open(path)


def test_a_full_group_is_committed_at_once(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        for number in range(1, 8):
            await group.put(reading(number))
        committed = await group.committed()
        assert len(committed.entries) >= 5

    store = work(tmp_path / "s.db", GroupPolicy(5, NEVER_S), story)
    assert numbers(stored(store)) == list(range(1, 8)), "stop commits the rest"
    store.close()


def test_a_small_group_is_committed_after_its_interval(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        await group.put(reading(1))
        assert (await group.committed()).seq == 1

    work(tmp_path / "s.db", GroupPolicy(100, 0.01), story).close()


def test_an_alarm_takes_the_whole_group_along_at_once(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        await group.put(reading(1))
        await group.put(alarm(1))
        assert (await group.committed()).entries == (reading(1), alarm(1))

    work(tmp_path / "s.db", GroupPolicy(100, NEVER_S), story).close()


def test_more_than_a_commit_takes_goes_in_several(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        for number in range(1, 1_201):
            await group.put(reading(number))
        sizes = [len((await group.committed()).entries) for _ in range(3)]
        assert sizes == [500, 500, 200]

    work(tmp_path / "s.db", GroupPolicy(100, NEVER_S), story).close()


def test_a_noted_cursor_is_saved_even_when_nothing_comes(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        group.save_cursor("mqtt", 3)

    store = work(tmp_path / "s.db", GroupPolicy(100, NEVER_S), story)
    assert store.open_cursor("mqtt") == 3
    store.close()


def test_a_full_disk_does_not_hinder_the_end(tmp_path: Path) -> None:
    async def scene() -> None:
        store = Refusing.open(tmp_path / "s.db")
        group = GroupCommit(store, GroupPolicy(1, NEVER_S, retry_s=0.001), lambda: T0_MS)
        running = asyncio.create_task(group.run())
        await group.put(reading(1))
        group.stop()
        with pytest.raises(StoreBlocked):
            await running
        await group.close()

    asyncio.run(scene())


def test_a_full_disk_loses_nothing_and_stops_the_intake(tmp_path: Path) -> None:
    async def story(group: GroupCommit) -> None:
        for number in range(1, 11):
            await group.put(reading(number))
        waiting = asyncio.create_task(group.put(reading(11)))
        await asyncio.to_thread(FullDisk.third_refusal.wait)
        assert not waiting.done()
        assert group.pending == 10
        assert group.blocked == "full"
        FullDisk.mended.set()
        await waiting

    policy = GroupPolicy(5, NEVER_S, max_pending=10, retry_s=0.001)
    store = work(tmp_path / "s.db", policy, story, FullDisk)
    assert numbers(stored(store)) == list(range(1, 12))
    store.close()


class RefusingAtFirst(FullDisk):
    """The same, for a second story."""

    third_refusal = threading.Event()
    mended = threading.Event()


def test_a_disk_full_for_too_long_stops_nothing_and_each_loss_is_declared(tmp_path: Path) -> None:
    asked: set[str] = set()

    async def story(group: GroupCommit) -> None:
        await group.put(alarm(1))
        await asyncio.to_thread(RefusingAtFirst.third_refusal.wait)
        for number in range(2, 60):
            await group.put(reading(number, "sl-1"))
            await group.put(replace(reading(number, "gw-1", "modbus"), key=Key("gw-1", 1, number)))
            assert group.pending <= 20
        assert not group.passed_over()
        RefusingAtFirst.mended.set()
        while group.pending:
            await group.committed()
        asked.update(group.passed_over())

    policy = GroupPolicy(5, NEVER_S, max_pending=20, retry_s=0.001)
    store = work(tmp_path / "s.db", policy, story, RefusingAtFirst, "gw-1")
    entries = stored(store)
    assert entries[0] == alarm(1)
    kept = numbers(entries, "gw-1")
    gaps = [e for e in entries if isinstance(e, Gap)]
    assert {(g.source, g.epoch, g.reason) for g in gaps} == {("gw-1", 1, "store_blocked")}
    lost = [n for g in gaps for n in range(g.first, (g.last or 0) + 1)]
    assert sorted(kept + lost) == list(range(2, 60)), "ours: each stored, or declared"
    assert max(lost) < min(kept), "the oldest go"
    assert asked == {"sl-1"}, "a node's: asked for again"
    assert numbers(entries, "sl-1") == []
    store.close()
