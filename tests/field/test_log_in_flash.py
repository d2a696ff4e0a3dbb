"""A node that works is not flashed unasked: its log, as its firmware writes it, is seen."""

import asyncio
import json
import os
import pty
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerbline.boardtools import loader
from kerbline.boardtools.loader import Loader
from kerbline.boardtools.loader_link import LoaderFault
from kerbline.field import flash, log_in_flash
from kerbline.field.flash_images import Cache, Memory
from kerbline.firmware import image
from kerbline.sim import bench_chip
from kerbline.sim.bench_board import BenchBoard, on_bench
from kerbnode.flash import Flash
from kerbnode.journal import SEGMENT_BYTES, Journal
from tests.field.commission_scene import Scene, on_the_bench
from tests.field.test_flash import STOCK, VFS, job, kerbline, quiet, releases_in

RECORDS = 1_200
DAMAGES = 150


def log(folder: Path, records: int) -> dict[str, bytes]:
    """The files of a log with so many readings of a street light."""
    journal = Journal(Flash(str(folder / "journal")), random.Random(1).randbytes)
    journal.open()
    for number in range(1, records + 1):
        journal.append(3, 1, number * 10, (1_000, 2, 230, 50, 4_000))
        if number % 16 == 0:
            journal.flush()
    journal.flush()
    return {f"journal/{each.name}": each.read_bytes() for each in (folder / "journal").iterdir()}


def flash_with(files: dict[str, bytes]) -> bytearray:
    """A flash with MicroPython and these files."""
    whole = bytearray(b"\xff" * (4 << 20))
    whole[0x1000 : 0x1000 + len(STOCK)] = STOCK
    whole[VFS.offset : VFS.offset + VFS.size] = image.made(files, VFS.size)
    return whole


class Read(Loader):
    """A loader in front of bytes."""

    def __init__(self, flash: bytes | bytearray) -> None:
        self.flash = flash
        self.bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        self.bytes += size
        return bytes(self.flash[offset : offset + size])


@pytest.fixture
def worked(tmp_path: Path) -> bytearray:
    """The flash of a node that has readings in its log."""
    made = flash_with(log(tmp_path, RECORDS) | {"main.py": b"import slots\n"})
    return made


def test_a_log_is_counted_by_some_blocks(tmp_path: Path, worked: bytearray) -> None:
    seen = Read(worked)
    assert log_in_flash.records(seen) == RECORDS
    assert seen.bytes <= 64 << 10, "a second and a half at 460,800 baud"
    assert log_in_flash.SEGMENT_BYTES == SEGMENT_BYTES
    (tmp_path / "few").mkdir()
    assert log_in_flash.records(Read(flash_with(log(tmp_path / "few", 3)))) == 3


def test_a_board_without_a_log_has_none(tmp_path: Path) -> None:
    empty = Journal(Flash(str(tmp_path / "journal")), random.Random(1).randbytes)
    empty.open()
    begun = {f"journal/{e.name}": e.read_bytes() for e in (tmp_path / "journal").iterdir()}
    others = {"journal/new": b"x", "journal/s1": b"x", "main.py": b""}
    for files in ({}, {"main.py": b"print(1)\n"}, begun, others):
        assert log_in_flash.records(Read(flash_with(files))) == 0
    for whole in (b"\xff" * (4 << 20), bytes(4 << 20), bytes(flash_with({})[: VFS.offset])):
        assert log_in_flash.records(Read(whole)) == 0
    other = bench_chip.apps(held={bench_chip.OTA_0: bench_chip.app()})  # no file system in it yet
    assert log_in_flash.records(Read(other.ljust(4 << 20, b"\xff"))) == 0


def test_a_flash_that_is_damaged_ends_nothing(worked: bytearray) -> None:
    """Neither a hang nor a number from nowhere."""
    chance = random.Random(7)
    used = [
        at
        for at in range(VFS.offset, VFS.offset + VFS.size, image.BLOCK_BYTES)
        if worked[at : at + image.BLOCK_BYTES].strip(b"\xff")
    ]
    for _ in range(DAMAGES):
        damaged = bytearray(worked)
        for _ in range(chance.choice((1, 3, 20, 200))):
            damaged[chance.choice(used) + chance.randrange(400)] ^= 1 << chance.randrange(8)
        assert 0 <= log_in_flash.records(Read(damaged)) <= RECORDS + 1


def test_a_link_that_breaks_is_no_empty_log(worked: bytearray) -> None:
    class Cut(Read):
        def read(self, offset: int, size: int) -> bytes:
            if self.bytes > 20_000:
                raise LoaderFault("port", "link_lost", "the link broke", "again")
            return super().read(offset, size)

    with pytest.raises(LoaderFault, match="the link broke"):
        log_in_flash.records(Cut(worked))


@pytest.fixture
def boards(tmp_path: Path, worked: bytearray) -> Iterator[list[BenchBoard]]:
    """One that works, and a bare one."""
    made = [
        BenchBoard(tmp_path / "worked"),
        BenchBoard(tmp_path / "bare", mac=b"\x24\x0a\xc4\0\0\7"),
    ]
    made[0].flash[:] = worked
    with on_bench(*made):
        yield made


def test_a_node_with_readings_is_spared(
    tmp_path: Path, boards: list[BenchBoard], worked: bytearray
) -> None:
    cache = Cache(tmp_path / "cache")
    todo, memory = job(cache), Memory(tmp_path / "flashed", cache)
    ports = [each.url for each in boards]
    first, second = flash.many(todo, ports, memory, quiet, spare=True)
    assert first.fault is not None and first.fault.code == "unsent" and first.attempts == 1
    assert "up to 1,200 readings" in first.fault.cause and first.found is not None
    assert second.fault is None and boards[0].flash == worked
    with loader.entered(ports[0]):  # it was started again, not left in its loader
        assert boards[0].events.count("boot") >= 2
    (done,) = flash.many(todo, ports[:1], memory, quiet)
    assert done.fault is None and boards[0].flash != worked
    (done,) = flash.many(todo, ports[:1], memory, quiet, spare=True)
    assert done.fault is None, "its log is gone"


async def typed(answer: str, folder: Path, *words: str) -> tuple[int, str]:
    """Exit status and errors of a command at a terminal where somebody answers."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "kerbline", *words],
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"XDG_CACHE_HOME": f"{folder}/cache", "XDG_STATE_HOME": f"{folder}/state"},
    )
    os.close(theirs)
    os.write(ours, answer.encode() + b"\n")
    _, error = await process.communicate()
    os.close(ours)
    assert process.returncode is not None and b"Traceback" not in error
    return process.returncode, error.decode()


def test_the_command_asks_and_a_script_says_yes(
    tmp_path: Path, boards: list[BenchBoard], worked: bytearray
) -> None:
    (tmp_path / "mp.bin").write_bytes(STOCK)
    bundle, root = releases_in(tmp_path)
    words = ["flash", "--board", "streetlight-esp32", "--bundle", str(bundle), "--root", str(root)]
    words += ["--micropython", str(tmp_path / "mp.bin"), boards[0].url]
    status, out, _ = kerbline(tmp_path, *words, "--json")
    assert status == 1 and json.loads(out)["code"] == "unsent" and "--yes" in out
    status, error = asyncio.run(typed("n", tmp_path, *words))
    assert status == 1 and "1,200 readings" in error and "Flash these all the same?" in error
    assert boards[0].flash == worked
    status, error = asyncio.run(typed("y", tmp_path, *words))
    assert status == 0 and boards[0].flash != worked
    boards[0].flash[:] = worked
    status, out, _ = kerbline(tmp_path, *words, "--json", "--yes")
    assert status == 0 and json.loads(out)["ok"]


def test_a_cable_in_the_wrong_board_commissions_nothing(tmp_path: Path, worked: bytearray) -> None:
    """A laptop that has not begun it leaves a working node alone, unless it is told otherwise."""
    scene = Scene(tmp_path / "laptop")
    scene.folder.mkdir()
    scene.write()
    with on_the_bench(tmp_path, None) as board:
        board.flash[:] = worked
        ran = scene.commission(board, here=True)
        assert ran.status == 1 and ran.codes() == ["works"] and "1,200 readings" in ran.error
        assert board.flash[VFS.offset :] == worked[VFS.offset :]
        ran = scene.commission(board, "--again", kill_at=("flash", "done"))
        assert ran.states("done") == ["detect", "flash"]
        assert board.flash[VFS.offset :] != worked[VFS.offset :]
