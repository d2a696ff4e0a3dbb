"""esptool itself against a board on the bench: what is written, what it costs, what it tells."""

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from kerbline.boardtools import connected, loader, usb
from kerbline.boardtools.loader import Region
from kerbline.boardtools.loader_link import REMEDIES, LoaderFault
from kerbline.field import unbrick
from kerbline.firmware import image
from kerbline.sim import bench_board, bench_chip
from kerbline.sim.bench_board import BenchBoard, on_bench
from kerbline.sim.repl import MAC

SMALL_BYTES = 60_000
WAYS = pytest.mark.parametrize("serial", [False, True], ids=["socket", "serial"])
STOCK = bench_chip.stock_image("esp32", SMALL_BYTES)
VFS = image.PARTITIONS["esp32"]


def files(text: str = "print('hello')\n") -> bytes:
    return image.made({"main.py": text.encode()}, VFS.size)


def regions(system: bytes) -> list[Region]:
    return [Region(0x1000, STOCK, "MicroPython"), Region(VFS.offset, system, "file system")]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BenchBoard]:
    """On a socket, with no MicroPython to run."""
    found = BenchBoard(tmp_path)
    with on_bench(found):
        yield found


def fault_of(board: BenchBoard, system: bytes | None = None) -> LoaderFault:
    """What a write there fails with."""
    with pytest.raises(LoaderFault, match=re.escape(board.url)) as told:
        loader.write(board.url, regions(system or files()))
    assert told.value.remedy == REMEDIES[told.value.code]
    return told.value


@WAYS
def test_a_bare_board_is_flashed_and_runs_what_was_flashed(
    tmp_path: Path, micropython: Path, capfd: pytest.CaptureFixture[str], *, serial: bool
) -> None:
    board = BenchBoard(tmp_path, micropython, serial=serial)
    told: list[tuple[int, int]] = []
    with on_bench(board):
        found = loader.identify(board.url)
        done = loader.write(board.url, regions(files()), lambda *part: told.append(part))
        with connected(board.url) as repl:
            text = repl.run("print(open('/main.py').read())")
            repl.run("import esp32; n = esp32.NVS('k'); n.set_blob('a', b'kept'); n.commit()")
        again = loader.write(board.url, regions(files())[1:])
        with connected(board.url) as repl:
            code = "b = bytearray(4); esp32.NVS('k').get_blob('a', b); print(bytes(b))"
            kept = repl.run(f"import esp32; {code}")
    assert (found.chip, found.mac, found.flash_bytes) == ("esp32", MAC.hex(":"), 4 << 20)
    assert not (found.secure_boot or found.flash_encryption or found.secure_download)
    assert bytes(board.flash[0x1000 : 0x1000 + 0x8000]) == STOCK[:0x8000]
    assert text.strip() == "print('hello')"
    assert kept.strip() == "b'kept'"
    assert done.written_bytes > done.flash_bytes - 4096 and again.written_bytes < 40_000
    assert told == sorted(told) and told[-1] == (done.written_bytes, done.written_bytes)
    assert capfd.readouterr() == ("", ""), "esptool is not heard"


@pytest.mark.nightly  # pyserial asks for each setting anew: 17 s
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
def test_rts_and_dtr_lead_into_the_loader_and_out_of_it(tmp_path: Path) -> None:
    """No SYNC counts as a reset there: esptool pulls the lines itself."""
    board = BenchBoard(tmp_path, way="rfc2217")
    board.flash[0x1000 : 0x1000 + len(STOCK)] = STOCK
    with on_bench(board):
        assert loader.identify(board.url).mac == MAC.hex(":")
        assert board.state == "off", "it was left: no MicroPython runs on this bench"
    assert board.events[0] == "boot" and board.events[-1] == "boot"
    assert "loader" in board.events


@pytest.mark.parametrize("chip", ["esp32s3", "esp32c3", "esp32c6"])
def test_the_chips_that_we_know_are_flashed(tmp_path: Path, chip: str) -> None:
    board = BenchBoard(tmp_path, chip=chip)
    stock = bench_chip.stock_image(chip, SMALL_BYTES)
    with on_bench(board):
        done = loader.write(board.url, [Region(0, stock)], chip=chip)
    assert done.found.chip == chip and done.found.mac == MAC.hex(":")
    assert board.flash[: len(stock)] == stock and "left" in board.events


@WAYS
def test_a_small_change_costs_its_sectors(tmp_path: Path, *, serial: bool) -> None:
    """2 kB of 2 MiB: one sector is written, and 6 kB are sent, what proves it counted."""
    board = BenchBoard(tmp_path, serial=serial)
    old = regions(files())
    changed = bytearray(old[1].data)
    changed[0x5_0000:0x5_0800] = Random(1).randbytes(2048)
    new = [old[0], Region(VFS.offset, bytes(changed), "file system")]
    with on_bench(board):
        first = loader.write(board.url, old)
        done = loader.write(board.url, new, known=old)
        same = loader.write(board.url, new, known=new)
    assert first.sent_bytes > 75_000
    assert done.written_bytes == 4096 and done.sent_bytes < 6000
    assert same.written_bytes == 0
    assert board.flash[VFS.offset : VFS.offset + VFS.size] == changed


def test_a_record_that_lies_costs_no_byte_of_the_result(board: BenchBoard) -> None:
    """What was said to be in the flash is not: all that is wrong there is written."""
    old = regions(files())
    other = Region(VFS.offset, files("print('another')\n" * 900), "file system")
    loader.write(board.url, [old[0], other])
    board.flash[VFS.offset + 0x8_0000] = 0  # and a bit rotted
    done = loader.write(board.url, old, known=old)
    assert board.flash[VFS.offset : VFS.offset + VFS.size] == old[1].data
    assert done.written_bytes > 0


@WAYS
def test_a_link_that_dies_at_17_percent_goes_on_there(tmp_path: Path, *, serial: bool) -> None:
    stock = bench_chip.stock_image("esp32", 700_000)
    whole = [Region(0x1000, stock, "MicroPython")]
    board = BenchBoard(tmp_path, serial=serial)
    with on_bench(board):
        all_of_it = loader.write(board.url, whole).sent_bytes
    board = BenchBoard(tmp_path, serial=serial)
    with on_bench(board):
        board.faults.cut_after = all_of_it * 17 // 100
        with pytest.raises(LoaderFault) as told:
            loader.write(board.url, whole)
        assert told.value.code == "link_lost"
        rest = loader.write(board.url, whole)
    assert board.flash[0x1000 : 0x1000 + len(stock)] == stock
    assert rest.sent_bytes < all_of_it * 0.92, "what was written before is not written again"
    assert rest.written_bytes < len(stock)


@pytest.mark.nightly
@WAYS
def test_a_link_that_dies_anywhere_goes_on(tmp_path: Path, *, serial: bool) -> None:
    """While it is found, while the stub is sent, within an image or between two, at the end."""
    whole = regions(files())
    board = BenchBoard(tmp_path / "whole", serial=serial)
    with on_bench(board):
        loader.write(board.url, whole)
        total = board.received
        faults = set()
        for percent in range(0, 100, 6):
            board.flash[:] = b"\xff" * len(board.flash)
            board.faults.cut_after = board.received + total * percent // 100
            with pytest.raises(LoaderFault) as told:
                loader.write(board.url, whole)
            faults.add(told.value.code)
            loader.write(board.url, whole)
            for each in whole:
                assert board.flash[each.offset : each.end] == each.data
    assert faults == {"link_lost"}


def test_a_wrong_chip_is_told_before_a_byte_is_written(tmp_path: Path) -> None:
    board = BenchBoard(tmp_path, chip="esp32c3")
    with on_bench(board):
        with pytest.raises(LoaderFault) as told:
            loader.write(board.url, regions(files()), chip="esp32")
        assert told.value.code == "wrong_chip" and "ESP32-C3" in told.value.cause
        with pytest.raises(LoaderFault) as told:
            loader.write(board.url, [Region(0, STOCK)])
        assert told.value.code == "wrong_image"
    assert board.flash == b"\xff" * len(board.flash)


@pytest.mark.parametrize(
    ("chip", "what"),
    [
        ("esp32", "secure_boot"),
        ("esp32", "flash_encryption"),
        ("esp32c3", "secure_boot"),
        ("esp32c3", "flash_encryption"),
        ("esp32c3", "secure_download"),
    ],
)
def test_a_locked_chip_is_told_and_left_alone(tmp_path: Path, chip: str, what: str) -> None:
    boot, crypt, download = (
        what == lock for lock in ("secure_boot", "flash_encryption", "secure_download")
    )
    board = BenchBoard(
        tmp_path, chip=chip, secure_boot=boot, encrypted=crypt, secure_download=download
    )
    with on_bench(board):
        assert fault_of(board).code == what
        found = loader.identify(board.url)
        (looked,) = unbrick.look(board.url, 1.0)
    assert looked.code == what and looked.remedy == REMEDIES[what]
    assert (found.secure_boot, found.flash_encryption) == (boot, crypt)
    assert found.secure_download is download
    assert board.flash == b"\xff" * len(board.flash)


def test_too_small_a_flash_is_told(tmp_path: Path) -> None:
    board = BenchBoard(tmp_path, flash_bytes=2 << 20)
    with on_bench(board):
        told = fault_of(board)
    assert told.code == "flash_small" and "2,097,152" in told.cause


def test_damaged_frames_are_sent_again(board: BenchBoard) -> None:
    board.faults.flip_every = 3
    loader.write(board.url, regions(files()))
    assert board.flash[0x1000 : 0x1000 + len(STOCK)] == STOCK


def test_noise_is_told(board: BenchBoard) -> None:
    with loader.entered(board.url) as entered:
        board.faults.noise = b"\x00\xf0\x0f"
        with pytest.raises(LoaderFault) as told:
            entered.write(regions(files()))
        board.faults.noise = b""
    assert told.value.code == "noise"


def test_a_worn_flash_is_told(board: BenchBoard) -> None:
    board.faults.worn_at = VFS.offset + 5
    assert fault_of(board).code == "verify"


def test_a_supply_that_gives_way_is_told(board: BenchBoard) -> None:
    board.faults.brown_out = True
    assert fault_of(board).code == "brown_out"


def test_a_supply_that_gives_way_while_it_is_written_is_told(board: BenchBoard) -> None:
    with loader.entered(board.url) as entered:
        board.faults.noise = bench_board.BROWN_OUT
        with pytest.raises(LoaderFault) as told:
            entered.write(regions(files()))
        board.faults.noise = b""
    assert told.value.code == "brown_out"


@WAYS
def test_a_board_that_dies_while_it_is_written_is_told(tmp_path: Path, *, serial: bool) -> None:
    board = BenchBoard(tmp_path, serial=serial)
    with on_bench(board):
        board.faults.cut_after, board.faults.dies = 30_000, True
        assert fault_of(board).code == "link_lost"
        if not serial:  # where esptool gives up sooner: it has no lines to pull
            assert fault_of(board).code == "no_answer"
            board.press_reset()
            assert loader.write(board.url, regions(files())).found.mac == MAC.hex(":")


def test_a_board_without_auto_reset_wants_its_button(tmp_path: Path) -> None:
    """It says why it does not start; BOOT and EN help."""
    board = BenchBoard(tmp_path, auto_reset=False)
    with on_bench(board):
        assert fault_of(board).code == "boot_strap"
        board.strap()
        loader.write(board.url, regions(files()))
    assert board.flash[0x1000 : 0x1000 + len(STOCK)] == STOCK


def test_a_port_that_is_not_there_or_not_ours_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoaderFault) as told:
        loader.identify(str(tmp_path / "ttyUSB9"))
    assert told.value.code == "no_port"
    with pytest.raises(LoaderFault) as told:
        loader.identify("socket://127.0.0.1:1")
    assert told.value.code == "no_port" and "nobody listens" in told.value.cause
    with pytest.raises(LoaderFault, match="can't be reached; write socket://HOST:PORT"):
        loader.identify("socket://")
    board = BenchBoard(tmp_path, serial=True)
    with on_bench(board):
        held = usb.opened(board.url)
        with pytest.raises(LoaderFault) as told:
            loader.identify(board.url)
        held.close()
        assert told.value.code == "port_busy"
        assert usb.socket_of(board.url).slot == board.url


def test_erase_leaves_nothing(board: BenchBoard) -> None:
    loader.write(board.url, regions(files()))
    with loader.entered(board.url) as entered:
        entered.erase()
        assert not entered.holds(regions(files())[0])
    assert board.flash == b"\xff" * len(board.flash)
