"""A store of format 1 is taken along, at whatever step the upgrade is cut; rows have checksums."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from kerbline.model import Reading
from kerbline.store import Anchor, Notes, Store, schema
from kerbline.store.entries import packed, to_json
from tests.gateway.samples import EPOCH, T0_MS, numbers, reading, stored

READINGS = 40


def format_1(path: Path) -> None:
    """A store as kerbline wrote it before rows had checksums."""
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("PRAGMA journal_mode=WAL")
    sql.executescript(schema._FIRST + "PRAGMA user_version=1;")
    for number in range(1, READINGS + 1):
        row = (number, T0_MS, 1, packed([reading(number)]))
        sql.execute("INSERT INTO batch VALUES (?, ?, ?, ?)", row)
    sql.execute("INSERT INTO held VALUES (1, 'sl-1', ?, '[[1, 30]]')", (EPOCH,))
    sql.execute("INSERT INTO meta VALUES ('folded', 30), ('epoch', 9)")
    sql.execute("INSERT INTO cursor VALUES ('mqtt', 12)")
    sql.execute("INSERT INTO boot_anchor VALUES (1, 'sl-1', 3, ?, 20)", (T0_MS,))
    sql.execute("INSERT INTO memory VALUES ('leak', 'meter-1', '{}')")
    body = orjson.dumps(to_json(reading(30))).decode()
    sql.execute("INSERT INTO latest VALUES ('of-sl-1', 'streetlight', ?)", (body,))
    sql.close()


def is_whole(path: Path) -> None:
    store = Store.open(path)
    assert store.quarantined is None
    assert not store.unsound
    assert numbers(stored(store)) == list(range(1, READINGS + 1))
    assert store.open_cursor("mqtt") == 12
    assert store.begin_epoch(1) == 10
    assert store.undeclared == (9,)
    assert store.memories("leak") == {"meter-1": "{}"}
    assert store.anchors() == {("sl-1", 3): Anchor(T0_MS, 20)}
    assert [latest.key.number for latest in store.latest()] == [READINGS]
    assert store.append([reading(1), reading(41)], T0_MS).entries == (reading(41),)
    store.close()


def test_a_store_of_format_1_is_taken_along(tmp_path: Path) -> None:
    format_1(tmp_path / "s.db")
    is_whole(tmp_path / "s.db")


def stop_after(steps: int) -> Callable[[], bool]:
    """Tells SQLite's machine to give up after so many of its steps."""
    left = iter(range(steps))
    return lambda: next(left, None) is None


def test_an_upgrade_cut_anywhere_leaves_format_1_and_is_done_again(tmp_path: Path) -> None:
    sound = tmp_path / "sound.db"
    format_1(sound)
    done = False
    for cut in range(0, 100_000, 97):
        path = tmp_path / f"{cut}.db"
        shutil.copy(sound, path)
        sql = sqlite3.connect(path, isolation_level=None)
        sql.set_progress_handler(stop_after(cut), 1)
        try:
            schema.make(sql, 1)
            done = True
        except sqlite3.OperationalError as error:
            assert "interrupted" in str(error)  # noqa: PT017 - the loop ends by the other way
        sql.close()
        if cut % 970 == 0 or done:
            is_whole(path)
        path.unlink()
        if done:
            break
    assert done


def test_a_new_store_and_an_upgraded_one_have_the_same_tables(tmp_path: Path) -> None:
    format_1(tmp_path / "old.db")
    for name in ("old.db", "new.db"):
        Store.open(tmp_path / name).close()
    query = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    old, new = (
        sqlite3.connect(tmp_path / name).execute(query).fetchall() for name in ("old.db", "new.db")
    )
    assert old == new


def change(path: Path, statement: str) -> Store:
    """A store with three batches and a cursor at 2, changed behind its back, open again."""
    store = Store.open(path)
    store.open_cursor("mqtt")
    for number in (1, 2, 3):
        store.append([reading(number)], T0_MS, Notes(cursors={"mqtt": min(number, 2)}))
    store.keep_within(T0_MS)
    store.close()
    sql = sqlite3.connect(path)
    sql.execute(statement)
    sql.commit()
    sql.close()
    return Store.open(path)


def test_a_cursor_in_doubt_begins_anew(tmp_path: Path) -> None:
    store = change(tmp_path / "s.db", "UPDATE cursor SET seq = 3")
    assert store.unsound == {"cursor": 1}
    assert store.open_cursor("mqtt") == 0, "better twice than never"
    store.close()


def test_a_batch_whose_checksum_differs_is_declared_lost(tmp_path: Path) -> None:
    store = change(tmp_path / "s.db", "UPDATE batch SET at_ms = at_ms + 1 WHERE seq = 2")
    assert [type(entry) is Reading for entry in stored(store)] == [True, False, True]
    store.close()


@pytest.mark.parametrize("table", ["held", "meta"])
def test_what_says_which_numbers_are_held_is_not_guessed(tmp_path: Path, table: str) -> None:
    values = {"held": "spans = '[[1, 2]]'", "meta": "value = value + 1"}
    store = change(tmp_path / "s.db", f"UPDATE {table} SET {values[table]}")
    assert store.quarantined is not None
    store.close()


def test_the_checksum_is_what_the_documentation_says() -> None:
    import zlib

    text = b"i1:7" + b"s2:ab" + b"b2:\x00\xff" + b"f3:1.5"
    assert schema.checksum(7, "ab", b"\x00\xff", 1.5) == zlib.crc32(text)
