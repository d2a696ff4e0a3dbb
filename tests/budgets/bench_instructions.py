"""Instructions of the node's work, counted by callgrind on the Unix port (two loop counts)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.figures import Figure
from tools.trees import ROOT

FEW, MANY = 20, 120
FEW_LONG = 2, 12  # of what takes millions
# An ESP32 runs some 100,000 of these in 1 ms (240 MHz, code from flash): half of a rise's time.
RISE_THOUSANDS = 100
MICROPYTHON = Path(sys.executable).parent / "micropython"


def _counted(name: str, count: int) -> int:
    """All instructions of one run."""
    folders = ("protocol", "firmware", "tests")
    path = ":".join([".frozen", *(str(ROOT / folder) for folder in folders)])
    script = str(ROOT / "tests" / "wire" / "loops.py")
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [str(MICROPYTHON), "-X", "heapsize=8M", script, name, str(count)]
    done = subprocess.run(
        command, env={"MICROPYPATH": path}, capture_output=True, text=True, check=True
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found.group(1))


def each(name: str, few: int = FEW, many: int = MANY) -> float:
    """Thousands of instructions of one go."""
    return (_counted(name, many) - _counted(name, few)) / (many - few) / 1000


def figures() -> list[Figure]:
    if not shutil.which("valgrind") or not MICROPYTHON.exists():
        return [Figure("AES-CCM seal of 64 bytes", "no valgrind or no MicroPython", "thousands")]
    received = each("receive") - each("polls")
    return [
        Figure("AES-CCM seal of 64 bytes", each("seal"), "thousands"),
        Figure("AES-CCM open of 64 bytes", each("open"), "thousands"),
        Figure("COBS of 64 bytes, portable", each("cobs"), "thousands"),
        Figure("a report, from record to bytes", each("report"), "thousands"),
        Figure("a POLL, from bytes to what it says", received, "thousands"),
        Figure("a release's signature, verified", each("lms", *FEW_LONG), "thousands"),
        Figure("a lamp's tick", each("tick"), "thousands"),
        Figure("a tick of a rise, each 2 ms", each("rise"), "thousands", f"<= {RISE_THOUSANDS}"),
    ]
