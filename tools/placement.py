"""Checks what import-linter cannot say: kerbwire's allow-list, and that control asks for no date.

.venv/bin/python -m tools.placement
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.trees import ROOT, Fault, Source, device_sources, imports, read

WIRE_ALLOWED = frozenset({"struct", "binascii", "hashlib", "kerbwire"})
WIRE_EXTRA = {
    "kerbwire.seal": frozenset({"cryptolib", "cryptography"}),
    "kerbwire.fast_viper": frozenset({"micropython"}),
    "kerbwire.parts": frozenset({"sys", "deflate", "zlib"}),  # one stream, by two libraries
}
CHIP = frozenset({"machine", "esp32", "network"})
KNOW_THE_CHIP = frozenset({"kerbnode.hal", "main", "choice"})
DATE_QUESTIONS = frozenset({"now", "utcnow", "today"})
PURE = ("kerbline.control", "kerbnode.assets")


def wire_faults(source: Source) -> Iterator[Fault]:
    """kerbwire imports struct, binascii, hashlib and itself; three modules have extras."""
    allowed = WIRE_ALLOWED | WIRE_EXTRA.get(source.module, frozenset())
    for name, line in imports(source.tree):
        if name.split(".")[0] not in allowed and not _for_types_only(source.tree, line):
            where = f"{source.module} imports {name}; kerbwire may import {sorted(allowed)}"
            yield Fault(source.file, line, "wire-import", where)


def chip_faults(source: Source) -> Iterator[Fault]:
    """Only kerbnode.hal imports machine, esp32 and network, and what a cable lays beside it."""
    if source.module in KNOW_THE_CHIP or source.module.startswith("kerbnode.hal."):
        return
    for name, line in imports(source.tree):
        if name in CHIP:
            what = f"{source.module} imports {name}; only kerbnode.hal knows the chip"
            yield Fault(source.file, line, "chip-import", what)


def date_faults(source: Source) -> Iterator[Fault]:
    """Control and the assets' steps never ask for the current date: time is an argument."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in DATE_QUESTIONS:
            owner = ast.unparse(node.value)
            if owner.split(".")[-1] in {"datetime", "date"}:
                what = f"{source.module} asks {owner}.{node.attr}; time is an argument"
                yield Fault(source.file, node.lineno, "date-question", what)


def _for_types_only(tree: ast.Module, line: int) -> bool:
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test) == "TYPE_CHECKING"
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0)
        for node in ast.walk(tree)
    )


def faults(root: Path = ROOT) -> list[Fault]:
    """Everything that stands where it must not."""
    found: list[Fault] = []
    for source in device_sources(root):
        found += wire_faults(source) if source.module.startswith("kerbwire") else ()
        found += chip_faults(source)
    for source in (*device_sources(root), *read(root, "gateway", "gateway")):
        if source.module.startswith(PURE):
            found += date_faults(source)
    return sorted(found)


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    found = faults(root)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
