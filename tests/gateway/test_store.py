"""The durable log: each record once, across restarts, damage and a second owner."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from kerbline.model import Entry, Gap, Key
from kerbline.store import (
    Anchor,
    Notes,
    Span,
    Store,
    StoreCorrupt,
    StoreTaken,
    StoreTooNew,
)
from kerbwire.ranges import RangeSet
from tests.gateway.samples import EPOCH, T0_MS, alarm, gap, numbers, reading, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "kerbline.db"


def reopened(store: Store, path: Path) -> Store:
    store.close()
    return Store.open(path)


def test_what_was_appended_is_read_in_order(path: Path) -> None:
    store = Store.open(path)
    entries: list[Entry] = [reading(1), alarm(1), gap(2, 5), reading(6)]
    committed = store.append(entries, T0_MS)
    assert committed.seq == store.head == 1
    assert committed.entries == tuple(entries)
    store = reopened(store, path)
    assert stored(store) == entries
    store.close()


def test_a_record_is_stored_once_in_a_group_and_across_a_restart(path: Path) -> None:
    store = Store.open(path)
    store.append([reading(1), reading(1), reading(2)], T0_MS)
    store = reopened(store, path)
    again = store.append([reading(2), reading(3)], T0_MS)
    assert numbers(list(again.entries)) == [3]
    assert again.kept == (Span("sl-1", EPOCH, 2, 3),), "the sender may delete the double too"
    assert store.append([reading(1)], T0_MS).seq == 0
    assert numbers(stored(store)) == [1, 2, 3]
    store.close()


def test_a_gap_is_cut_down_to_what_is_not_held(path: Path) -> None:
    store = Store.open(path)
    store.append([reading(2), reading(3)], T0_MS)
    assert store.append([gap(1, 6)], T0_MS).entries == (gap(1, 1), gap(4, 6))
    assert store.append([gap(1, 6)], T0_MS).entries == ()
    assert store.append([reading(5)], T0_MS).entries == (), "declared lost stays lost"
    assert store.append([gap(7, None, "log_lost")], T0_MS).entries == (gap(7, None, "log_lost"),)
    assert store.append([gap(7, None, "log_lost")], T0_MS).entries == ()
    store.close()


def test_a_log_that_is_found_again_is_stored_though_it_was_told_as_lost(path: Path) -> None:
    store = Store.open(path)
    other = replace(reading(1), key=Key("sl-1", EPOCH + 1, 1))
    store.append([reading(1), reading(2), gap(5, 6)], T0_MS)
    lost = store.append([gap(1, None, "log_lost"), other], T0_MS)
    assert lost.entries == (gap(3, None, "log_lost"), other)
    assert [(one.epoch, one.first, one.last) for one in lost.kept] == [(EPOCH + 1, 1, 1)]
    for saved in (False, True):
        if saved:
            store.keep_within(T0_MS)
        store = reopened(store, path)
        assert store.held("sl-1")[0] == EPOCH + 1
        assert store.append([gap(1, None, "log_lost")], T0_MS).entries == (), "said once"
    back = [reading(2), reading(3), reading(5), reading(7)]
    assert store.append(back, T0_MS).entries == (back[1], back[3])
    for saved in (False, True):
        if saved:
            store.keep_within(T0_MS)
        store = reopened(store, path)
        epoch, held = store.held("sl-1")
        assert (epoch, held.spans()) == (EPOCH, ((1, 3), (5, 7)))
    store.close()


def test_held_survives_with_and_without_the_saved_state(path: Path) -> None:
    store = Store.open(path)
    for number in range(1, 600, 2):
        store.append([reading(number)], T0_MS)
        if number == 401:  # what follows is not in the saved state
            store.keep_within(T0_MS)
    expected = RangeSet(tuple((n, n) for n in range(1, 600, 2)))
    for _ in range(2):
        epoch, held = store.held("sl-1")
        assert (epoch, held.spans()) == (EPOCH, expected.spans())
        store = reopened(store, path)
    assert store.held("nobody")[0] is None
    store.close()


def test_the_epoch_that_appeared_last_is_the_newest(path: Path) -> None:
    store = Store.open(path)
    for epoch in (900, 5, 70, 3, 8):
        store.append([Gap("sl-1", epoch, 1, 2, "power", T0_MS)], T0_MS)
        store.keep_within(T0_MS)
    store = reopened(store, path)
    assert store.held("sl-1")[0] == 8
    assert store.append([Gap("sl-1", 5, 1, 2, "power", T0_MS)], T0_MS).entries == ()
    store.close()


def test_notes_go_with_the_next_commit(path: Path) -> None:
    store = Store.open(path)
    assert store.open_cursor("mqtt") == 0
    notes = Notes(cursors={"mqtt": 4}, anchors={("sl-1", 9): Anchor(T0_MS, 20)})
    store.append([], T0_MS, notes)
    store = reopened(store, path)
    assert store.open_cursor("mqtt") == 4
    assert store.anchors() == {("sl-1", 9): Anchor(T0_MS, 20)}
    store.close()


def test_anchors_of_old_boots_are_forgotten(path: Path) -> None:
    store = Store.open(path)
    for boot in range(100):
        store.append([], T0_MS, Notes(anchors={("sl-1", boot): Anchor(boot, 1)}))
    store = reopened(store, path)
    assert sorted(boot for _, boot in store.anchors()) == list(range(68, 100))
    store.close()


def test_the_latest_reading_is_the_newest_and_not_the_last_come(path: Path) -> None:
    store = Store.open(path)
    store.append([reading(5), reading(4), reading(1, "wm-1", "water_meter")], T0_MS)
    store = reopened(store, path)
    assert {latest.key.number for latest in store.latest()} == {5, 1}
    store.close()


def test_epochs_rise_even_when_the_clock_does_not(path: Path) -> None:
    store = Store.open(path)
    assert store.begin_epoch(1000) == 1000
    store = reopened(store, path)
    assert store.begin_epoch(900) == 1001
    assert store.begin_epoch(5000) == 5000
    store.close()


@pytest.mark.parametrize("where", ["header", "start", "end", "all"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path, where: str) -> None:
    store = Store.open(path)
    for number in range(1, 400):
        store.append([reading(number)], T0_MS)
    store.close()
    text, chance = bytearray(path.read_bytes()), random.Random(1)
    size = len(text)
    parts = {"header": (0, 100), "start": (1024, size), "end": (size * 2 // 3, size)}
    first, last = parts.get(where, (0, size))
    text[first:last] = chance.randbytes(last - first)
    path.write_bytes(text)
    store = Store.open(path)
    assert store.quarantined == path.with_name(path.name + ".damaged-1")
    assert store.quarantined.exists()
    assert store.append([reading(1)], T0_MS).seq == 1
    assert reopened(store, path).quarantined is None


def test_damage_met_in_use_is_named_and_mended_by_the_next_open(path: Path) -> None:
    store = Store.open(path)
    for number in range(1, 400):
        store.append([reading(number)], T0_MS)
    store.keep_within(T0_MS)
    store.close()
    text = bytearray(path.read_bytes())
    leaves = [at for at in range(0, len(text), 1024) if text[at] == 0x0D]
    page = leaves[len(leaves) // 2]
    text[page : page + 1024] = bytes(1024)
    path.write_bytes(text)
    store = Store.open(path)
    with pytest.raises(StoreCorrupt, match="restart"):
        stored(store)
    store = reopened(store, path)
    assert store.quarantined is not None
    store.close()


def test_a_batch_that_cannot_be_read_is_declared_and_stops_nothing(path: Path) -> None:
    store = Store.open(path)
    for number in (1, 2, 3):
        store.append([reading(number)], T0_MS)
    store.close()
    with sqlite3.connect(path) as sql:
        sql.execute("UPDATE batch SET body = x'789c00' WHERE seq = 2")
    sql.close()
    store = Store.open(path)
    assert stored(store) == [reading(1), Gap("store", 0, 2, 2, "garbled", T0_MS), reading(3)]
    store.close()


def test_a_store_has_one_owner(path: Path) -> None:
    store = Store.open(path)
    with pytest.raises(StoreTaken, match="stop the other"):
        Store.open(path)
    path.with_name(path.name + ".lock").unlink()  # somebody tidies up
    with pytest.raises(StoreTaken, match="stop the other"):
        Store.open(path)
    store.close()
    Store.open(path).close()


def test_a_store_begun_anew_has_one_owner_too(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 500)
    store = Store.open(path)
    assert store.quarantined is not None
    path.with_name(path.name + ".lock").unlink()
    with pytest.raises(StoreTaken, match="stop the other"):
        Store.open(path)
    store.append([reading(1)], T0_MS)
    assert numbers(stored(store)) == [1]
    store.close()


def test_a_newer_format_is_left_alone(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA user_version = 99")
    sql.close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="newer"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("size", "limit_bytes"), [(33, 347), (100, 250)])
def test_what_the_disk_has_to_write(path: Path, size: int, limit_bytes: int) -> None:
    """200 lamps; 33 a commit are a reading a minute from each: 347 bytes are 100 MB a day."""
    total, chance = 20_000, random.Random(3)
    store, before = Store.open(path), _written()
    for start in range(0, total, size):
        group = [
            reading(
                n // 200 + 1,
                f"sl-{n % 200}",
                level_pct=chance.randint(0, 100),
                power_w=chance.randint(0, 600) / 10,
                temperature_c=chance.randint(-5, 30),
            )
            for n in range(start, start + size)
        ]
        store.append(group, T0_MS + start, Notes(cursors={"mqtt": store.head}))
    each = (_written() - before) / total
    store.close()
    assert each <= limit_bytes, f"{each:.0f} bytes a reading"


def _written() -> int:
    """Bytes that this process has had written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
