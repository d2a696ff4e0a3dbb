"""A board's built files on a 32-bit heap: they live in a chip's, and nothing else is loaded."""

from pathlib import Path

import pytest

from kerbline.firmware import build as building
from tests.budgets import bench_whole, whole

REPORTS = 150  # past the boot's trial, which loads code of its own
CYCLES = 100_000


def _assert_lives(firmware: building.Firmware, told: whole.Told, reports: int) -> None:
    assert told.said == []
    assert told.reports >= reports
    assert told.configured >= reports // whole.CONFIG_EACH - 1
    assert told.fakes <= 1024 * whole.FAKES_KIB
    assert told.free >= bench_whole.FREE_BYTES
    drivers = {part.path for part in firmware.parts}
    assert "kerbnode/app.mpy" in drivers
    assert not [name for name in told.modules if ".sim" in name or name == "kerbwire.polled"]
    assert not {"kerbwire.handshake", "kerbwire.config", "kerbnode.checking"} & set(told.modules)


@pytest.mark.parametrize("board", whole.BOARDS[::2])
def test_a_node_lives_in_a_chips_heap_while_its_settings_change(
    micropython32: Path, board: str
) -> None:
    firmware = whole.built(board)
    told = bench_whole.steady(micropython32, firmware, REPORTS)
    _assert_lives(firmware, told, REPORTS)


@pytest.mark.nightly
@pytest.mark.parametrize("board", whole.BOARDS)
def test_it_does_so_for_many_cycles(micropython32: Path, board: str) -> None:
    firmware = whole.built(board)
    told = bench_whole.steady(micropython32, firmware, CYCLES)
    _assert_lives(firmware, told, CYCLES)
