"""`kerbline flash`: many boards at once, each by itself, and what is kept between runs."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline import carried
from kerbline.boardtools import connected, loader
from kerbline.boardtools.loader_link import REMEDIES
from kerbline.field import flash, flash_images
from kerbline.field.flash import Job, Step
from kerbline.field.flash_images import Cache, Memory
from kerbline.firmware import image
from kerbline.sim import bench_chip
from kerbline.sim.bench_board import BenchBoard, on_bench
from kerbline.sim.repl import MAC
from kerbwire import manifest
from tests import in_process
from tests.field import releases

STOCK = bench_chip.stock_image("esp32", 120_000)
VFS = image.PARTITIONS["esp32"]
BATCH = 6


def job(cache: Cache, text: bytes = b"print('hello')\n", app: bytes = STOCK) -> Job:
    """A job whose node is one line."""
    file = cache._folder / "mp.bin"
    flash_images.replaced(file, app)
    stock = flash_images.stock(file, "esp32", "", cache)
    return Job("streetlight-esp32", "esp32", "1", stock, image.made({"main.py": text}, VFS.size))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def memory(tmp_path: Path, cache: Cache) -> Memory:
    return Memory(tmp_path / "flashed", cache)


@contextmanager
def benches(folder: Path, count: int = BATCH) -> Iterator[list[BenchBoard]]:
    boards = [
        BenchBoard(folder / str(n), mac=MAC[:4] + n.to_bytes(2, "big"), serial=n % 2 == 1)
        for n in range(count)
    ]
    with on_bench(*boards):
        yield boards


def holds(board: BenchBoard, job: Job) -> bool:
    return all(
        board.flash[each.offset : each.end] == each.data.ljust(len(each.data), b"\xff")
        for each in job.regions()
    )


def quiet(step: Step) -> None:
    """Nobody watches."""


def kerbline(folder: Path, *words: str | Path, cache: Path | None = None) -> tuple[int, str, str]:
    """Exit status, output and errors of a command, with caches of its own."""
    places = {"XDG_CACHE_HOME": str(cache or folder / "cache")}
    places["XDG_STATE_HOME"] = str(folder / "state")
    return in_process.kerbline(*words, environment=places)


def test_a_batch_is_flashed_and_one_that_dies_stops_no_other(
    tmp_path: Path, cache: Cache, memory: Memory
) -> None:
    """Sockets and serial ports; one dies, one is no board, one is another chip, one is cut."""
    todo = job(cache)
    steps: list[Step] = []
    with benches(tmp_path) as boards:
        other = BenchBoard(tmp_path / "c3", chip="esp32c3")
        with on_bench(other):
            boards[2].faults.cut_after, boards[2].faults.dies = 60_000, True
            boards[3].faults.cut_after = 60_000
            ports = [each.url for each in boards]
            ports += [other.url, str(tmp_path / "ttyUSB7")]
            outcomes = flash.many(todo, ports, memory, steps.append)
    codes = [each.fault.code if each.fault else "" for each in outcomes]
    assert codes == ["", "", "no_answer", "", "", "", "wrong_chip", "no_port"]
    assert [each.port for each in outcomes] == ports
    assert [holds(board, todo) for board in boards] == [True, True, False, True, True, True]
    assert outcomes[3].attempts == 2 and outcomes[3].written
    assert outcomes[3].written.sent_bytes < outcomes[1].written.sent_bytes  # type: ignore[union-attr]
    last = {step.port: step.what for step in steps}
    assert [last[port] for port in ports] == ["failed" if code else "done" for code in codes]
    for step in steps:
        assert 0 <= step.done <= step.of


def test_what_was_flashed_is_remembered_by_mac(
    tmp_path: Path, cache: Cache, memory: Memory
) -> None:
    """A small change in the node costs little; NVS outlives it all; a lie in the record is none."""
    first, second = job(cache), job(cache, b"print('other')\n")
    with benches(tmp_path, 1) as (board,):
        flash.many(first, [board.url], memory, quiet)
        board.flash[0x9000:0x9004] = b"{} \n"
        (done,) = flash.many(second, [board.url], memory, quiet)
        assert done.written and 0 < done.written.written_bytes <= 16_384
        assert holds(board, second)
        board.flash[VFS.offset : VFS.offset + VFS.size] = bytes(VFS.size)  # someone else was here
        board.flash[0x2_0000:0x2_1000] = bytes(4096)
        (done,) = flash.many(second, [board.url], memory, quiet)
        assert done.fault is None and holds(board, second)
        assert bytes(board.flash[0x9000:0x9004]) == b"{} \n"
        (tmp_path / "flashed" / f"{MAC[:4].hex()}0000.json").write_text("nonsense")
        (done,) = flash.many(second, [board.url], memory, quiet)
        assert done.written and done.written.written_bytes == 0


def test_what_is_stopped_goes_on(tmp_path: Path, cache: Cache, memory: Memory) -> None:
    """Ctrl-C stops at the next block; the next run has less to do."""
    todo = job(cache, app=bench_chip.stock_image("esp32", 400_000))
    stop = threading.Event()

    def tell(step: Step) -> None:
        if step.what == "writing" and step.done > step.of // 10:
            stop.set()

    with benches(tmp_path, 1) as (board,):
        done = flash.one(todo, board.url, memory, tell, loader.BAUD, stop)
        assert done.fault is not None and done.fault.code == "stopped" and done.attempts == 1
        (again,) = flash.many(todo, [board.url], memory, quiet)
        assert again.fault is None and holds(board, todo)


def test_a_noisy_line_gets_a_slower_attempt(tmp_path: Path, cache: Cache, memory: Memory) -> None:
    steps: list[Step] = []

    with benches(tmp_path, 1) as (board,):

        def tell(step: Step) -> None:
            steps.append(step)
            is_first = all(each.what != "again" for each in steps)
            board.faults.noise = b"\x00\xff" if step.what == "writing" and is_first else b""

        (done,) = flash.many(job(cache), [board.url], memory, tell)
        assert done.fault is None and done.attempts == 2
    assert "again" in [step.what for step in steps]


def releases_in(folder: Path, board: str = releases.BOARD) -> tuple[Path, Path]:
    """A signed bundle and its root."""
    bundle, root = folder / "small.kerb", folder / "release.pub"
    starts = {"boot.py": b"", "main.py": b"print('a release')\n", "slots.mpy": b"M\x06\x00"}
    bundle.write_bytes(releases.signed(starts=starts, board=board))
    root.write_text(releases.key().root.text)
    return bundle, root


def test_the_trees_node_is_flashed_and_starts(tmp_path: Path, micropython: Path) -> None:
    cache = Cache(tmp_path / "cache")
    flash_images.replaced(tmp_path / "mp.bin", STOCK)
    todo = flash.prepare("streetlight-esp32", tmp_path / "mp.bin", "", cache)
    board = BenchBoard(tmp_path / "board", micropython)
    with on_bench(board):
        (done,) = flash.many(todo, [board.url], Memory(tmp_path / "flashed", cache), quiet)
        assert done.fault is None
        with connected(board.url) as repl:
            found = repl.run("import os; print(os.listdir('/'))\nf = open('/slot_a', 'rb').read()")
            slot = repl.run("print(f.hex())")
    assert "boot.py" in found and "main.py" in found
    assert manifest.decode(bytes.fromhex(slot)).board == "streetlight-esp32"


def test_the_command_flashes_a_release(tmp_path: Path, micropython: Path) -> None:
    """The image is named once; the signature counts; a board that fails sets the status."""
    file = tmp_path / "mp.bin"
    file.write_bytes(STOCK)
    bundle, root = releases_in(tmp_path)
    board = BenchBoard(tmp_path / "board", micropython)
    with on_bench(board):
        words = ["flash", "--board", releases.BOARD, board.url, "--json", "--bundle", str(bundle)]
        status, _, error = kerbline(tmp_path, *words)
        assert status == 1 and "--micropython" in error
        words += ["--root", str(root)]
        status, out, error = kerbline(tmp_path, *words, "--micropython", file)
        assert status == 0 and "compare its SHA-256" in error
        told = json.loads(out)
        assert told["ok"] and told["mac"] == MAC.hex(":") and told["written_bytes"] > 2 << 20
        with connected(board.url) as repl:
            main, slot = repl.run(
                "print(open('/main.py').read())\nprint(open('/slot_a', 'rb').read().hex())"
            ).split()[-2:]
        assert "release" in main
        assert manifest.decode(bytes.fromhex(slot)).sequence == releases.SMALL.sequence
        status, out, error = kerbline(tmp_path, *words, "socket://127.0.0.1:1")
        lines = [json.loads(line) for line in out.splitlines()]
        assert status == 1 and [line["ok"] for line in lines] == [True, False]
        assert lines[1]["code"] == "no_port" and lines[1]["remedy"]
        assert error == ""
        (tmp_path / "file").touch()
        status, out, error = kerbline(
            tmp_path, *words, "--micropython", file, cache=tmp_path / "file"
        )
        assert status == 0 and "is not kept" in error and json.loads(out)["ok"]
        text = root.read_text().rstrip()
        root.write_text(text[:-1] + ("0" if text[-1] != "0" else "1") + "\n")
        status, out, error = kerbline(tmp_path, *words)
        assert (status, out) == (1, "") and str(bundle) in error


def test_the_command_asks_for_what_it_lacks(tmp_path: Path) -> None:
    for words, told in (
        (("flash", "socket://127.0.0.1:1"), "--board is missing"),
        (("flash", "--board", "nonesuch", "x"), "no board is called so"),
        (("flash", "--board", "sim", "x"), "no flash to write"),
        (("flash", "--board", "streetlight-esp32", "--root", "r", "x"), "--root is for a --bundle"),
    ):
        status, _, error = kerbline(tmp_path, *words)
        assert status != 0 and told in error


def test_every_fault_is_explained() -> None:
    """Each code, with the beginning of its remedy, in the technician's page."""
    page = (carried.root() / "docs" / "operate" / "flashing.md").read_text()
    for code in (*REMEDIES, "stopped"):
        assert f"| `{code}` |" in page, code
    source = (carried.root() / "gateway/kerbline/field/unbrick.py").read_text()
    for code in re.findall(r'Finding\(\s*"(\w+)"', source):
        assert f"`{code}`" in page, code
