"""The rivals' programs, each in an environment of its own with versions of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.trees import ROOT

FOLDER = ROOT / "build" / "rivals"
PINS = {
    "thingsboard": ("thingsboard-gateway==3.8.5", "pymodbus==3.9.2"),
    "modpoll": ("modpoll==1.6.0", "pymodbus==3.9.2"),
}
INSTALL_S = 300


class NotToBeHad(Exception):
    """The rival can't be installed here; the text says why."""


def environment(name: str) -> Path:
    """The folder of a rival's programs, made at the first call; raises NotToBeHad."""
    folder = FOLDER / name
    made = folder / ".made"
    wanted = "\n".join(PINS[name])
    if not made.exists() or made.read_text() != wanted:
        for words in (
            [sys.executable, "-m", "venv", folder],
            [folder / "bin" / "pip", "install", "-q", *PINS[name]],
        ):
            _install(name, [str(word) for word in words])
        made.write_text(wanted)
    return folder / "bin"


def _install(name: str, words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"{name}: {error}") from None
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
        raise NotToBeHad(f"{name}: {last[-1]}")
