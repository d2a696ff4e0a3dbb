"""Prints each target beside its measured figure; exits 1 where one is missed.

.venv/bin/python -m tools.bench_wire [NAME ...]     (names: of tests/budgets/bench_NAME.py)

Without names it is all but APART, which are run by names of their own.

Each tests/budgets/bench_NAME.py has `figures() -> list[Figure]` and a docstring that heads them.
"""

import importlib
import sys
import time

from tools.figures import Figure, shown
from tools.trees import ROOT

APART = ("field", "light", "modbus", "north", "store", "whole")  # beginnings of names


def names() -> list[str]:
    """Of every bench file but those apart."""
    files = sorted((ROOT / "tests" / "budgets").glob("bench_*.py"))
    found = [file.stem.removeprefix("bench_") for file in files]
    return [name for name in found if not name.startswith(APART)]


def measured(name: str) -> list[Figure]:
    """Runs one bench file and prints its figures."""
    started = time.monotonic()
    module = importlib.import_module(f"tests.budgets.bench_{name}")
    figures = [Figure(*figure) for figure in module.figures()]
    heading = (module.__doc__ or name).strip().splitlines()[0]
    print(f"{heading}  ({time.monotonic() - started:.1f} s)")
    print(*map(shown, figures), sep="\n", flush=True)
    return figures


def main() -> int:
    wanted = sys.argv[1:] or names()
    figures = [figure for name in wanted for figure in measured(name)]
    missed = [figure.name for figure in figures if figure.met is False]
    asked = [figure for figure in figures if figure.met is not None]
    print(f"{len(asked) - len(missed)} of {len(asked)} targets met")
    for name in missed:
        print(f"  missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
