"""Makes device source smaller before mpy-cross: same behaviour, without what only people read.

Integer constants are put where they are used, also across modules; `__slots__`, `__repr__`,
docstrings and what only a type checker sees go, as does every function, class and constant that
no device file names. Parameters, and the attributes and constants that only their own code names,
get short names; functions keep theirs, so a traceback still tells. A caller outside passes by
position.
"""

import ast
import operator
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

# What C code calls on Python objects: block devices and streams.
CALLED_BY_C = frozenset(
    {"readblocks", "writeblocks", "ioctl", "read", "readinto", "write", "close"}
)
# A package whose code meets no objects but its own and these.
PURE = "kerbwire"
_MET = (int, str, bytes, bytearray, memoryview, list, tuple, dict, Exception, sha256())
BUILT_IN = frozenset({"encrypt", *(name for met in _MET for name in dir(met))})
ON_DEVICE = frozenset({"cryptolib"})
_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


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


class _Fold(ast.NodeTransformer):
    """Puts integers where their names stand."""

    def __init__(self, constants: Constants, module: str, tree: ast.Module):
        self._names = dict(constants.of[module])
        self._modules: dict[str, Mapping[str, int]] = {}
        for node in ast.walk(tree):
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


class _Strip(ast.NodeTransformer):
    """Drops annotations, docstrings, `__slots__`, asserts and what only a type checker runs.

    Also what stands in for a module of the device elsewhere.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._slots_read = "__slots__" in _loaded([tree])
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


def _loaded(trees: Iterable[ast.AST]) -> set[str]:
    """Every name that code refers to; a definition alone is no reference."""
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


def _texts(trees: Iterable[ast.AST]) -> set[str]:
    """Every text: it may be a name for `getattr`."""
    constants = (n.value for t in trees for n in ast.walk(t) if isinstance(n, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


class _Prune(ast.NodeTransformer):
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


class _Shorten(ast.NodeTransformer):
    """Gives names that only their own code knows short ones; functions and classes keep theirs.

    Those are private attributes and constants, and in PURE all attributes that nothing else names.
    """

    def __init__(self, trees: Mapping[str, ast.Module]):
        pure = [tree for module, tree in trees.items() if module.partition(".")[0] == PURE]
        others = [tree for tree in trees.values() if tree not in pure]
        nodes = [node for tree in trees.values() for node in ast.walk(tree)]
        defined = {node.name for node in nodes if isinstance(node, Definition)}
        plain = set(_outside_functions(nodes))
        private = {name for name in _stored(trees.values()) if name[:1] == "_"}
        internal = _stored(pure) - _attributes(others) - _texts(trees.values()) - plain - BUILT_IN
        uses = Counter(node.attr for node in nodes if isinstance(node, ast.Attribute))
        tops = {_assigned(statement) for tree in trees.values() for statement in tree.body}
        private |= {name for name in tops if name[:1] == "_"} - _texts(trees.values())
        ours = {name for name in private | internal if name[:2] != "__"} - defined
        families = _Families(trees.values())
        alone = ours & set(families.of) - plain - tops
        often = sorted(ours - alone, key=lambda name: (-uses[name], name))
        stays = (_attributes(trees.values()) | _loaded(trees.values()) | defined | plain) - ours
        fresh = [short for i in range(len(ours) + len(stays)) if (short := f"_{_digits(i)}")]
        fresh = [short for short in fresh if short not in stays]
        shared = max(map(len, families.grouped(alone).values()), default=0)
        # The shared names come first: most attributes have one of them.
        self._short = dict(zip(often, fresh[shared:], strict=False))
        for names in families.grouped(alone).values():
            self._short.update(zip(sorted(names, key=lambda n: (-uses[n], n)), fresh, strict=False))
        self._tops = {name: self._short[name] for name in tops & ours}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        node.id = self._tops.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._tops.get(node.arg, node.arg)
        return node

    def visit_alias(self, node: ast.alias) -> ast.alias:
        node.name = self._tops.get(node.name, node.name)
        node.asname = self._tops.get(node.asname or "", node.asname)
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self._tops.get(name, name) for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        node.attr = self._short.get(node.attr, node.attr)
        self.generic_visit(node)
        return node


class _Families:
    """Attributes that only `self` reaches, and only in classes of one line of descent.

    Two such lines never meet in one object, so the same short name serves both: on a device each
    name costs memory once.
    """

    def __init__(self, trees: Iterable[ast.Module]):
        classes = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
        self._elder: dict[str, str] = {}
        for each in classes:
            for base in each.bases:
                self._join(each.name, ast.unparse(base).rpartition(".")[2])
        met: dict[str, set[str]] = {}
        for each in classes:
            for attribute in _of_self(each):
                met.setdefault(attribute.attr, set()).add(self._root(each.name))
        inside = Counter(a.attr for each in classes for a in _of_self(each))
        nodes = (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Attribute))
        everywhere = Counter(node.attr for node in nodes)
        self.of = {
            name: next(iter(roots))
            for name, roots in met.items()
            if len(roots) == 1 and inside[name] == everywhere[name]
        }

    def grouped(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Names by their family."""
        found: dict[str, list[str]] = {}
        for name in sorted(names):
            found.setdefault(self.of[name], []).append(name)
        return found

    def _root(self, name: str) -> str:
        while name in self._elder:
            name = self._elder[name]
        return name

    def _join(self, one: str, other: str) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._elder[one] = other


def _of_self(each: ast.ClassDef) -> Iterator[ast.Attribute]:
    for node in ast.walk(each):
        owner = node.value if isinstance(node, ast.Attribute) else None
        if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id == "self":
            yield node


def _attributes(trees: Iterable[ast.AST]) -> set[str]:
    """Every attribute that code names."""
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _stored(trees: Iterable[ast.AST]) -> set[str]:
    """Every attribute that code sets."""
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if isinstance(node.ctx, ast.Store)}


def _outside_functions(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names in the bodies of modules and classes: they are attributes too."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                if not isinstance(statement, Definition):
                    parts = ast.walk(statement)
                    yield from (part.id for part in parts if isinstance(part, ast.Name))


def _digits(number: int) -> str:
    """The number in few letters."""
    rest, last = divmod(number, len(string.ascii_letters))
    return (_digits(rest - 1) if rest else "") + string.ascii_letters[last]


class _Parameters(ast.NodeTransformer):
    """Gives parameters the names a, b, c ... but those that some call names, and `self`.

    Only they are stored of a function's local names.
    """

    def __init__(self, trees: Collection[ast.Module]):
        calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
        self._kept = {keyword.arg for call in calls for keyword in call.keywords} | {"self"}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        """All of what is defined in the function too, so that each name stays one name."""
        if _is_viper(node):
            return node
        parts = list(ast.walk(node))
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
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            if statement.module in first:
                known = first[statement.module].names
                had = {(alias.name, alias.asname) for alias in known}
                known += [a for a in statement.names if (a.name, a.asname) not in had]
                continue
            first[statement.module] = statement
        body.append(statement)
    tree.body = body
    return tree


def _filled(tree: ast.Module) -> ast.Module:
    """With `pass` where a block was emptied."""
    for node in ast.walk(tree):
        if isinstance(node, Definition | ast.If | ast.For | ast.While | ast.With | ast.Try):
            node.body = node.body or [ast.Pass()]
        if isinstance(node, ast.ExceptHandler):
            node.body = node.body or [ast.Pass()]
    return ast.fix_missing_locations(tree)


def shrunk(sources: Mapping[str, str]) -> dict[str, str]:
    """The modules (dotted name to text) as small ones.

    All modules that can meet on a device belong in one call: what none of them names is dropped.
    """
    trees = {module: ast.parse(text) for module, text in sources.items()}
    constants = Constants.read(trees)
    for module, tree in trees.items():
        folded = _Fold(constants, module, tree).visit(tree)
        trees[module] = _filled(_Strip(tree).visit(folded))
    while True:
        each = {module: (_loaded([tree]), _texts([tree])) for module, tree in trees.items()}
        loaded = _imported(trees.values()).union(*(names for names, _ in each.values()))
        named = loaded.union(CALLED_BY_C, *(texts for _, texts in each.values()))
        dropped = 0
        for module, tree in trees.items():
            prune = _Prune(named, loaded, set.union(*each[module]))
            prune.visit(tree)
            if prune.dropped:
                _filled(tree)
            dropped += prune.dropped
        if not dropped:
            break
    shorten = _Shorten(trees)
    parameters = _Parameters(list(trees.values()))
    return {
        module: written(_with_merged_imports(parameters.visit(shorten.visit(tree))))
        for module, tree in trees.items()
    }


def written(tree: ast.AST) -> str:
    """The tree as text, with bare tuples where they are assigned to as many names.

    mpy-cross makes no tuple of two or three that stand bare: `a, b = c, d` costs no memory, and
    `a, b = (c, d)`, as `ast.unparse` writes it, does.
    """
    lines = [line.encode() for line in ast.unparse(tree).split("\n")]
    for node in ast.walk(ast.parse(b"\n".join(lines))):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Tuple)
            and isinstance(node.targets[-1], ast.Tuple)
            and node.value.elts
            and node.lineno == node.end_lineno
        ):
            line = lines[node.lineno - 1]
            start, end = node.value.col_offset, node.value.end_col_offset
            assert end is not None and line[start : start + 1] == b"("
            lines[node.lineno - 1] = line[:start] + line[start + 1 : end - 1] + line[end:]
    return b"\n".join(lines).decode()


def _imported(trees: Iterable[ast.AST]) -> set[str]:
    """What one module takes from another."""
    return {
        alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
