"""Installs other people's libraries, which tests hold us to, each in an environment of its own.

.venv/bin/python -m tools.peers

They want other versions than we do of what we too import. Where PyPI can't be reached, the tests
that need them skip.
"""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.trees import ROOT

FOLDER = ROOT / "build" / "peers"
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "filip": ("filip==0.8.1",),
    "cose": ("pycose==1.1.0", "cwt==3.3.0"),
}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
INSTALL_S = 300


def interpreter(name: str, folder: Path = FOLDER) -> Path | None:
    """The Python that has those libraries; None where they were not installed as they are now."""
    made, python = folder / name / ".made", folder / name / "bin" / "python"
    whole = python.exists() and made.is_file() and made.read_text() == " ".join(LIBRARIES[name])
    return python if whole else None


def install(name: str, folder: Path = FOLDER) -> str:
    """Make that environment if there is none; why it can't be had, or ""."""
    if interpreter(name, folder):
        return ""
    place = folder / name
    python = place / "bin" / "python"
    # Neither a pip of its own nor compiled files of what no test imports: twice as fast.
    venv = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(place)]
    pip = [*PIP, "--python", str(python), "install", "-q", "--no-compile", "--retries=1"]
    try:
        subprocess.run(venv, check=True, capture_output=True, text=True)
        subprocess.run(
            [*pip, *LIBRARIES[name]],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        return f"PyPI gave nothing in {INSTALL_S} s"
    except (OSError, subprocess.CalledProcessError) as fault:
        said = getattr(fault, "stderr", "") or str(fault)
        return said.strip().rpartition("\n")[2]
    (place / ".made").write_text(" ".join(LIBRARIES[name]))
    return ""


def main() -> int:
    with ThreadPoolExecutor() as pool:
        reasons = dict(zip(LIBRARIES, pool.map(install, LIBRARIES), strict=True))
    for name, reason in reasons.items():
        if reason:
            print(f"no {' '.join(LIBRARIES[name])}, so the tests of it skip: {reason}")
    if not any(reasons.values()):
        (FOLDER / ".made").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
