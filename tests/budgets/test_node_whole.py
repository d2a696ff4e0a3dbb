"""A board's built files on a 32-bit heap: they live in a chip's, and nothing else is loaded."""

import subprocess
from pathlib import Path

import pytest

from kerbline.firmware import build as building
from kerbnode import store
from tests.budgets import bench_whole, whole
from tools import bench_cycles
from tools.trees import ROOT

MOST_NAMES = 20 + 40 + 80 + 160 + 320
REPORTS = 150  # past the boot's trial, which loads code of its own


def _assert_lives(firmware: building.Firmware, told: whole.Told, reports: int) -> None:
    assert told.said == []
    assert told.reports >= reports
    assert told.configured >= reports // whole.CONFIG_EACH - 1
    assert told.fakes <= 1024 * whole.FAKES_KIB
    assert told.free >= bench_whole.FREE_BYTES
    assert told.retained <= bench_whole.RETAINED_BYTES
    drivers = {part.path for part in firmware.parts}
    assert "kerbnode/app.mpy" in drivers
    assert not [name for name in told.modules if ".sim" in name or name == "kerbwire.polled"]
    assert not {"kerbwire.handshake", "kerbwire.config", "kerbnode.checking"} & set(told.modules)


def _names(content: bytes) -> list[str]:
    """The names that a .mpy file (version 6) brings, but those that every image has."""
    at = 4

    def number() -> int:
        nonlocal at
        value = 0
        while True:
            at += 1
            value = value << 7 | content[at - 1] & 0x7F
            if not content[at - 1] & 0x80:
                return value

    count, _ = number(), number()
    found = []
    for _ in range(count):
        length = number()
        if not length & 1:
            found.append(content[at : at + length // 2].decode())
            at += length // 2 + 1
    return found


@pytest.mark.parametrize("board", whole.BOARDS)
def test_all_names_of_a_node_fit_where_a_chip_keeps_them(micropython32: Path, board: str) -> None:
    """MicroPython adds a table twice as large as the last, and never gives one back.

    The one behind 620 names takes 4.5 KB in one piece, so nothing a node ever loads may need it.
    """
    names = set()
    for part in whole.built(board).parts:
        if part.path.endswith(".mpy") and "selftest" not in part.path:
            module = part.path.removesuffix(".mpy")
            names |= {*_names(part.content), f"/app/{part.path}", module.replace("/", ".")}
    asked = "import micropython\nclass All: pass\n"
    asked += f"for name in {sorted(names)}: setattr(All, name, 1)\nmicropython.qstr_info()\n"
    told = subprocess.run([micropython32, "-c", asked], capture_output=True, text=True, check=True)
    count = int(told.stdout.partition("n_qstr=")[2].partition(",")[0])
    assert len(names) / 2 < count <= MOST_NAMES


def _stated(board: str) -> list[int]:
    """What the text says of that board: retained, resident, free."""
    text = (ROOT / "docs" / "understand" / "node-life.md").read_text()
    [row] = [line for line in text.splitlines() if line.startswith(f"| {board} |")]
    return [int(cell.replace(",", "")) for cell in row.split("|")[2:5]]


@pytest.mark.parametrize("board", whole.BOARDS)
def test_a_node_lives_in_a_chips_heap_while_its_settings_change(
    micropython32: Path, board: str
) -> None:
    firmware = whole.built(board)
    told = bench_whole.steady(micropython32, firmware, REPORTS)
    _assert_lives(firmware, told, REPORTS)
    retained, resident, free = _stated(board)
    assert 0.95 * retained <= told.retained <= retained
    assert 0.95 * resident <= whole.resident(firmware, told.modules) <= resident
    assert free <= told.free <= 1.1 * free


@pytest.mark.parametrize("board", whole.BOARDS)
def test_a_frame_leaves_little_garbage(micropython32: Path, board: str) -> None:
    told = bench_whole.metered(micropython32, whole.built(board))
    assert told.said == []
    readings = bench_whole.HOURS.get(board, 1)
    assert 0 < told.garbage_each(whole.REPORT) <= bench_whole.GARBAGE_BYTES * readings
    assert 0 < told.garbage_each(whole.ANSWER) <= bench_whole.GARBAGE_BYTES


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
@pytest.mark.usefixtures("micropython32")
@pytest.mark.parametrize("board", whole.BOARDS)
def test_its_heap_does_not_shrink_in_many_cycles(board: str) -> None:
    """One life; a board that has done it with this very code is passed over."""
    assert bench_cycles.live(whole.built(board), bench_cycles.CYCLES) == ""


def test_a_line_gives_what_there_is_room_for_and_the_rest_at_once() -> None:
    world = whole.World(whole.built("streetlight-esp32"), 1)
    sent = bytes(range(100))
    world.arrive(20, sent)
    assert world.due_ms == 20
    room = (64).to_bytes(2, "little")
    first = world.answer("r", 1, room, 20)[1]
    assert first == sent[:64]
    assert world.due_ms == 20
    assert world.answer("r", 1, room, 20)[1] == sent[64:]
    assert world.due_ms == -1


def test_a_node_ends_with_its_world(micropython32: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(whole.World(whole.built("streetlight-esp32"), 1).flash)
    command = [str(micropython32), str(whole.PROBE), "0", "/dev/null", "/dev/null", str(flash)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert "ended no world" in ended.stdout


def test_a_heap_that_shrinks_is_seen() -> None:
    steady = [70_000, 70_400, 70_100, 70_300, 70_200] * 4
    assert bench_cycles.lost(steady) <= bench_cycles.SLACK_BYTES
    leaking = [70_000 + 100 * at for at in range(20)]
    assert bench_cycles.lost(leaking) > bench_cycles.SLACK_BYTES


def test_looks_fall_on_all_places_between_two_flushes() -> None:
    rhythm = store.WAIT_MS // 1000  # a report a second
    for cycles in (300, bench_cycles.CYCLES):
        step = bench_cycles.step(cycles)
        assert len({look * step % rhythm for look in range(1, rhythm + 1)}) == rhythm
    held = [72_600 + 80 * (look * step % rhythm) for look in range(1, bench_cycles.LOOKS)]
    assert bench_cycles.lost(held) == 0
