"""The decoder in JavaScript, written from wire.md alone, agrees with every vector."""

import shutil
import subprocess

import pytest

from tools.trees import ROOT

TEST = ROOT / "protocol" / "interop" / "kerbwire.test.mjs"


def test_a_decoder_from_the_text_alone_passes_the_vectors() -> None:
    """`node --test` of the second implementation, over protocol/vectors."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: sudo apt-get install nodejs")
    command = [node, "--test", str(TEST)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
