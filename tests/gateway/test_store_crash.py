"""The durable log when the power goes in the middle of a commit, and when the disk is full."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kerbline.store import Store, decisions
from kerbline.store.reader import Reader
from tests.gateway.samples import numbers, stored
from tests.gateway.store_writer import GROUP

KILLS = 15
ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    search = os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
    return {**os.environ, "PYTHONPATH": search}


def writer(path: Path, limit_bytes: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.store_writer", str(path), str(limit_bytes)],
        stdout=subprocess.PIPE,
        env=environment(),
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
    assert len(found) >= acknowledged >= KILLS
    reader = Reader.open(path)
    decided = list(decisions.newest_first(reader, 1 << 60))[::-1]
    lost = decisions.lost(reader)[0]
    reader.close()
    assert [each.body for each in decided] == [f"at {n}" for n in range(1, len(found), GROUP)]
    assert [each.number for each in decided] == list(range(1, len(decided) + 1))
    assert lost == 0


def test_a_full_disk_is_named_and_survived(tmp_path: Path) -> None:
    child = writer(tmp_path / "kerbline.db", limit_bytes=200_000)
    output, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    assert output.count("blocked") == 3
    store = Store.open(tmp_path / "kerbline.db")
    found = numbers(stored(store))
    store.close()
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 2_999


def on_a_small_disk(folder: Path, size: str, script: str, *arguments: Path) -> dict[str, Any]:
    """What a script of this folder tells that has a file system of its own there."""
    mount = f"mount -t tmpfs -o size={size} tmpfs {folder} && exec "
    apart = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*apart, mount + "true"], check=False).returncode
    ):
        pytest.skip("no file system of our own can be mounted here")
    module = f"tests.gateway.{script}"
    command = f"{mount} {sys.executable} -m {module} {' '.join(map(str, (folder, *arguments)))}"
    done = subprocess.run(
        [*apart, command],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_disk_that_somebody_fills_stops_the_growth_alone(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path, "1m", "full_disk")
    assert "free space" in told["said"]
    assert told["readable_while_full"] >= 2_000, "sinks go on delivering"
    assert (told["each_once"], told["quarantined"]) == (True, "None")


def test_a_gateway_that_starts_on_a_full_disk_serves_its_street(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    aside = tmp_path_factory.mktemp("broker")
    told = on_a_small_disk(tmp_path, "2m", "full_disk_start", aside)
    assert told["results"] == [["a1", "OK"], ["a1", "OK"]]
    assert told["done"] == 1
    assert not told["kept_while_full"], "nothing is acknowledged that is not durable"
    assert told["numbers"] == list(range(1, 11)), "then it is, each once"
    assert told["audit"] == ["PENDING", "DELIVERED", "OK"]
    assert len(told["restarts"]) == 1
    said = [text for text in told["said"] if "stored" in text or "takes readings" in text]
    assert said[0].startswith("nothing can be stored, so nothing is acknowledged: ")
    assert said[1:] == ["the store takes readings again"]


def test_a_store_killed_on_a_full_disk_opens_there(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path, "1m", "full_disk_kill")
    assert told.pop("quarantined") == "None"
    assert told == dict.fromkeys(
        ["refused", "declared", "rising", "whole", "enough", "after"], True
    )


def test_a_disk_that_has_no_room_for_a_lock_is_named_with_a_remedy(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path, "1m,nr_inodes=1", "full_disk_lock")
    lock = tmp_path / "kerbline.db.lock"
    assert told["said"] == f"{lock}: No space left on device: free space or mend the disk"
