"""10^7 mutated frames on CPython, in a nightly run; `make bench-fuzz` throws the rest of 10^8."""

import subprocess
import sys

import pytest

from tools.bench_fuzz import BLOCK_FRAMES, interpreter, play
from tools.progress import WIRE, Progress
from tools.trees import ROOT

BLOCKS = 10_000_000 // BLOCK_FRAMES


@pytest.mark.nightly
@pytest.mark.parametrize("shard", range(4))
def test_ten_million_frames(shard: int) -> None:
    command = interpreter(micropython=False)
    for block in Progress("fuzz", WIRE).left(range(shard, BLOCKS, 4)):
        assert play(block, command) == "", block


def test_an_empty_range_of_the_bench_is_done_at_once() -> None:
    command = [sys.executable, "-m", "tools.bench_fuzz", "--blocks", "7:7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 frames, 0 blocks failed"
