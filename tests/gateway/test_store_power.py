"""The power goes: whatever of the log beside the file was not on the disk is cut or garbled.

A disk keeps what was synced. So a store is copied at a moment, all of its log that a commit had
not synced yet is cut or garbled, and it must open with every reading acknowledged by then.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from kerbline.store import Notes, Store
from kerbline.store.wal import log_end
from tests.gateway.samples import EPOCH, T0_MS, numbers, reading, stored

COMMITS = 120
CUTS = 80


def run(path: Path) -> list[tuple[int, int]]:
    """Commit and tell, at each, how long the log is and how many readings are acknowledged."""
    store, chance = Store.open(path), random.Random(2)
    store.open_cursor("mqtt")
    synced, number = [], 0
    for _ in range(COMMITS):
        group = [
            reading(number + n + 1, power_w=chance.random()) for n in range(chance.randint(1, 9))
        ]
        number += len(group)
        store.append(group, T0_MS, Notes(cursors={"mqtt": store.head}))
        synced.append((Path(f"{path}-wal").stat().st_size, number))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}.at-the-cut{suffix}")
    store.close()
    return synced


def opened(path: Path, folder: Path, log: bytes) -> Store:
    """The store as the next start finds it."""
    folder.mkdir()
    shutil.copy(f"{path}.at-the-cut", folder / "s.db")
    (folder / "s.db-wal").write_bytes(log)
    return Store.open(folder / "s.db")


def check(store: Store, acknowledged: int, case: str) -> int:
    """All that was acknowledged is there, once and in order, and the store goes on."""
    found = numbers(stored(store))
    assert store.quarantined is None, case
    assert found == list(range(1, len(found) + 1)), case
    assert len(found) >= acknowledged, case
    epoch, held = store.held("sl-1")
    assert epoch in (None, EPOCH)
    assert held.highest == len(found), "a node is told to send the rest again"
    assert store.append([reading(len(found) + 1)], T0_MS).entries, case
    store.close()
    return len(found)


def test_a_log_cut_at_any_byte_loses_its_tail_alone_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    synced = run(path)
    log = Path(f"{path}.at-the-cut-wal").read_bytes()
    assert log_end(Path(f"{path}.at-the-cut")).used_bytes == synced[-1][0] == len(log)
    chance = random.Random(4)
    ends = {end for end, _ in synced}
    cuts = [chance.randrange(len(log)) for _ in range(CUTS)] + [0, 1, 31, 32, 33, 56, len(log) - 1]
    for case, cut in enumerate(cuts + [end + d for end in list(ends)[:5] for d in (-1, 0, 1)]):
        acknowledged = max([n for end, n in synced if end <= cut], default=0)
        store = opened(path, tmp_path / f"cut-{case}", log[:cut])
        whole = max([end for end in ends if end <= cut], default=0)
        # Shorter than its header the log says nothing, and then nothing was ever synced.
        assert (store.cut_bytes > 0) == (cut not in (0, 32) and cut != whole and cut <= len(log))
        found = check(store, acknowledged, f"cut at {cut}")
        assert found == acknowledged
        shutil.rmtree(tmp_path / f"cut-{case}")


def test_a_garbled_tail_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    synced = run(path)
    log = Path(f"{path}.at-the-cut-wal").read_bytes()
    chance = random.Random(5)
    for case in range(CUTS):
        end, acknowledged = chance.choice([(0, 0), *synced[:-1]])
        tail = bytearray(log[end:])
        at = chance.randrange(len(tail))
        length = chance.choice([1, 16, 512, len(tail)])
        noise = bytes(length) if chance.random() < 0.3 else chance.randbytes(length)
        tail[at : at + length] = noise[: len(tail) - at]
        changed = log[:end] + bytes(tail)
        store = opened(path, tmp_path / f"garbled-{case}", changed)
        assert changed == log or store.cut_bytes > 0
        check(store, acknowledged, f"garbled at {end + at}")
        shutil.rmtree(tmp_path / f"garbled-{case}")


def test_a_checkpoint_cut_between_its_pages_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    synced = run(path)
    before = Path(f"{path}.at-the-cut").read_bytes()
    after = path.read_bytes()  # closed: all of the log is in it
    log = Path(f"{path}.at-the-cut-wal").read_bytes()
    chance = random.Random(6)
    for case in range(40):
        pages = bytearray(before.ljust(len(after), b"\0"))
        for at in range(0, len(after), 1024):
            if chance.random() < 0.5:
                pages[at : at + 1024] = after[at : at + 1024]
        kept = chance.choice([len(before), len(after), chance.randrange(len(before), len(after))])
        folder = tmp_path / f"checkpoint-{case}"
        folder.mkdir()
        (folder / "s.db").write_bytes(pages[: max(kept, len(before))])
        (folder / "s.db-wal").write_bytes(log)
        check(Store.open(folder / "s.db"), synced[-1][1], f"case {case}")
        shutil.rmtree(folder)
