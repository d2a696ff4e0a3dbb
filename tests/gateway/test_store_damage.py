"""Whatever stands in the store's file: it opens, or is set aside and a new one begins."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from kerbline.model import Key, Reading
from kerbline.store import (
    Notes,
    RetentionPolicy,
    Store,
    StoreCorrupt,
    StoreError,
    census,
)
from kerbline.store.reader import Reader

AT_MS = 1_790_000_000_000


def reading(number: int) -> Reading:
    return Reading(Key("sl-1", 7, number), "lamp-1", "streetlight", AT_MS, 500, {"level_pct": 30})


def filled(path: Path) -> bytes:
    """The bytes of a sound store with a few commits."""
    store = Store.open(path)
    store.begin_epoch(1)
    store.open_cursor("mqtt")
    for first in range(1, 200, 20):
        store.append([reading(number) for number in range(first, first + 20)], AT_MS)
    store.keep_within(AT_MS)
    store.close()
    return path.read_bytes()


def garbled(sound: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    content = bytearray(sound)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content)) if chance.random() < 0.7 else chance.randrange(100)
        content[at : at + chance.randint(1, 16)] = chance.randbytes(chance.randint(1, 16))
    return bytes(content)


@pytest.mark.parametrize("shard", range(4))
def test_a_garbled_store_opens_or_is_set_aside(tmp_path: Path, shard: int) -> None:
    sound = filled(tmp_path / "sound.db")
    for seed in range(shard * 60, shard * 60 + 60):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = folder / "s.db"
        path.write_bytes(garbled(sound, seed))
        assert any(works(path) for _ in range(3)), f"seed {seed}: never opens again"
        shutil.rmtree(folder)


def works(path: Path) -> bool:
    """One start of a gateway: open, commit, read, stop; a named fault ends it."""
    try:
        store = Store.open(path)
    except StoreError:
        return False
    try:
        store.begin_epoch(2)
        store.append([reading(1_000)], AT_MS)
        assert sum(len(batch.entries) for batch in store.read(0, 10_000)) >= 1
        store.keep_within(AT_MS)
    except StoreCorrupt:
        return False
    finally:
        store.close()
    return True


@pytest.mark.parametrize("seq", [1, 4, 10])
@pytest.mark.parametrize("time", ["'soon'", "x'00ff'", "1.5", str((1 << 63) - 1)])
def test_a_time_that_is_none_stops_nothing(tmp_path: Path, seq: int, time: str) -> None:
    path = tmp_path / "s.db"
    filled(path)
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute(f"UPDATE batch SET at_ms = {time} WHERE seq = {seq}")
    sql.close()
    reader = Reader.open(path)
    counted = census.take(reader, AT_MS, None)
    reader.close()
    assert (counted.oldest_ms, counted.batches) == (AT_MS, 10)
    store = Store.open(path, RetentionPolicy(keep_s=60))
    assert store.newest_at_ms == (AT_MS if seq < 10 else 0)
    store.append([reading(1_000)], AT_MS + 100_000, Notes(cursors={"mqtt": 10}))
    store.keep_within(AT_MS + 100_000)
    assert [batch.seq for batch in store.read(0, 10_000)] == ([10, 11] if seq == 10 else [11])
    store.close()


@pytest.mark.parametrize("column", ["arguments", "at_ms", "spans", "resume", "crc"])
def test_a_column_whose_name_is_damaged_is_damage(tmp_path: Path, column: str) -> None:
    path = tmp_path / "s.db"
    filled(path)
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("PRAGMA writable_schema=ON")
    sql.execute(f"UPDATE sqlite_schema SET sql = replace(sql, '{column}', '{column[:-1]}~')")
    sql.execute("UPDATE sqlite_schema SET sql = replace(sql, '~', '_')")
    sql.close()
    reader = Reader.open(path)
    with pytest.raises(StoreCorrupt, match="is damaged"):
        reader.rows(f"SELECT {column} FROM command, batch, held, replay")
    reader.close()
    store = Store.open(path)
    assert store.quarantined
    store.close()


@pytest.mark.parametrize("seq", ["'one'", "1.5", "x'00'"])
def test_a_cursor_that_is_none_is_left_out_of_the_figures(tmp_path: Path, seq: str) -> None:
    path = tmp_path / "s.db"
    filled(path)
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute(f"UPDATE cursor SET seq = {seq}")
    sql.close()
    reader = Reader.open(path)
    assert census.take(reader, AT_MS, None).sinks == ()
    reader.close()


def test_a_store_that_was_removed_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "state" / "s.db"
    store = Store.open(path)
    store.append([reading(1)], AT_MS)
    shutil.rmtree(path.parent)
    with pytest.raises(StoreCorrupt, match="removed or replaced"):
        store.append([reading(2)], AT_MS)
    store.close()
