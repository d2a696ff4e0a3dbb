"""The Makefile sets up once, in order, and again only when what it hangs on has changed."""

import os
import re
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


def reached(module: Path, seen: set[Path]) -> set[Path]:
    """A file of ours with all of `tests` that it imports."""
    if module in seen or not module.is_file():
        return seen
    seen.add(module)
    for name in re.findall(r"^from (tests\.[\w.]+) import", module.read_text(), re.M):
        reached(ROOT / f"{name.replace('.', '/')}.py", seen)
    return seen


def test_a_benchmark_that_runs_a_program_of_debian_sets_it_up() -> None:
    makefile = (ROOT / "Makefile").read_text()
    needs = {"modbus": False, "store": False, "city": False}
    for name in needs:
        for bench in (ROOT / "tests" / "budgets").glob(f"bench_{name}*.py"):
            folder = ROOT / "tests" / "budgets" / f"{name}_race"  # a benchmark's own programs
            files = [*reached(bench, set()), *folder.glob("*.py")]
            needs[name] |= any("mosquitto" in each.read_text().lower() for each in files)
    assert needs == {"modbus": True, "store": False, "city": True}
    for name, is_needed in needs.items():
        (target,) = re.findall(rf"^bench-{name}:.*", makefile, re.M)
        assert (".venv/.debian" in target) == is_needed, target
