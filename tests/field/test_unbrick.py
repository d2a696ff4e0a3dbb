"""`kerbline unbrick`: what is wrong is told first; then all of a flash is made anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.boardtools import connected, loader
from kerbline.boardtools.loader import Region
from kerbline.field import flash_images, unbrick
from kerbline.field.flash import Job, Step
from kerbline.field.flash_images import Cache
from kerbline.firmware import image
from kerbline.sim import bench_chip
from kerbline.sim.bench_board import BenchBoard, on_bench
from tests.field import releases
from tests.field.test_flash import kerbline, releases_in

STOCK = bench_chip.stock_image("esp32", 60_000)
VFS = image.PARTITIONS["esp32"]
IMPATIENT_S = 4.0
PATIENT_S = 60.0  # of a board that answers


@contextmanager
def flashed(folder: Path, micropython: Path, files: dict[str, bytes]) -> Iterator[BenchBoard]:
    """A board that runs these files."""
    board = BenchBoard(folder / "board", micropython)
    with on_bench(board):
        system = image.made(files, VFS.size)
        loader.write(board.url, [Region(0x1000, STOCK), Region(VFS.offset, system)])
        yield board


def codes(board: BenchBoard, patience_s: float = PATIENT_S) -> list[str]:
    return [each.code for each in unbrick.look(board.url, patience_s)]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"boot.py": b""}, ["answers", "main_missing", "no_settings", "no_key"]),
        ({"main.py": b"pass\n"}, ["answers", "no_slot", "no_settings", "no_key"]),
        ({"main.py": b"def main(:\n"}, ["answers", "main_broken", "no_settings", "no_key"]),
        (
            {"main.py": b"pass\n", "slot_a": b"x", "big": b"\xa5" * 2_040_000},
            ["answers", "file_system_full", "no_settings", "no_key"],
        ),
    ],
    ids=["no main", "no slot", "broken main", "full"],
)
def test_a_board_whose_repl_answers_is_told_and_not_erased(
    tmp_path: Path, micropython: Path, files: dict[str, bytes], wanted: list[str]
) -> None:
    with flashed(tmp_path, micropython, files) as board:
        assert codes(board) == wanted
        assert "loader" not in board.events[4:], "nobody went into the loader to look"


def test_a_sound_node_is_told(tmp_path: Path, micropython: Path) -> None:
    with flashed(tmp_path, micropython, {"main.py": b"pass\n", "slot_b": b"x"}) as board:
        with connected(board.url) as repl:
            repl.run(
                "import esp32; n = esp32.NVS('kerbnode')\n"
                "for k in ('settings', 'key'): n.set_blob(k, b'x')\nn.commit()"
            )
        assert codes(board) == ["sound"]


def test_a_bare_board_is_told_and_brought_back(tmp_path: Path, micropython: Path) -> None:
    board = BenchBoard(tmp_path / "board", micropython)
    with on_bench(board):
        assert codes(board, IMPATIENT_S) == ["no_repl"]
        board.flash[0x9000:0xF000] = b"\x00" * 0x6000  # an NVS that nothing can read
        cache = Cache(tmp_path / "cache")
        flash_images.replaced(tmp_path / "mp.bin", STOCK)
        stock = flash_images.stock(tmp_path / "mp.bin", "esp32", "", cache)
        system = image.made({"main.py": b"pass\n"}, VFS.size)
        steps: list[Step] = []
        done = unbrick.rewrite(Job("b", "esp32", "1", stock, system), board.url, steps.append)
        assert done.code == "sound"
        assert bytes(board.flash[0x9000:0xF000]) == b"\xff" * 0x6000
    stages = list(dict.fromkeys(step.what for step in steps))
    assert stages == ["finding", "erasing", "writing", "starting", "done"]


def test_a_chip_that_is_dead_is_told(tmp_path: Path) -> None:
    board = BenchBoard(tmp_path)
    with on_bench(board):
        board.faults.deaf = True
        (found,) = unbrick.look(board.url, 1.0)
    assert found.code in ("no_answer", "boot_strap") and found.remedy


def test_the_command_says_what_is_lost_and_asks(tmp_path: Path, micropython: Path) -> None:
    bundle, root = releases_in(tmp_path)
    file = tmp_path / "mp.bin"
    file.write_bytes(STOCK)
    with flashed(tmp_path, micropython, {"main.py": b"pass\n", "mine": b"x"}) as board:
        words = ["unbrick", board.url, "--board", releases.BOARD, "--micropython", str(file)]
        words += ["--bundle", str(bundle), "--root", str(root)]
        status, out, error = kerbline(tmp_path, *words)
        assert status == 130 and "MicroPython 1." in out, "nobody said yes"
        assert "Lost for good: the node's key" in error
        with connected(board.url) as repl:
            assert "mine" in repl.run("import os; print(os.listdir('/'))")
        status, out, error = kerbline(tmp_path, *words, "--yes", "--json")
        assert status == 0, error
        told = [json.loads(line) for line in out.splitlines()]
        assert told[-1]["code"] == "sound"
        with connected(board.url) as repl:
            assert "mine" not in repl.run("import os; print(os.listdir('/'))")
        status, out, _ = kerbline(tmp_path, "unbrick", board.url, "--look")
        assert status == 1 and "it has no key" in out
