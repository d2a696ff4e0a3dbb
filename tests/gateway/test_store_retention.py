"""What the durable log lets go of: the delivered, then telemetry, and never without saying so."""

from __future__ import annotations

import random
from pathlib import Path

from kerbline.model import Alarm, Entry, Gap, Reading
from kerbline.store import Notes, RetentionPolicy, Store
from kerbline.store.retention import DEAR_KINDS
from kerbwire.ranges import RangeSet
from tests.gateway.samples import T0_MS, alarm, numbers, reading, stored

CAP = 300_000
DAY_MS = 86_400_000


def filled(path: Path, policy: RetentionPolicy, *, delivered: bool, days: int = 0) -> Store:
    """A store whose one sink has got all or nothing of 18,000 hard to compress readings."""
    store, chance = Store.open(path, policy), random.Random(5)
    store.open_cursor("mqtt")
    for group in range(600):
        first = group * 30 + 1
        entries: list[Entry] = [
            reading(n, "sl-1", level_pct=chance.randint(0, 100), power_w=chance.random())
            for n in range(first, first + 30)
        ]
        dear = sorted(DEAR_KINDS)[group % len(DEAR_KINDS)]
        entries += [reading(group + 1, "wm-1", dear), alarm(group + 1)]
        notes = Notes(cursors={"mqtt": group + 1 if delivered else 0})
        store.append(entries, T0_MS + group * days * DAY_MS // 600, notes)
    store.keep_within(T0_MS + days * DAY_MS)
    return store


def test_delivered_batches_go_when_they_are_old(tmp_path: Path) -> None:
    policy = RetentionPolicy(keep_s=10 * 86_400)
    store = filled(tmp_path / "s.db", policy, delivered=True, days=40)
    assert store.thinned == 0
    assert 13_000 < min(numbers(stored(store))) < 14_000
    assert store.append([reading(1)], T0_MS).entries == (), "what is gone is still held"
    store.close()


def test_a_clock_that_ran_ahead_for_a_while_keeps_nothing_for_ever(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db", RetentionPolicy(keep_s=86_400))
    store.open_cursor("mqtt")
    for number, at_ms in enumerate([0, 73 * 365 * DAY_MS, DAY_MS, 5 * DAY_MS], 1):
        store.append([reading(number)], T0_MS + at_ms, Notes(cursors={"mqtt": number}))
    store.keep_within(T0_MS + DAY_MS)
    assert numbers(stored(store)) == [1, 2, 3, 4], "too early"
    store.keep_within(T0_MS + 5 * DAY_MS)
    assert numbers(stored(store)) == [4]
    store.close()


def test_undelivered_batches_stay_however_old(tmp_path: Path) -> None:
    store = filled(tmp_path / "s.db", RetentionPolicy(keep_s=1), delivered=False, days=40)
    assert numbers(stored(store)) == list(range(1, 18_001))
    store.close()


def test_over_the_cap_the_delivered_goes_first_and_nothing_is_lost(tmp_path: Path) -> None:
    store = filled(tmp_path / "s.db", RetentionPolicy(CAP), delivered=True)
    assert store.thinned == 0
    assert (tmp_path / "s.db").stat().st_size <= 2 * CAP
    assert not [e for e in stored(store) if isinstance(e, Gap)]
    store.close()


def test_over_the_cap_undelivered_telemetry_becomes_a_gap_and_dear_things_stay(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path / "s.db", RetentionPolicy(CAP), delivered=False)
    entries = stored(store)
    store.close()
    kept, lost = RangeSet(), RangeSet()
    for entry in entries:
        if isinstance(entry, Reading) and entry.key.source == "sl-1":
            kept.add(entry.key.number, entry.key.number)
        elif isinstance(entry, Gap):
            assert (entry.source, entry.reason, entry.last is None) == ("sl-1", "store_full", False)
            lost.add(entry.first, entry.last or 0)
    assert store.thinned == len(lost) > 0
    assert len(kept) + len(lost) == 18_000
    assert 18_000 in kept, "the oldest goes first"
    assert len(numbers(entries, "wm-1")) == 600
    assert len([e for e in entries if isinstance(e, Alarm)]) == 600
    # The declarations themselves must not fill the log.
    assert len([e for e in entries if isinstance(e, Gap)]) < 20
