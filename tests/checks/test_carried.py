"""What is carried is found from an editable install (the checkout) and from a built wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.trees import ROOT

PROJECT = ("pyproject.toml", "README.md", "LICENSE", "gateway", "protocol", "firmware", "boards")
ASK = """
import site, sys
site.addsitedir(sys.argv[1])
from kerbline import carried
print(carried.root(), carried.firmware(), carried.boards(), carried.wire(), sep="\\n")
"""
# The packages beside it are those of this environment.
BUILD = """
import sys
sys.path.insert(0, sys.argv[1])
from kerbline import boards
from kerbline.firmware import build
file = boards.find("water-meter-esp32")
made = build.build(build.of_board(boards.load(file), str(file)))
assert made.image()
print(file.parents[3], made.about["commit"], made.about["board"])
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the distribution is built from."""
    tree = tmp_path_factory.mktemp("checkout")
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree


def pip(*arguments: str | Path) -> None:
    pip_itself = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, *pip_itself, *map(str, arguments)], check=True, stdin=subprocess.DEVNULL
    )


def ask(site: Path) -> list[Path]:
    """What kerbline.carried answers in an interpreter that knows that site folder alone."""
    command = [sys.executable, "-I", "-S", "-c", ASK, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    return [Path(line) for line in done.stdout.splitlines()]


def test_editable_install_finds_the_checkout(checkout: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--no-build-isolation", "--target", tmp_path, "-e", checkout)
    answers = ask(tmp_path)
    assert answers == [
        checkout,
        checkout / "firmware",
        checkout / "boards",
        checkout / "protocol",
    ]


def test_wheel_carries_its_own(checkout: Path, tmp_path: Path) -> None:
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, checkout)
    (wheel,) = tmp_path.glob("kerbline-*.whl")
    site = tmp_path / "site"
    pip("install", "--no-deps", "--target", site, wheel)
    root, firmware, boards, wire = ask(site)
    assert root == site / "kerbline" / "_carried"
    assert (firmware / "main.py").read_bytes() == (ROOT / "firmware/main.py").read_bytes()
    assert (firmware / "kerbnode" / "__init__.py").is_file()
    assert sorted(b.name for b in boards.glob("*.toml")) == sorted(
        b.name for b in (ROOT / "boards").glob("*.toml")
    )
    assert (wire / "kerbwire" / "__init__.py").is_file()
    assert (root / "protocol" / "wire.md").is_file()
    assert list((root / "protocol" / "vectors").glob("*.json"))
    assert site in wire.parents or site == wire
    command = [sys.executable, "-c", BUILD, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.split() == [str(site), "unknown", "water-meter-esp32"], done.stderr
