"""A bit flips in the log beside the file: what it hides was durable, and is not given up silently.

A cut, which leaves parts of one commit, is another thing: see test_store_power.py.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from kerbline.model import Alarm
from kerbline.store import Store, StoreCorrupt
from kerbline.store.replay import order
from kerbline.store.verify import verify
from kerbline.store.wal import log_end
from tests.gateway.samples import T0_MS, numbers, reading, stored
from tests.gateway.test_agent_upkeep import one_life

COMMITS = 40
FRAME_BYTES = 24 + 1024


def left_by_a_kill(folder: Path, *, young: bool) -> Path:
    """A store with durable commits in its log; a young one has nothing else."""
    path = folder / "live.db"
    store = Store.open(path)
    store.append([reading(1)], T0_MS)
    if not young:
        store.close()
        store = Store.open(path)
    for number in range(2, COMMITS + 1):
        store.append([reading(number)], T0_MS)
    killed = folder / "store.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{killed}{suffix}")
    store.close()
    return killed


def flip(path: Path, at: int) -> None:
    """One bit of the log."""
    log = Path(f"{path}-wal")
    raw = bytearray(log.read_bytes())
    raw[at] ^= 4
    log.write_bytes(raw)


def middle(path: Path) -> int:
    return 32 + Path(f"{path}-wal").stat().st_size // FRAME_BYTES // 2 * FRAME_BYTES


@pytest.mark.parametrize("young", [False, True])
@pytest.mark.parametrize("where", ["log header", "first page", "salt", "page"])
def test_a_flipped_bit_is_damage_and_a_copy_is_kept(
    tmp_path: Path, where: str, *, young: bool
) -> None:
    path = left_by_a_kill(tmp_path, young=young)
    at = {"log header": 9, "first page": 100, "salt": middle(path) + 9, "page": middle(path) + 99}
    flip(path, at[where])
    assert log_end(path).damaged
    damaged = Path(f"{path}-wal").read_bytes()
    assert any("damage" in fault.what for fault in verify(path).faults)
    with pytest.raises(StoreCorrupt, match="start the gateway"):
        order(path, "mqtt", 0, T0_MS + 1)
    assert Path(f"{path}-wal").read_bytes() == damaged, "a command changes nothing"

    store = Store.open(path)
    assert store.quarantined is None, "what is sound goes on"
    copy = store.broken_log_copy
    assert store.broken_log
    assert copy == path.with_name("store.db.damaged-1-wal")
    assert copy.read_bytes() == damaged
    assert path.with_name("store.db.damaged-1").exists()
    kept = numbers(stored(store))
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) < COMMITS
    store.append([reading(len(kept) + 1)], T0_MS)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path / 'again.db'}{suffix}")
    store.close()
    again = Store.open(tmp_path / "again.db")
    assert not again.broken_log, "said once"
    assert numbers(stored(again)) == [*kept, len(kept) + 1]
    again.close()


def test_a_commit_whose_midst_was_cut_is_no_damage(tmp_path: Path) -> None:
    path = left_by_a_kill(tmp_path, young=False)
    flip(path, Path(f"{path}-wal").stat().st_size - FRAME_BYTES + 99)
    store = Store.open(path)
    assert not store.broken_log
    assert store.cut_bytes > 0
    store.close()


def test_a_damaged_log_is_an_error_and_an_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left_by_a_kill(tmp_path, young=False)
    flip(path, middle(path) + 99)
    with caplog.at_level(logging.WARNING):
        entries = asyncio.run(one_life(tmp_path))
    alarms = [(e.rule, e.evidence) for e in entries if isinstance(e, Alarm)]
    assert alarms == [("store_lost", {"set_aside": "store.db.damaged-1-wal"})]
    (said,) = [r for r in caplog.records if "log beside the store is damaged" in r.getMessage()]
    assert said.levelno == logging.ERROR
    assert "cut short" not in caplog.text
