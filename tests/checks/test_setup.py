"""Set-up names what a machine lacks and the command that installs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.trees import ROOT

TOOLS = ("dirname", "cat", "grep", "id", "sh", "touch", "sed")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout and a bin folder with next to nothing: the whole PATH of the machine."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/setup.sh", tmp_path / "tools")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (tmp_path / "bin" / name).symlink_to(found)
    give(tmp_path, "apt-get", "exit 100")
    return tmp_path


def give(machine: Path, name: str, script: str) -> None:
    """Puts a program on the machine's PATH."""
    program = machine / "bin" / name
    program.unlink(missing_ok=True)  # it may be a link to the real one
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def set_up(machine: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [machine / "tools/setup.sh", *arguments],
        env={"PATH": str(machine / "bin"), "SBIN": str(machine / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_no_python(machine: Path) -> None:
    status, said = set_up(machine, "python")
    assert status == 1
    assert "Python 3.11 or later" in said
    assert "sudo apt-get install python3 python3-venv" in said


def test_old_python_alone_will_not_do(machine: Path) -> None:
    give(machine, "python3", "exit 1")  # what `sys.exit(version < (3, 11))` comes to
    status, said = set_up(machine, "python")
    assert status == 1
    assert "Python 3.11 or later" in said


def test_python_without_venv(machine: Path) -> None:
    give(machine, "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    status, said = set_up(machine, "python")
    assert status == 1
    assert "sudo apt-get install python3-venv" in said
    assert not (machine / ".venv").exists()


def test_debian_programs_come_through_apt_and_get_no_service(machine: Path) -> None:
    give(machine, "id", "echo 0")
    give(machine, "env", 'shift; exec "$@"')
    for program in ("apt-get", "systemctl"):
        give(machine, program, f'echo {program} "$@" >>log')
    status, _ = set_up(machine, "debian")
    assert status == 0
    assert (machine / "log").read_text().splitlines() == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends mosquitto mbpoll",
        "systemctl disable --now --quiet mosquitto",
    ]


def test_only_what_lacks_is_installed(machine: Path) -> None:
    give(machine, "id", "echo 0")
    give(machine, "env", 'shift; exec "$@"')
    give(machine, "mosquitto", "exit 0")
    for program in ("apt-get", "systemctl"):
        give(machine, program, f'echo {program} "$@" >>log')
    assert set_up(machine, "debian")[0] == 0
    assert (machine / "log").read_text().splitlines() == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends mbpoll",
    ]
    (machine / "log").unlink()
    give(machine, "mbpoll", "exit 0")
    assert set_up(machine, "debian") == (0, "")
    assert not (machine / "log").exists()


def test_what_apt_has_not_is_a_skip(machine: Path) -> None:
    give(machine, "id", "echo 0")
    status, said = set_up(machine, "debian")
    assert status == 0
    assert "apt-get could not install mosquitto mbpoll: tests that need it are skipped" in said


def test_debian_programs_without_root_is_a_skip(machine: Path) -> None:
    give(machine, "id", "echo 1000")
    status, said = set_up(machine, "debian")
    assert status == 0
    assert "tests that need it are skipped" in said
    assert "sudo apt-get install mosquitto mbpoll" in said
