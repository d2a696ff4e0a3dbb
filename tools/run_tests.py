"""Runs every test on both interpreters and ends with one line that counts them.

.venv/bin/python -m tools.run_tests [--nightly] [pytest's arguments]
"""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tools.trees import ROOT

PYTEST_NO_TESTS = 5
WORKERS = 2 * min(2, os.cpu_count() or 1)  # the tests wait for half of their time
SHARES = ("--dist=loadfile", "--no-loadscope-reorder")  # conftest.py orders them


@dataclass(frozen=True, slots=True)
class Tally:
    """One interpreter's counts; `skips` tells of each test held back, with the reason."""

    interpreter: str
    passed: int
    failed: int
    skips: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        return len(self.skips)

    @property
    def sound(self) -> bool:
        """Nothing failed, and something ran or a reason says why nothing could."""
        return not self.failed and bool(self.passed or self.skipped)


def read_junit(file: Path, interpreter: str) -> Tally:
    """The counts of a pytest run; an error in set-up or collection counts as a failure."""
    passed = failed = 0
    skips = []
    for case in ET.parse(file).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            name = f"{case.get('classname', '')}.{case.get('name', '')}"
            skips.append(f"{name}: {skip.get('message', 'no reason given')}")
        else:
            passed += 1
    return Tally(interpreter, passed, failed, tuple(skips))


def on_cpython(arguments: list[str]) -> Tally:
    name = "CPython {}.{}".format(*sys.version_info)
    report = ROOT / "build" / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"-n{WORKERS}", *SHARES]
    command += [f"--junit-xml={report}", "-o", "junit_family=xunit2"]
    command += ["--simulated", *arguments]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not report.exists():
        return Tally(name, 0, 1)
    tally = read_junit(report, name)
    if status not in (0, PYTEST_NO_TESTS) and not tally.failed:
        return Tally(name, tally.passed, 1, tally.skips)
    return tally


def on_micropython() -> Tally:
    name = "MicroPython"
    report = ROOT / "build" / "micropython.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "tests/run_micropython.py", "--report", str(report)]
    subprocess.run(command, cwd=ROOT, check=False)
    if not report.exists():
        return Tally(name, 0, 1)
    counts = json.loads(report.read_text())
    skips = tuple(f"{file}: {counts['skip']}" for file in counts["not_run"])
    return Tally(name, counts["passed"], counts["failed"], skips)


def tell(tallies: list[Tally]) -> None:
    print()
    for tally in tallies:
        counts = f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped"
        print(f"on {tally.interpreter}: {counts}")
        for skip in tally.skips:
            print(f"  skipped {skip}")
        if not tally.sound and not tally.failed:
            print("  no test ran, which counts as a fault")
    total = [sum(getattr(t, k) for t in tallies) for k in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*total))


def main() -> int:
    arguments = sys.argv[1:]
    (ROOT / "build").mkdir(exist_ok=True)
    os.environ.setdefault("PYTHONHASHSEED", "0")
    # Hundreds of processes import the same: compiled once, also where one wants no such files.
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / "build" / "pycache"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "--nightly" in arguments:
        arguments.remove("--nightly")
        arguments += ["-m", "", "--timeout=3600"]
    tallies = [on_micropython(), on_cpython(arguments)]
    tell(tallies)
    return 0 if all(tally.sound for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
