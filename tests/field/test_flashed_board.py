"""What was flashed is what runs: the app, otadata and the file system of a bench board."""

from pathlib import Path

from kerbline.boardtools import connected, loader
from kerbline.boardtools.loader import Region
from kerbline.field import unbrick
from kerbline.firmware import image
from kerbline.sim import bench_chip
from kerbline.sim.bench_board import BenchBoard, on_bench

VFS = image.PARTITIONS["esp32"]
OTA = (bench_chip.OTA_0, bench_chip.OTA_0 + 1)
VERSION = "import sys; print(sys.implementation.version[:3])"
RUNS = "import esp32; print(esp32.Partition(esp32.Partition.RUNNING).info()[4])"
WHO = "import machine; print(machine.unique_id().hex(':'))"
# What `firmware/kerbnode/image.py` does when it takes the other image.
TURNS = "import esp32; esp32.Partition('ota_1').set_boot()"
STAYS = "import esp32; esp32.Partition.mark_app_valid_cancel_rollback()"


def asked(board: BenchBoard, code: str) -> str:
    """What the running board prints."""
    with connected(board.url) as repl:
        return repl.run(code).strip()


def test_the_app_that_was_flashed_runs_and_one_that_is_damaged_does_not(
    tmp_path: Path, micropython: Path
) -> None:
    stock = bench_chip.stock_image("esp32", 40_000, version="1.31.0")
    board = BenchBoard(tmp_path, micropython, mac=bytes.fromhex("240ac4000233"))
    with on_bench(board):
        told = loader.write(board.url, [Region(0x1000, stock)]).found
        assert asked(board, WHO) == told.mac == "24:0a:c4:00:02:33", "one chip, asked both ways"
        assert asked(board, VERSION) == "(1, 31, 0)"
        damaged = bytearray(stock)
        damaged[-9_000] ^= 1
        loader.write(board.url, [Region(0x1000, bytes(damaged))])
        (found,) = unbrick.look(board.url, 4.0)
        assert found.code == "no_repl"
        loader.write(board.url, [Region(0x1000, stock)])
        assert asked(board, VERSION) == "(1, 31, 0)"


def test_what_a_board_chose_is_in_its_flash(tmp_path: Path, micropython: Path) -> None:
    """An image on trial falls back at the next reset; one that is settled outlives a flasher."""
    apps = {kind: bench_chip.app(f"1.3{n}.0") for n, kind in enumerate(OTA, 1)}
    boot = bench_chip.stock_image("esp32", 16)[: 0x8000 - 0x1000]
    behind = bench_chip.apps("esp32", apps)[0x8000:]
    board = BenchBoard(tmp_path, micropython)
    with on_bench(board):
        loader.write(board.url, [Region(0x1000, boot + behind)])
        assert (asked(board, RUNS), asked(board, VERSION)) == ("ota_0", "(1, 31, 0)")
        for settle, then in (("", "ota_0"), (STAYS, "ota_1")):
            asked(board, TURNS)
            board.press_reset()
            assert asked(board, RUNS) == "ota_1"
            asked(board, settle)
            board.press_reset()
            assert asked(board, RUNS) == then
        loader.write(board.url, [Region(VFS.offset, b"\xff" * 4096)])
        assert (asked(board, RUNS), asked(board, VERSION)) == ("ota_1", "(1, 32, 0)")
