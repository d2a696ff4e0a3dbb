"""Checks that device code keeps to what MicroPython has, before a device finds out.

    .venv/bin/python -m tools.subset

Names come from the real interpreter (subset_probe.py); constructs it compiles but runs otherwise
are in CONSTRUCTS, each with a sample that it must refuse (tests/checks holds it to that). What it
cannot even compile is found by mpy-cross; branches for CPython alone are left alone (reach.py).
"""

import ast
import builtins
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.reach import Reach, flags_of
from tools.trees import ROOT, Fault, Source, device_sources, imports

OURS = frozenset({"kerbwire", "kerbnode", "choice", "slots"})
CHIP = frozenset({"machine", "esp32", "network", "esp", "neopixel", "onewire", "dht", "bluetooth"})
UNIX = frozenset({"_thread", "termios"})  # the Unix port alone: the simulated hal
HOST_TYPES = (str, bytes, bytearray, memoryview, int, float, list, tuple, dict, set, frozenset)
NEVER_CALLED = frozenset({"__init_subclass__", "__format__", "__index__", "__class_getitem__"})
REFUSED_KEYWORDS = {
    "from_bytes": {"signed", "byteorder", "bytes"},
    "sum": {"start"},
    "zip": {"strict"},
    "print": {"flush"},
    "int": {"base"},
    "dumps": {"indent", "sort_keys", "ensure_ascii"},
    "deque": {"maxlen"},
    "split": {"sep", "maxsplit"},
    "bytes": {"encoding"},
}


EMITTERS = ("native", "viper")  # decorators that the compiler knows: no names of the module


@dataclass(frozen=True, slots=True)
class Construct:
    """One thing that compiles and then fails, or means something else; `sample` shows it."""

    code: str
    remedy: str
    sample: str
    found_in: Callable[[ast.AST], bool]


def _slice_deleted(node: ast.AST) -> bool:
    return isinstance(node, ast.Delete) and any(
        isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice)
        for target in node.targets
    )


def _stepped_slice(node: ast.AST) -> bool:
    return isinstance(node, ast.Slice) and node.step is not None


def _keyword_refused(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    refused = REFUSED_KEYWORDS.get(ast.unparse(node.func).split(".")[-1], set())
    return any(keyword.arg in refused for keyword in node.keywords)


def _type_arithmetic(node: ast.AST) -> bool:
    types = {kind.__name__ for kind in HOST_TYPES} | {"None", "type", "object", "bool"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return ast.unparse(node.left) in types or ast.unparse(node.right) in types
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) in types


def _two_argument_iter(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "iter" and len(node.args) == 2


def _lenient_decode(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "decode"
        and any(isinstance(a, ast.Constant) and a.value in {"replace", "ignore"} for a in node.args)
    )


def _unheard_method(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in NEVER_CALLED


def _class_keyword(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and bool(node.keywords)


CONSTRUCTS = (
    Construct(
        "slice-delete",
        "a bytearray has no `del`: assign b'' to the slice, or keep an index",
        "b = bytearray(3)\ndel b[:1]",
        _slice_deleted,
    ),
    Construct("slice-step", "only reading a list takes a step", "bytes(4)[::2]", _stepped_slice),
    Construct(
        "keyword",
        "pass it by position",
        "int.from_bytes(b'x', 'big', signed=True)",
        _keyword_refused,
    ),
    Construct(
        "type-arithmetic",
        "types make no unions or generics outside an annotation",
        "Number = int | None",
        _type_arithmetic,
    ),
    Construct("iter-sentinel", "write a loop", "iter(lambda: 1, 1)", _two_argument_iter),
    Construct(
        "decode-errors",
        "decode() takes no error handler: catch UnicodeError",
        "bytes((255,)).decode('utf-8', 'replace')",
        _lenient_decode,
    ),
    Construct(
        "unheard-method",
        "MicroPython never calls it",
        "class A:\n def __format__(self, spec): return 'x'\nassert f'{A()}' == 'x'",
        _unheard_method,
    ),
    Construct("class-keyword", "no metaclasses", "class A(metaclass=type):\n pass", _class_keyword),
)


@dataclass(frozen=True, slots=True)
class Names:
    """What the real interpreter has, and what only the host has."""

    modules: dict[str, frozenset[str]]
    host_builtins: frozenset[str]
    host_methods: frozenset[str]


@cache
def names() -> Names:
    raw = json.loads((Path(__file__).parent / "subset_names.json").read_text())
    on_host = {name for kind in HOST_TYPES for name in dir(kind) if not name.startswith("_")}
    return Names(
        {module: frozenset(known) for module, known in raw["modules"].items()},
        frozenset(dir(builtins))
        - frozenset(raw["builtins"])
        - {"None", "True", "False", "__debug__", "__doc__"},
        frozenset(on_host) - frozenset(raw["methods"]),
    )


class _Judge:
    """Judges what MicroPython reaches of one file; `own` are the names device code defines."""

    def __init__(self, source: Source, own: frozenset[str], flags: frozenset[str]) -> None:
        self.source = source
        self._own = own
        self._reach = Reach(source.tree, flags, names().modules)
        self._bound = _bound_names(source.tree)

    def imports(self) -> Iterator[str]:
        """The modules that MicroPython comes to import."""
        for node, _ in self._reach.nodes():
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from (name for name, _ in imports(node))

    def faults(self) -> Iterator[Fault]:
        for node, asked in self._reach.nodes():
            yield from self._judge(node, asked)

    def _fault(self, node: ast.AST, code: str, message: str) -> Fault:
        return Fault(self.source.file, getattr(node, "lineno", 0), code, message)

    def _judge(self, node: ast.AST, asked: frozenset[str]) -> Iterator[Fault]:
        for construct in CONSTRUCTS:
            if construct.found_in(node):
                yield self._fault(node, construct.code, construct.remedy)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from self._judge_import(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in names().host_builtins - self._bound - asked:
                yield self._fault(node, "builtin", f"MicroPython has no {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr not in asked:
            yield from self._judge_attribute(node)

    def _judge_import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Fault]:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        for module in modules:
            top = (module or "").split(".")[0]
            if top in OURS or top in CHIP:
                continue
            if module not in names().modules:
                yield self._fault(node, "import", f"MicroPython has no {module}")
            elif top in UNIX and not self.source.module.startswith(
                ("kerbnode.hal.sim", "kerbnode.sim.")
            ):
                yield self._fault(node, "import", f"{module} is for the simulated hal alone")
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.name not in names().modules[top]:
                        what = f"MicroPython's {module} has no {alias.name}"
                        yield self._fault(node, "module-name", what)

    def _judge_attribute(self, node: ast.Attribute) -> Iterator[Fault]:
        if isinstance(node.value, ast.Name) and node.value.id in self._reach.aliases:
            module = self._reach.aliases[node.value.id]
            known = module == "micropython" and node.attr in EMITTERS
            if not known and node.attr not in names().modules.get(module, {node.attr}):
                what = f"MicroPython's {module} has no {node.attr}"
                yield self._fault(node, "module-name", what)
        elif node.attr in names().host_methods - self._own:
            yield self._fault(node, "method", f"MicroPython's types have no {node.attr}")


def _bound_names(tree: ast.Module) -> frozenset[str]:
    """Names that the file itself defines or imports anywhere."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name)
    return frozenset(bound)


def _own_attributes(sources: Iterable[Source]) -> frozenset[str]:
    """Methods and attributes that device code defines itself: those are no host's methods."""
    own = set()
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
    return frozenset(own)


def faults(sources: Iterable[Source]) -> list[Fault]:
    """Everything that MicroPython would refuse or take otherwise.

    A module that others import for TYPE_CHECKING alone never gets to a device and is passed over.
    """
    sources = list(sources)
    own = _own_attributes(sources)
    flags = flags_of(source.tree for source in sources)
    judges = [_Judge(source, own, flags) for source in sources]
    reached = {name for judge in judges for name in judge.imports()}
    for_types = {name for s in sources for name, _ in imports(s.tree)} - reached
    return sorted(
        fault
        for judge in judges
        if judge.source.module not in for_types
        for fault in judge.faults()
    )


def main() -> int:
    found = faults(device_sources(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
