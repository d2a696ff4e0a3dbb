"""What control decided stays in the store, bounded, and says what of it is there no more."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from kerbline.control.light.decision import Decision
from kerbline.store import FILE_NAME, GroupCommit, GroupPolicy, Notes, RetentionPolicy, Store
from kerbline.store import decisions as kept
from kerbline.store.reader import Reader
from kerbline.store.verify import verify
from tests.gateway.samples import T0_MS, reading


def note(store: Store, first: int, count: int, at_ms: int = T0_MS) -> None:
    given = [
        (number, at_ms + number, f"decision {number}") for number in range(first, first + count)
    ]
    store.append([], at_ms, Notes(decisions=given))


def read(path: Path, before_ms: int = 1 << 60) -> list[kept.Kept]:
    reader = Reader.open(path)
    try:
        return list(kept.newest_first(reader, before_ms))
    finally:
        reader.close()


def lost(path: Path) -> tuple[int, int]:
    reader = Reader.open(path)
    try:
        return kept.lost(reader)
    finally:
        reader.close()


def test_decisions_are_there_after_a_restart_newest_first(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = Store.open(path)
    note(store, 1, 3)
    note(store, 4, 2)
    store.close()
    store = Store.open(path)
    note(store, 1, 1, T0_MS + 100)
    store.close()
    found = read(path)
    assert [each.number for each in found] == [6, 5, 4, 3, 2, 1]
    assert found[0] == kept.Kept(6, T0_MS + 101, "decision 1")
    assert [each.number for each in read(path, T0_MS + 2)] == [2, 1]
    assert lost(path) == (0, T0_MS + 1)
    assert not verify(path).faults


def test_the_oldest_go_and_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = Store.open(path, RetentionPolicy(max_bytes=64_000))  # 4,000 bytes for decisions
    for group in range(200):
        note(store, 10 * group + 1, 10)
    store.close()
    found = read(path)
    gone, oldest_ms = lost(path)
    assert 100 < len(found) < 1_000
    assert [each.number for each in found] == list(range(2_000, gone, -1))
    assert oldest_ms == T0_MS + gone + 1
    sql = sqlite3.connect(path)
    (size,) = sql.execute("SELECT sum(length(body)) FROM decision").fetchone()
    sql.close()
    assert size <= 4_000


def test_a_passing_car_costs_few_bytes(tmp_path: Path) -> None:
    """Ten seconds of a busy street a commit; an entry in the book of commands is 220 bytes."""
    path, chance, number = tmp_path / FILE_NAME, random.Random(3), 0
    store = Store.open(path)
    for _ in range(40):
        given = []
        for _ in range(50):
            number += 1
            at_ms = T0_MS + 200 * number + chance.randrange(200)
            lamp = f"lamp-{chance.randrange(20)}"
            why = chance.choice(["somebody may be near", "nobody can be near"])
            full = Decision(at_ms, "dimming", "v1", why, "set_level", 100, 30, (lamp,))
            given.append((number, at_ms, full.body()))
        store.append([], T0_MS, Notes(decisions=given))
    store.close()
    sql = sqlite3.connect(path)
    (size,) = sql.execute("SELECT sum(length(body)) FROM decision").fetchone()
    sql.close()
    assert size / number < 16


def test_what_the_disk_did_not_take_is_missed_by_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = Store.open(path)
    note(store, 1, 2)
    note(store, 8, 2)
    store.close()
    assert [each.number for each in read(path)] == [9, 8, 2, 1]
    assert lost(path)[0] == 5


def test_decisions_hold_up_no_reading_and_wait_for_none(tmp_path: Path) -> None:
    """A flood of them is thinned, and they go with the commit that comes anyway."""

    async def scene() -> None:
        store = Store.open(tmp_path / FILE_NAME)
        group = GroupCommit(store, GroupPolicy(readings=3, interval_s=60.0), lambda: T0_MS)
        committing = asyncio.create_task(group.run())
        for number in range(5_000):
            group.note_decision(T0_MS + number, "x")
        assert store.head == 0
        for number in (1, 2, 3):
            await group.put(reading(number))
        committed = await asyncio.wait_for(group.committed(), 60)
        assert len(committed.entries) == 3
        group.stop()
        await committing
        await group.close()

    asyncio.run(scene())
    found = read(tmp_path / FILE_NAME)
    assert [each.number for each in found] == list(range(5_000, 3_000, -1))
    assert lost(tmp_path / FILE_NAME)[0] == 3_000


def test_a_row_with_a_flipped_bit_is_passed_over_and_found(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = Store.open(path)
    for group in range(3):
        note(store, 2 * group + 1, 2)
    store.close()
    sql = sqlite3.connect(path)
    sql.execute("UPDATE decision SET to_ms = to_ms + 1 WHERE last = 4")
    sql.commit()
    sql.close()
    assert [each.number for each in read(path)] == [6, 5, 2, 1]
    assert [each.what for each in verify(path).faults] == ["decision 4: the row's checksum differs"]


@pytest.mark.parametrize("opens", [True, False])
def test_a_store_of_an_earlier_version_has_none_and_gets_the_table(
    tmp_path: Path, *, opens: bool
) -> None:
    path = tmp_path / FILE_NAME
    Store.open(path).close()
    sql = sqlite3.connect(path)
    sql.execute("DROP TABLE decision")
    sql.commit()
    sql.close()
    if opens:
        store = Store.open(path)
        note(store, 1, 1)
        store.close()
    assert len(read(path)) == opens
    assert lost(path)[0] == 0
    assert not verify(path).faults
