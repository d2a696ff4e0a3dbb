"""Which modules a node needs, and which of them are loaded together: found by their imports.

A board's wiring decides: it imports the drivers and instruments that the board has, and what
nothing imports is not installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kerbline import carried
from kerbline.firmware.bundle import bundled
from kerbline.firmware.shrink import shrunk
from kerbline.firmware.sources import imports

START = "main"
APP = "kerbnode.app"
ASSEMBLY = "kerbnode.assembly"
WIRING = "kerbnode.board"
IDENTITY = "kerbnode.build"
HAL = "kerbnode.hal.esp32"
HOST = "host"  # the chip of a simulated board
# What is loaded together: the stack while a session lasts, a greeting's code, packing's code.
WIRE_BUNDLES = (
    ("kerbwire.node", "kerbwire.seal", "kerbwire.fields"),
    ("kerbwire.handshake",),
    ("kerbwire.batch",),
    ("kerbwire.polled", "kerbwire.discovery"),
    ("kerbwire.schema", "kerbwire.handout"),
)
# What a wake of a meter loads: the rules of flow, and the chip's sleep.
SLEEP_BUNDLE = ("kerbnode.sleep", "kerbnode.hal.esp32_sleep")
# What a boot loads, and lets go of again.
BOOT_BUNDLE = (ASSEMBLY, "kerbnode.identity", "kerbnode.uptake")
# Its constants are where they are used.
NEVER_LOADED = frozenset({"kerbwire.limits"})
NOT_SHIPPED = frozenset({"manifest"})


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the tree."""

    name: str
    text: str
    package: bool

    @property
    def path(self) -> str:
        """Where it is on a node, without a suffix."""
        return self.name.replace(".", "/") + ("/__init__" if self.package else "")


def tree() -> dict[str, Module]:
    """Every module that a node may import, by name."""
    found: dict[str, Module] = {}
    for top, folder in ((carried.firmware(), ""), (carried.wire(), "kerbwire")):
        for file in sorted((top / folder).rglob("*.py")):
            parts = file.relative_to(top).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            if name not in NOT_SHIPPED:
                found[name] = Module(name, file.read_text(), package)
    return found


def needed(modules: Mapping[str, Module], chip: str) -> dict[str, str]:
    """What main.py reaches on that chip, and boot.py; texts by name.

    What only a type checker reads is gone, and so is the other branch of each question for the
    platform, for what every MicroPython has, or for the contacts that end the board's sleep.
    """
    found: dict[str, str] = {}
    sleeps = "\nSLEEP" in modules[WIRING].text if WIRING in modules else False
    wanted = [START, *({"boot"} & modules.keys())]
    while wanted:
        name = wanted.pop()
        if name in found or name not in modules:
            continue
        there = _There(chip, sleeps=sleeps).visit(ast.parse(modules[name].text))
        found[name] = ast.unparse(ast.fix_missing_locations(there))
        for imported, _ in imports(there):
            while imported:
                wanted.append(imported)
                imported = imported.rpartition(".")[0]
    return found


class _There(ast.NodeTransformer):
    """Leaves of each question that the build knows the answer to the branch that runs."""

    def __init__(self, chip: str, *, sleeps: bool):
        self._esp32 = chip != HOST
        self._sleeps = sleeps

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        known = self._known(ast.unparse(node.test))
        if known is None:
            return node
        return (node.body if known else node.orelse) or ast.Pass()

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        known = self._known(ast.unparse(node.test))
        if known is None:
            return node
        return node.body if known else node.orelse

    def _known(self, test: str) -> bool | None:
        return {
            "TYPE_CHECKING": False,
            "sys.platform == 'esp32'": self._esp32,
            "sys.platform != 'esp32'": not self._esp32,
            "hasattr(wiring, 'SLEEP')": self._sleeps,
            "sys.implementation.name != 'micropython'": False,
            "hasattr(sys, 'print_exception')": True,
            "hasattr(gc, 'mem_free')": True,
            "hasattr(gc, 'threshold')": True,
        }.get(test)


def together(texts: Mapping[str, str]) -> dict[str, str]:
    """The needed modules as a node gets them: shrunk, in few files, each name kept once.

    The node's own bundle is what is loaded as long as it runs: the app and all that it imports at
    its top, the chip's hal, and what assembly and wiring put together. What functions import
    otherwise is loaded on demand and stays by itself.
    """
    small = shrunk(texts)
    done: list[str] = []
    for roots in (*WIRE_BUNDLES, SLEEP_BUNDLE, _resident_roots(small), BOOT_BUNDLE):
        there = [root for root in roots if root in small]
        if there:
            held = _values(small) if roots[0] in (APP, ASSEMBLY) else ()
            apart = [*done, *held]
            small = bundled(small, there, apart=apart)
            done.append(there[0])
    small = shrunk(small)
    return {
        name: text
        for name, text in small.items()
        if text.strip() not in ("", "pass") and name not in NEVER_LOADED
    }


def _resident_roots(texts: Mapping[str, str]) -> list[str]:
    roots = [APP, HAL]
    if ASSEMBLY in texts:  # it goes again, and what it made stays
        roots += [name for name in _at_top(ast.parse(texts[ASSEMBLY]).body) if name in texts]
    if WIRING in texts:
        roots += [name for name, _ in imports(ast.parse(texts[WIRING])) if name in texts]
    return [root for root in dict.fromkeys(roots) if root.startswith("kerbnode.")]


def _values(texts: Mapping[str, str]) -> Iterator[str]:
    """Modules that some code holds as objects: no bundle can take them."""
    for text in texts.values():
        parsed = ast.parse(text)
        bound = dict(_bound_modules(parsed, texts))
        used = {id(n.value) for n in ast.walk(parsed) if isinstance(n, ast.Attribute)}
        for node in ast.walk(parsed):
            if isinstance(node, ast.Name) and node.id in bound and id(node) not in used:
                yield bound[node.id]


def _bound_modules(parsed: ast.Module, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(parsed):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in texts:
                    yield alias.asname or alias.name, whole


def resident(texts: Mapping[str, str]) -> set[str]:
    """Modules that are loaded as long as the node runs: what the app imports, and what those do."""
    found: set[str] = set()
    wanted: list[str] = [APP]
    while wanted:
        name = wanted.pop()
        if name in found or name not in texts:
            continue
        found.add(name)
        body = ast.parse(texts[name]).body
        wanted += _at_top(body)
    return found


def _at_top(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names that statements import when their module is loaded."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        yield from (name for name, _ in imports(statement))


def identity(version: Sequence[int], commit: str, board: str, wire: int) -> str:
    """The text of kerbnode/build.py for one build; `commit` in hex, or "" where none is known."""
    first = bytes.fromhex(commit[:8]) if commit else bytes(4)
    return (
        f'"""Which build this is."""\n\nVERSION = {tuple(version)}\n'
        f"COMMIT = {first!r}\nBOARD = {board!r}\nWIRE = {wire}\n"
    )
