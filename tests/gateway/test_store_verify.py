"""A bit that flips anywhere in the file is found and named, or changes nothing that is stored."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerbline.model import Command, CommandResult, CommandState, Gap
from kerbline.store import Anchor, Notes, Store, StoreError, schema
from kerbline.store.verify import Verdict, verify
from tests.gateway.samples import EPOCH, T0_MS, alarm, gap, reading, stored

PAGE = 1024
BATCHES = 60
A_BATCH = 12
FLIPS = 100 if os.getenv("KERBLINE_NIGHTLY") else 30  # of each class of place


def filled(path: Path) -> None:
    """A store with rows in every table, and free pages."""
    store, chance = Store.open(path), random.Random(3)
    store.begin_epoch(1)
    store.open_cursor("mqtt")
    for batch in range(BATCHES):
        first = batch * A_BATCH + 1
        entries = [reading(n, power_w=chance.random()) for n in range(first, first + A_BATCH)]
        order = Command(f"c{batch}", "lamp-1", "set_level", {"level_pct": 3}, T0_MS, "mqtt")
        notes = Notes(
            cursors={"mqtt": max(0, batch - 20)},
            anchors={("sl-1", batch): Anchor(T0_MS, 5)},
            memories={("leak", f"meter-{batch}"): '{"n": 1}'},
            outcomes=[(order, CommandResult(order.id, "lamp-1", CommandState.OK, "", T0_MS))],
        )
        store.append([*entries, alarm(batch + 1)], T0_MS + batch * 1000, notes)
    store.keep_within(T0_MS)
    store.append([gap(BATCHES * A_BATCH + 1, BATCHES * A_BATCH + 3)], T0_MS + BATCHES * 1000)
    store.close()
    sql = sqlite3.connect(path)
    sql.execute("PRAGMA secure_delete=OFF")
    sql.execute("DELETE FROM batch WHERE seq <= 12")  # as retention does
    sql.commit()
    sql.execute("PRAGMA journal_mode=WAL")
    sql.close()
    assert not verify(path).faults


def content(path: Path) -> object:
    """Everything that is stored, as a program sees it that reads the file."""
    sql = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return [
            sql.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            for table, columns in schema.CHECKED.items()
        ]
    finally:
        sql.close()


def places(path: Path) -> dict[str, list[int]]:
    """The bytes of the file by what they are of."""
    raw = path.read_bytes()
    sql = sqlite3.connect(path)
    found: dict[str, list[int]] = {"header": list(range(100)), "free": [], "overflow": []}
    free = set(freelist(raw))
    roots = {page: name for name, page in sql.execute("SELECT name, rootpage FROM sqlite_schema")}
    sql.close()
    kinds = {2: "index inner", 5: "table inner", 10: "index leaf", 13: "table leaf"}
    for number in range(1, len(raw) // PAGE + 1):
        start = (number - 1) * PAGE + (100 if number == 1 else 0)
        if number in free:
            name = "free"
        elif number in roots:
            name = f"root of {roots[number]}"
        else:
            name = kinds.get(raw[start], "overflow")
        found.setdefault(name, []).extend(range(start, number * PAGE))
    return found


def freelist(raw: bytes) -> Iterator[int]:
    (trunk,) = struct.unpack_from(">I", raw, 32)
    while trunk:
        yield trunk
        at = (trunk - 1) * PAGE
        following, count = struct.unpack_from(">2I", raw, at)
        yield from struct.unpack_from(f">{count}I", raw, at + 8)
        trunk = following


def test_every_flipped_bit_is_found_or_changes_nothing(tmp_path: Path) -> None:
    sound = tmp_path / "sound.db"
    filled(sound)
    expected = content(sound)
    raw = sound.read_bytes()
    chance = random.Random(11)
    classes = places(sound)
    assert {"header", "free", "overflow", "table leaf", "root of cursor"} <= classes.keys()
    flipped = tmp_path / "flipped.db"
    named = 0
    for where, bytes_ in classes.items():
        for _ in range(FLIPS if len(bytes_) > PAGE else FLIPS // 4):
            at, bit = chance.choice(bytes_), chance.randrange(8)
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            flipped.write_bytes(changed)
            if verdict(flipped):
                named += 1
                continue
            assert content(flipped) == expected, f"{where}: byte {at} bit {bit}"
    assert named > 2 * FLIPS


def verdict(path: Path) -> bool:
    """Is a fault found?"""
    try:
        return bool(verify(path).faults)
    except StoreError:
        return True


def batch_bytes(path: Path, seq: int) -> int:
    """Where the body of a batch begins in the file."""
    sql = sqlite3.connect(path)
    (body,) = sql.execute("SELECT body FROM batch WHERE seq = ?", (seq,)).fetchone()
    sql.close()
    return path.read_bytes().index(body[:40])


def hit(path: Path, at: int) -> Verdict:
    changed = bytearray(path.read_bytes())
    changed[at] ^= 4
    path.write_bytes(changed)
    return verify(path)


def test_a_flipped_bit_of_a_body_names_its_readings(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    filled(path)
    first = 29 * A_BATCH + 1
    for fault in hit(path, batch_bytes(path, 30) + 20).faults:
        assert fault.what.startswith("batch 30: ")
        found = {(a.source, a.epoch, a.first, a.last) for a in fault.affected}
        assert ("sl-1", EPOCH, first, first + A_BATCH - 1) in found
        assert ("gw-1", 1, 30, 30) in found
        assert len(found) == 2


def test_a_lost_page_names_the_readings_of_all_its_batches(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    filled(path)
    leaf = batch_bytes(path, 30) // PAGE * PAGE
    raw = bytearray(path.read_bytes())
    raw[leaf : leaf + PAGE] = bytes(PAGE)
    path.write_bytes(raw)
    affected = [each for fault in verify(path).faults for each in fault.affected]
    lost = {
        n for a in affected if a.source == "sl-1" and a.last for n in range(a.first, a.last + 1)
    }
    first = 29 * A_BATCH + 1
    assert set(range(first, first + A_BATCH)) <= lost
    assert len(lost) <= 12 * A_BATCH, "and not half the log"


def test_a_batch_not_yet_folded_is_bounded_by_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    for first in (1, 4, 7):
        entries = [reading(first, power_w=random.Random(first).random()), reading(first + 2)]
        store.append(entries, T0_MS)
    store.close()
    (fault,) = hit(path, batch_bytes(path, 2) + 20).faults
    assert [(a.first, a.last) for a in fault.affected] == [(4, 6)]
    assert "batch 2" in fault.what


def test_of_the_runs_that_a_damaged_batch_may_be_of_only_the_next_that_ended_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    for first in (1, 4, 7):
        entries = [reading(first, power_w=random.Random(first).random()), reading(first + 2)]
        store.append(entries, T0_MS)
    for epoch in (11, 12, 13):
        store.append([Gap("gw-1", epoch, 1, None, "restart", T0_MS)], T0_MS)
    store.close()
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("UPDATE batch SET body = x'00' WHERE seq = 2")
    sql.close()
    (fault,) = verify(path).faults
    found = [(a.source, a.epoch, a.first, a.last) for a in fault.affected]
    assert found == [("gw-1", 11, 1, None), ("sl-1", EPOCH, 4, 6)]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE cursor SET seq = seq + 1", "cursor mqtt"),
        ("UPDATE held SET spans = '[[1, 5]]'", "held sl-1"),
        ("DELETE FROM held", "held: has nothing"),
        ("DELETE FROM latest", "latest: of-sl-1"),
        ("UPDATE batch SET at_ms = 5 WHERE seq = 20", "batch 20"),
        ("UPDATE batch SET crc = NULL WHERE seq = 20", "batch 20: has no checksum"),
        ("UPDATE command SET state = 'ERROR' WHERE id = 'c7'", "command c7"),
        ("DROP INDEX command_audit_command", "definitions"),
    ],
)
def test_what_contradicts_is_named(tmp_path: Path, statement: str, text: str) -> None:
    path = tmp_path / "s.db"
    filled(path)
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute(statement)
    sql.close()
    assert any(text in fault.what for fault in verify(path).faults)


def test_damage_in_the_log_beside_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    for number in range(1, 40):
        store.append([reading(number)], T0_MS)
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    store.close()
    log = Path(f"{copy}-wal")
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 1
    log.write_bytes(raw)
    (fault,) = verify(copy).faults
    assert "the log beside the file is damaged, it breaks at byte" in fault.what
    ((source, last),) = {(a.source, a.last) for a in fault.affected}
    assert (source, last) == ("sl-1", None)
    opened = Store.open(copy)
    assert max(fault.affected[0].first, 1) == len(stored(opened)) + 1
    assert opened.cut_bytes > 0
    opened.close()


def test_a_running_gateways_store_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    for number in range(1, 600):
        store.append([reading(number)], T0_MS)
        if number % 100 == 0:
            assert not verify(path).faults
    store.close()
