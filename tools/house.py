"""Checks the points of house style that no stock linter knows.

.venv/bin/python -m tools.house
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.trees import ROOT, Fault, Source, imports, read

CODE = ("gateway", "protocol", "firmware", "tools", "tests", "hil_tests")
VAGUE = frozenset({"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"})
UNIT_TESTS = ("tests/wire", "tests/node", "tests/gateway", "tests/properties", "tests/checks")


def faults_of(source: Source) -> Iterator[Fault]:
    """What one file has against house style 12, 15, 16, and unfinished code."""
    if source.module.split(".")[-1] in VAGUE:
        yield Fault(source.file, 1, "vague-module", "name the one concept it holds")
    of_processes = any(name == "subprocess" for name, _ in imports(source.tree))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and _named(node.exc) == "NotImplementedError":
            yield Fault(source.file, node.lineno, "unfinished", "build it or leave it out")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "monkeypatch.setattr":
            yield Fault(source.file, node.lineno, "patched", "a fake is real code, passed in")
        if called == "time.sleep" and source.file.startswith(UNIT_TESTS) and not of_processes:
            yield Fault(source.file, node.lineno, "sleeps", "time in a unit test is manual")


def _named(raised: ast.expr | None) -> str:
    return ast.unparse(raised.func if isinstance(raised, ast.Call) else raised) if raised else ""


def faults(root: Path = ROOT) -> list[Fault]:
    sources = (source for folder in CODE for source in read(root, folder, "."))
    return sorted(fault for source in sources for fault in faults_of(source))


def main() -> int:
    found = faults()
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
