"""Runs every check and tells which failed; what CI checks, this checks.

.venv/bin/python -m tools.check [NAME ...]      e.g. `make check ARGS="types imports"`
"""

import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tools.trees import ROOT

BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
CODE = ("gateway", "protocol", "firmware", "tools", "tests", "hil_tests", "conftest.py")


@dataclass(frozen=True, slots=True)
class Check:
    """One command that exits 0 when all is well."""

    name: str
    about: str
    command: tuple[str, ...]


CHECKS = (
    Check("types", "mypy --strict on the host's code", (str(BIN / "mypy"),)),
    Check(
        "device-types",
        "mypy --strict on the device's code, against its own stubs",
        (str(BIN / "mypy"), "--config-file=tools/mypy-device.ini"),
    ),
    Check("format", "ruff format", (str(BIN / "ruff"), "format", "--check", "--quiet", *CODE)),
    Check("lint", "ruff check", (str(BIN / "ruff"), "check", "--output-format=concise", *CODE)),
    Check(
        "imports",
        "import-linter's contracts",
        (str(BIN / "lint-imports"), "--no-cache", "--no-logo"),
    ),
    Check("placement", "kerbwire's allow-list, the chip, dates", (PYTHON, "-m", "tools.placement")),
    Check("house", "house style that a tree shows", (PYTHON, "-m", "tools.house")),
    Check("subset", "device code in MicroPython's subset", (PYTHON, "-m", "tools.subset")),
    Check("mpy-cross", "every device file compiles", (PYTHON, "-m", "tools.firmware")),
    Check("spelling", "codespell", (str(BIN / "codespell"), ".")),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one check went."""

    check: Check
    passed: bool
    seconds: float
    output: str


def run(check: Check) -> Verdict:
    started = time.monotonic()
    path = os.pathsep.join(str(ROOT / folder) for folder in ("gateway", "protocol", "firmware"))
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Verdict(check, done.returncode == 0, time.monotonic() - started, done.stdout)


def tell(verdict: Verdict) -> None:
    word = "ok  " if verdict.passed else "FAIL"
    print(f"{word} {verdict.check.name:13} {verdict.seconds:5.1f} s  {verdict.check.about}")
    if not verdict.passed:
        print(verdict.output.rstrip())
    sys.stdout.flush()


def main() -> int:
    wanted = sys.argv[1:]
    unknown = set(wanted) - {check.name for check in CHECKS}
    if unknown:
        print(f"no such check: {', '.join(sorted(unknown))}; there are", *(c.name for c in CHECKS))
        return 2
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        chosen = [check for check in CHECKS if not wanted or check.name in wanted]
        futures: list[Future[Verdict]] = [pool.submit(run, check) for check in chosen]
        for future in futures:
            verdicts.append(future.result())
            tell(verdicts[-1])
    failed = [verdict.check.name for verdict in verdicts if not verdict.passed]
    print(f"{len(verdicts) - len(failed)} checks passed, {len(failed)} failed", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
