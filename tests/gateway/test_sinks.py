"""Sinks beside MQTT: files that a kill and a full disk leave whole; a dead sink dies alone."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from kerbline.agent.city import sinks
from kerbline.clock import Clock
from kerbline.config import load
from kerbline.counters import Counters
from kerbline.model import ANCHOR_KIND, Entry, Reading
from kerbline.north.backoff import Backoff
from kerbline.north.file import Shelf, lines
from kerbline.north.follower import Follower
from kerbline.store import GroupCommit, GroupPolicy, Store
from kerbline.store.entries import from_json
from tests.gateway.samples import T0_MS, alarm, gap, reading


class Moment:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.ms = T0_MS

    def __call__(self) -> int:
        return self.ms


def shelf(folder: Path, now: Moment | None = None, max_bytes: int = 2_000, keep: int = 4) -> Shelf:
    age_ms = 60_000
    return Shelf(folder, now or Moment(), max_bytes=max_bytes, max_age_ms=age_ms, keep_files=keep)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def entries(folder: Path) -> list[Entry]:
    found = b"".join(path.read_bytes() for path in files(folder))
    assert found.endswith(b"\n")
    return [from_json(orjson.loads(line)) for line in found.splitlines()]


def test_a_line_is_an_entry_and_anchors_stay_ours() -> None:
    given: list[Entry] = [reading(1), gap(2, None), alarm(3), reading(4, kind=ANCHOR_KIND)]
    assert [from_json(orjson.loads(line)) for line in lines(given)] == given[:3]


def test_files_are_bounded_by_size_and_number_and_nothing_is_torn(tmp_path: Path) -> None:
    full = shelf(tmp_path)
    for start in range(1, 101, 7):
        full.deliver([reading(n) for n in range(start, start + 7)])
    kept = entries(tmp_path)
    assert len(files(tmp_path)) == 4
    assert all(path.stat().st_size <= 2_000 for path in files(tmp_path))
    assert kept == [reading(n) for n in range(106 - len(kept), 106)]


def test_a_file_has_an_age_and_a_clock_set_back_disorders_nothing(tmp_path: Path) -> None:
    now = Moment()
    full = shelf(tmp_path, now)
    full.deliver([reading(1)])
    now.ms += 59_999
    full.deliver([reading(2)])
    now.ms += 1
    full.deliver([reading(3)])
    assert [path.read_bytes().count(b"\n") for path in files(tmp_path)] == [2, 1]
    now.ms -= 3_600_000
    for n in range(4, 20):
        full.deliver([reading(n)])
    assert entries(tmp_path) == [reading(n) for n in range(1, 20)]


def test_a_line_longer_than_a_file_goes_alone(tmp_path: Path) -> None:
    long = replace(reading(2), values={f"register_{n}": n for n in range(300)})
    shelf(tmp_path).deliver([reading(1), long, reading(3)])
    assert [path.read_bytes().count(b"\n") for path in files(tmp_path)] == [1, 1, 1]
    assert entries(tmp_path) == [reading(1), long, reading(3)]


@pytest.mark.parametrize("rest", [b"", b"{", b'{"type":"rea', bytes(40)])
def test_a_torn_line_is_cut_off_by_the_next_write(tmp_path: Path, rest: bytes) -> None:
    shelf(tmp_path).deliver([reading(1)])
    with files(tmp_path)[0].open("ab") as file:
        file.write(rest)
    shelf(tmp_path).deliver([reading(2)])
    assert entries(tmp_path) == [reading(1), reading(2)]


def test_foreign_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", "mine.jsonl", "²3.jsonl", "7.jsonl", "99999999999999999.jsonl"):
        (tmp_path / name).write_text("x")
    for n in range(60):
        shelf(tmp_path).deliver([reading(n)])
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / "mine.jsonl").exists()
    assert (tmp_path / "7.jsonl").read_text() == "x"


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "files", tmp_path / "precious"
    folder.mkdir()
    elsewhere.write_text("precious")
    (folder / "1795000000000.jsonl").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        shelf(folder).deliver([reading(1)])
    assert elsewhere.read_text() == "precious"


def test_a_kill_at_any_moment_leaves_whole_lines_and_all_that_was_told(tmp_path: Path) -> None:
    for life in range(12):
        receiving, telling = os.pipe()
        child = os.fork()
        if child == 0:
            full = shelf(tmp_path, max_bytes=20_000, keep=1_000)
            for n in range(life * 1_000, life * 1_000 + 1_000):
                full.deliver([reading(n), reading(n, "sl-2")])
                os.write(telling, n.to_bytes(4, "big"))
            os._exit(0)
        os.close(telling)
        for _ in range(life % 4 * 3 + 1):
            os.read(receiving, 4)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = []
        while number := os.read(receiving, 4):
            told.append(int.from_bytes(number, "big"))
        os.close(receiving)
        shelf(tmp_path, max_bytes=20_000, keep=1_000).deliver([reading(-life - 1)])
        held = {entry.key.number for entry in entries(tmp_path) if isinstance(entry, Reading)}
        assert set(told) | {-life - 1} <= held


@pytest.fixture
def cramped() -> Iterator[None]:
    """No file may grow beyond 4,000 bytes: a disk that takes a part of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    yield None
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("cramped")
def test_a_full_disk_refuses_and_tears_no_line(tmp_path: Path) -> None:
    full = shelf(tmp_path, max_bytes=100_000)
    full.deliver([reading(1)])
    with pytest.raises(OSError, match="File too large"):
        full.deliver([reading(n) for n in range(2, 60)])
    assert entries(tmp_path) == [reading(1)]
    full.deliver([reading(2)])
    assert entries(tmp_path) == [reading(1), reading(2)]


class Moody:
    """A delivery that refuses when told to."""

    def __init__(self) -> None:
        self.refusing = ""
        self.tries = 0
        self.taken: list[Entry] = []

    def deliver(self, entries: Sequence[Entry]) -> None:
        self.tries += 1
        if self.refusing:
            raise OSError(28, self.refusing)
        self.taken += entries


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not wanted():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.002)


def test_a_dead_sink_says_so_once_and_the_other_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(tmp_path / "kerbline.db")
    store.append([reading(1)], T0_MS)

    async def scene() -> None:
        group = GroupCommit(store, GroupPolicy(1, 0.01), lambda: T0_MS)
        dead, alive = Moody(), Moody()
        dead.refusing = "No space left on device"
        running = [
            Follower(
                name,
                mood.deliver,
                group,
                cursor=store.open_cursor(name),
                backoff=Backoff(0.001, 0.002, lambda: 1.0),
            )
            for name, mood in (("dead", dead), ("alive", alive))
        ]
        tasks = [asyncio.create_task(each.run()) for each in running]
        tasks.append(asyncio.create_task(group.run()))
        await until(lambda: dead.tries > 5 and len(alive.taken) == 1)
        assert (running[0].connected, running[1].connected) == (False, True)
        await group.put(reading(2))
        await group.committed()
        for each in running:
            each.log_grew()
        await until(lambda: alive.taken == [reading(1), reading(2)])
        assert (running[0].cursor, running[1].cursor) == (0, 2)
        dead.refusing = ""
        await until(lambda: dead.taken == [reading(1), reading(2)])
        for task in tasks[:2]:
            task.cancel()
        await asyncio.wait(tasks[:2])
        for each in running:
            await each.close()
        group.stop()
        await tasks[2]
        await group.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    said = [record.getMessage() for record in caplog.records]
    assert said == ["dead: [Errno 28] No space left on device; trying again"]


CONFIG = """\
[gateway]
id = "gw"
state_dir = "state"
"""
FILE = """
[[file]]
name = "{0}"
folder = "{0}"
"""


def test_a_sink_that_the_config_no_longer_names_is_dropped_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gateway.toml"
    store = Store.open(tmp_path / "kerbline.db")

    async def named(*names: str) -> list[str]:
        path.write_text(CONFIG + "".join(FILE.format(name) for name in names))
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        made = sinks.made(load(path), store, group, Clock(None), Counters()).sinks
        for sink in made:
            await sink.close()
        return [sink.name for sink in made]

    assert asyncio.run(named("a", "b")) == ["file:a", "file:b"]
    assert caplog.messages == []
    assert asyncio.run(named("b")) == ["file:b"]
    assert caplog.messages == [
        "sink file:a is not in the config any more: what only it lacked may go"
    ]
    assert asyncio.run(named("b")) == ["file:b"]
    assert len(caplog.messages) == 1
    store.close()
