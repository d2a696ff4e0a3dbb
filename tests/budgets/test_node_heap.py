"""The node's stack on a 32-bit heap: state, largest block, garbage, and that it all fits."""

from pathlib import Path

import pytest

from tests.budgets import heap

STATE_BYTES = 16 * 1024
BLOCK_BYTES = 1024


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return heap.recorded(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mpy")
    heap.compiled(folder)
    return folder


def test_a_full_session_holds_no_more_than_its_budget(
    micropython32: Path, code: Path, recording: Path
) -> None:
    told = heap.played(micropython32, code, recording)
    assert told["up"] == "1"
    assert 0 < int(told["state"]) <= STATE_BYTES
    for label in ("noise", "half", "duplicate"):
        assert told[f"garbage.{label}"] == "0", label


def test_no_block_is_larger_than_a_kibibyte(
    micropython32: Path, code: Path, recording: Path
) -> None:
    assert heap.played(micropython32, code, recording, str(BLOCK_BYTES))["up"] == "1"
    assert not heap.played(micropython32, code, recording, "96"), "the holes let anything through"


def test_the_stack_as_it_is_shipped_greets_and_exchanges(
    micropython: Path, code: Path, recording: Path
) -> None:
    assert heap.played(micropython, code, recording, kib=1024)["up"] == "1"
