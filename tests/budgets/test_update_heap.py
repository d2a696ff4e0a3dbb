"""What an update takes of a node's heap, on 32 bit and with the code as it is shipped."""

import subprocess
from pathlib import Path

import pytest

from kerbwire import messages as m
from tests.budgets import heap, updated, whole
from tools.second_release import manifest, signed
from tools.trees import ROOT
from tools.vectors_updates import ABOUT, TREE

LMS_HEAP_KIB = 40
TIGHTEST_BYTES = 12 * 1024  # the least that is free beside a transfer and what goes on with it
FULL_REPORTS = 1500  # heard of a full log beside the update: a meter has the fewest
BOARDS = [
    whole.BOARDS[0],
    *(pytest.param(board, marks=pytest.mark.nightly) for board in whole.BOARDS[1:]),
]
PROBE = ROOT / "tests" / "wire" / "lms_probe.py"


def test_a_signature_is_verified_in_a_small_heap(micropython32: Path, tmp_path: Path) -> None:
    """With the code, the release of 60 files and all that the interpreter itself takes."""
    for module in ("__init__", "errors", "limits", "lms", "release"):
        heap.compiled_one(ROOT / "protocol" / "kerbwire" / f"{module}.py", tmp_path)
    files = [(f"kerbnode/drivers/module_{number:02}.mpy", b"1") for number in range(60)]
    release = tmp_path / "signed"
    release.write_bytes(signed(TREE, 3, manifest(*ABOUT, files)))
    command = [str(micropython32), "-X", f"heapsize={LMS_HEAP_KIB}K", str(PROBE)]
    command += [str(release), TREE.public.hex()]
    environment = {"MICROPYPATH": f".frozen:{tmp_path}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    told = dict(line.split() for line in done.stdout.splitlines())
    assert int(told["good"]) == release.stat().st_size - 8 - 3 - 3 - 1504, done.stdout + done.stderr
    assert told["bad"] == "signature"
    assert int(told["kept"]) < 512


@pytest.mark.parametrize("board", BOARDS)
def test_an_update_fits_a_chips_heap_beside_a_full_log(micropython32: Path, board: str) -> None:
    """It is judged and applied at the next boot, before the node has its session."""
    firmware = whole.built(board)
    lives = updated.staged(micropython32, firmware, updated.small(firmware), full=True)
    assert [life.outcomes for life in lives] == [(), (m.UPDATE_TAKEN,), (m.UPDATE_STAGED,)], lives
    assert lives[-1].reports >= FULL_REPORTS, lives
    assert [life.said for life in lives] == [("ended restarts",), ("ended restarts",), ()]
    assert min(life.tightest for life in lives) >= TIGHTEST_BYTES, lives


@pytest.mark.nightly
def test_a_large_update_fits_too(micropython32: Path) -> None:
    firmware = whole.built("streetlight-esp32")
    lives = updated.staged(micropython32, firmware, updated.large(firmware))
    assert lives[-1].outcomes == (m.UPDATE_STAGED,), lives
    assert min(life.tightest for life in lives) >= TIGHTEST_BYTES, lives


@pytest.mark.parametrize("board", BOARDS)
def test_an_image_fits_a_chips_heap_beside_a_full_log(micropython32: Path, board: str) -> None:
    """It comes last, into the app partition that does not run; a boot reads it back."""
    firmware = whole.built(board)
    lives = updated.staged(micropython32, firmware, updated.imaged(firmware), full=True)
    outcomes = [life.outcomes for life in lives]
    assert outcomes == [(), (m.UPDATE_TAKEN,), (m.UPDATE_IMAGE,), (m.UPDATE_STAGED,)], lives
    assert min(life.tightest for life in lives) >= TIGHTEST_BYTES, lives
