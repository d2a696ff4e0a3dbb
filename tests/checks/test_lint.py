"""The lint bans of the house style bite."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools import house
from tools.trees import ROOT, Source

RUFF = Path(sys.executable).parent / "ruff"


def complaints(text: str, file: str = "gateway/kerbline/planted.py") -> str:
    done = subprocess.run(
        [RUFF, "check", "--output-format=concise", "--no-cache", f"--stdin-filename={file}", "-"],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("from unittest.mock import Mock\n\nMock()\n", "TID251"),
        ("import unittest.mock\n\nunittest.mock.Mock()\n", "TID251"),
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "BLE001"),
        ("try:\n    x = 1\nexcept:\n    x = 2\n", "E722"),
        ("def f(x):\n    return x\n", "ANN001"),
        ("def f(up: bool) -> bool:\n    return up\n", "FBT001"),
        ("x = 1  # TODO: more\n", "FIX002"),
        ("x = []\n\n\ndef f() -> None:\n    global x\n    x = [1]\n", "PLW0603"),
        ("from . import clock\n\nclock.now()\n", "TID252"),
        ("import datetime\n\nx = datetime.datetime.now()\n", "DTZ005"),
    ],
)
def test_banned(text: str, code: str) -> None:
    assert code in complaints(text)


@pytest.mark.parametrize("file", ["protocol/kerbwire/x.py", "firmware/kerbnode/x.py"])
def test_bans_bind_device_code_too(file: str) -> None:
    assert "BLE001" in complaints("try:\n    x = 1\nexcept Exception:\n    x = 2\n", file)


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        ("gateway/kerbline/utils.py", "x = 1", "vague-module"),
        ("gateway/kerbline/lamp.py", "raise NotImplementedError", "unfinished"),
        ("tests/gateway/test_lamp.py", "monkeypatch.setattr(lamp, 'on', True)", "patched"),
        ("tests/gateway/test_lamp.py", "time.sleep(1)", "sleeps"),
    ],
)
def test_house_rule(file: str, text: str, code: str) -> None:
    module = file.removesuffix(".py").replace("/", ".")
    found = list(house.faults_of(Source(file, module, ast.parse(text))))
    assert [(fault.file, fault.code) for fault in found] == [(file, code)]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tests/scenarios/test_run.py", "time.sleep(1)"),
        ("tests/gateway/test_kill.py", "import subprocess\ntime.sleep(1)"),
    ],
)
def test_what_starts_processes_may_wait(file: str, text: str) -> None:
    source = Source(file, "test_run", ast.parse(text))
    assert list(house.faults_of(source)) == []
