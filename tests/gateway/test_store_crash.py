"""The durable log when the power goes in the middle of a commit, and when the disk is full."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from kerbline.store import Store
from tests.gateway.samples import numbers, stored

KILLS = 15
ROOT = Path(__file__).parents[2]


def writer(path: Path, limit_bytes: int = 0) -> subprocess.Popen[str]:
    search = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.store_writer", str(path), str(limit_bytes)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
        text=True,
    )


def test_what_was_acknowledged_survives_any_kill_and_nothing_is_doubled(tmp_path: Path) -> None:
    path, chance, acknowledged = tmp_path / "kerbline.db", random.Random(11), 0
    for _ in range(KILLS):
        child = writer(path)
        assert child.stdout is not None
        line = child.stdout.readline()  # it is up and committing
        time.sleep(chance.random() * 0.03)
        child.kill()
        lines = [line, *child.stdout.read().splitlines(keepends=True)]
        child.wait()
        child.stdout.close()
        whole = [int(text) for text in lines if text.endswith("\n")]
        acknowledged = max([acknowledged, *whole])
    store = Store.open(path)
    found = numbers(stored(store))
    store.close()
    assert store.quarantined is None
    assert found == list(range(1, len(found) + 1)), "each number once, in order"
    assert len(found) >= acknowledged > KILLS


def test_a_full_disk_is_named_and_survived(tmp_path: Path) -> None:
    child = writer(tmp_path / "kerbline.db", limit_bytes=200_000)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert output.count("blocked") == 3
    store = Store.open(tmp_path / "kerbline.db")
    found = numbers(stored(store))
    store.close()
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 2_999
