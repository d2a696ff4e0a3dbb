"""Which modules a node needs, and which of them are loaded together: found by their imports.

A board's wiring decides: it imports the drivers and instruments that the board has, and what
nothing imports is not installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kerbline import carried
from kerbline.firmware.joined import joined
from kerbline.firmware.names import shortened
from kerbline.firmware.shrink import shrunk
from kerbline.firmware.sources import imported, imports
from kerbline.firmware.trees import Quick, placed, walk

START = "main"
# What only a cable lays on a node: by itself, for the builds around it change.
FIXED = (START, "boot", "choice", "slots")
APP = "kerbnode.app"
ASSEMBLY = "kerbnode.assembly"
WIRING = "kerbnode.board"
SELFTEST = "kerbnode.selftest"  # nothing of the node's own asks for it: a person at the REPL does
DRIVERS = "kerbnode.drivers."
IDENTITY = "kerbnode.build"
HAL = "kerbnode.hal.esp32"
HOST = "host"  # the chip of a simulated board
# What is loaded together: the stack while a session lasts, a greeting's code, packing's code.
WIRE_JOINED = (
    ("kerbwire.node", "kerbwire.seal", "kerbwire.fields"),
    ("kerbwire.handshake",),
    ("kerbwire.batch",),
    ("kerbwire.polled", "kerbwire.discovery"),
    ("kerbwire.schema", "kerbwire.handout"),
    ("kerbwire.release",),
)
# What a wake of a meter loads: the rules of flow, and the chip's sleep.
SLEEP_JOINED = ("kerbnode.sleep", "kerbnode.hal.esp32_sleep")
# What a boot loads, and lets go of again.
BOOT_JOINED = (ASSEMBLY, "kerbnode.identity", "kerbnode.uptake")
# What a boot shares with an update, whose parts come and go by themselves: no heap holds them all.
SHARED = ("kerbnode.standing", "kerbnode.trial", IDENTITY)
# Its constants are where they are used.
NEVER_LOADED = frozenset({"kerbwire.limits"})
NAMES = "names.txt"  # beside the modules: what short names stand for
NOT_SHIPPED = frozenset({"manifest"})
NO_COMMIT = bytes(4)  # what a node says that was built from no checkout


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
    """What main.py reaches on that chip, boot.py and the self-test; texts by name.

    What only a type checker reads is gone, and so is the other branch of each question for the
    platform, for what every MicroPython has, or for the contacts that end the board's sleep.
    """
    found: dict[str, str] = {}
    sleeps = "\nSLEEP" in modules[WIRING].text if WIRING in modules else False
    wanted = [START, *sorted({"boot", SELFTEST} & modules.keys())]
    while wanted:
        name = wanted.pop()
        if name in found or name not in modules:
            continue
        there = _There(chip, sleeps=sleeps).visit(ast.parse(modules[name].text))
        found[name] = ast.unparse(placed(there))
        for taken, _ in imports(there):
            while taken:
                wanted.append(taken)
                taken = taken.rpartition(".")[0]
    return found


class _There(Quick, ast.NodeTransformer):
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

    Joined is what is loaded as long as the node runs: the app and all that it imports at its top,
    the chip's hal, and what assembly and wiring put together. What functions import otherwise is
    loaded on demand and stays by itself.
    """
    fixed = shrunk({name: texts[name] for name in FIXED if name in texts})
    small = shrunk({name: text for name, text in texts.items() if name not in fixed})
    done: list[str] = []
    for roots in (*WIRE_JOINED, SLEEP_JOINED, _resident_roots(small), BOOT_JOINED):
        there = [root for root in roots if root in small]
        if there:
            held = _values(small) if roots[0] in (APP, ASSEMBLY) else ()
            apart = [*done, *held, *SHARED]
            small = joined(small, there, apart=apart)
            done.append(there[0])
    fixed, _ = shortened(fixed, all_names=False)  # all builds ask for what they have
    small, names = shortened(shrunk(small), _asked(texts))
    made = {
        name: text
        for name, text in {**small, **fixed}.items()
        if text.strip() not in ("", "pass") and name not in NEVER_LOADED
    }
    return {**made, NAMES: names}


def _asked(texts: Mapping[str, str]) -> set[str]:
    """What a laptop calls by name, the classes that the self-test names to it, and the assets."""
    found: set[str] = set()
    for module, text in texts.items():
        if module in (SELFTEST, WIRING) or module.startswith(DRIVERS):
            kinds = (ast.ClassDef, ast.FunctionDef)
            found |= {node.name for node in ast.parse(text).body if isinstance(node, kinds)}
    return found


def _resident_roots(texts: Mapping[str, str]) -> list[str]:
    roots = [APP, HAL]
    if ASSEMBLY in texts:  # it goes again, and what it made stays
        roots += [name for name in _at_top(ast.parse(texts[ASSEMBLY]).body) if name in texts]
    if WIRING in texts:
        roots += [name for name, _ in imports(ast.parse(texts[WIRING])) if name in texts]
    return [root for root in dict.fromkeys(roots) if root.startswith("kerbnode.")]


def _values(texts: Mapping[str, str]) -> Iterator[str]:
    """Modules that some code holds as objects: none can be joined."""
    for text in texts.values():
        if imported(text).isdisjoint(texts):
            continue
        nodes = walk(ast.parse(text))
        bound = dict(_bound_modules(nodes, texts))
        used = {id(n.value) for n in nodes if isinstance(n, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.Name) and node.id in bound and id(node) not in used:
                yield bound[node.id]


def _bound_modules(nodes: Iterable[ast.AST], texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for node in nodes:
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


def identity(version: Sequence[int], board: str, wire: int) -> str:
    """The text of kerbnode/build.py for one build, which `of_commit` makes whole."""
    return (
        f'"""Which build this is."""\n\nVERSION = {tuple(version)}\n'
        f"COMMIT = {NO_COMMIT!r}\nBOARD = {board!r}\nWIRE = {wire}\n"
    )


def of_commit(text: str, commit: str) -> str:
    """That text, small or not, with the commit, in hex: so all that is before it hangs on none."""
    return text.replace(repr(NO_COMMIT), repr(bytes.fromhex(commit[:8])))
