"""The Makefile sets up once, in order, and again only when what it hangs on has changed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.trees import ROOT

TARGETS = ("venv", "demo", "test", "check", "bench", "nightly", "firmware", "clean")
FAKE_SETUP = """#!/bin/sh
mkdir -p .venv
echo "$@ begins" >>log
echo "$@ ends" >>log
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the real Makefile, whose set-up only says what it was asked for."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    script = tmp_path / "tools" / "setup.sh"
    script.write_text(FAKE_SETUP)
    script.chmod(0o755)
    return tmp_path


def make(tree: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def log(tree: Path) -> list[str]:
    return (tree / "log").read_text().splitlines()


def test_help_is_the_default_and_names_every_target(tree: Path) -> None:
    said = make(tree)
    assert all(f"make {target} " in said for target in TARGETS)


def test_nothing_is_installed_twice(tree: Path) -> None:
    make(tree, "venv")
    once = log(tree)
    make(tree, "venv")
    assert log(tree) == once
    assert once == [
        "python begins",
        "python ends",
        "install demo begins",
        "install demo ends",
        "install demo,field,analysis,test,dev begins",
        "install demo,field,analysis,test,dev ends",
    ]


def test_changed_constraints_install_again(tree: Path) -> None:
    make(tree, "venv")
    (tree / "log").unlink()
    later = (tree / ".venv" / ".all").stat().st_mtime + 10
    os.utime(tree / "constraints.txt", (later, later))
    make(tree, "venv")
    assert log(tree)[0] == "install demo begins"


def test_parallel_set_up_never_overlaps(tree: Path) -> None:
    make(tree, "-j4", ".venv/.all", ".venv/.demo", ".venv/.made", "venv")
    lines = [line for line in log(tree) if line.startswith("install")]
    assert [line.split()[-1] for line in lines] == ["begins", "ends"] * 2


def test_bench_runs_every_benchmark_there_is(tree: Path) -> None:
    makefile = (tree / "Makefile").read_text().split("\nbench-", 1)[0]
    (tree / "Makefile").write_text(makefile)
    assert "no benchmark yet" in make(tree, "bench")
    (tree / "Makefile").write_text(
        makefile + "\n\nbench-one:\n\t@echo one\nbench-two:\n\t@echo two\n"
    )
    assert make(tree, "bench").split() == ["one", "two"]
