"""Walks the parts of a syntax tree that MicroPython runs; branches for CPython alone are left out.

Left out: annotations; branches that TYPE_CHECKING, `sys.implementation.name` or a flag made of it
decide, with what follows a `return` in them; `try: ... except ImportError:`.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping

Reached = Iterator[tuple[ast.AST, frozenset[str]]]


class Reach:
    """One file's walk; `modules` is what MicroPython's modules hold, `flags` as `flags_of` says."""

    def __init__(
        self, tree: ast.Module, flags: frozenset[str], modules: Mapping[str, frozenset[str]]
    ) -> None:
        self._tree = tree
        self._flags = flags
        self._modules = modules
        self.aliases = dict(_module_aliases(tree))

    def nodes(self) -> Reached:
        """Each node with the names that an enclosing hasattr() made sure of."""
        yield from self._visit(self._tree, frozenset())

    def _visit(self, node: ast.AST, asked: frozenset[str]) -> Reached:
        yield node, asked
        if isinstance(node, ast.If | ast.IfExp):
            sure = asked | _asked_by_hasattr(node.test)
            yield from self._visit(node.test, sure)
            taken = self._decided(node.test)
            if taken is not False:
                yield from self._visit_all(node.body, sure)
            if taken is not True:
                yield from self._visit_all(node.orelse, asked)
        elif isinstance(node, ast.Try) and _catches_import_error(node):
            yield from self._visit_all(node.orelse, asked)
            yield from self._visit_all(node.finalbody, asked)
        else:
            for field, value in ast.iter_fields(node):
                if field not in {"annotation", "returns"}:
                    yield from self._visit_all(value, asked)

    def _visit_all(self, value: object, asked: frozenset[str]) -> Reached:
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from self._visit(child, asked)
            if isinstance(child, ast.If) and self._leaves(child):
                return

    def _leaves(self, node: ast.If) -> bool:
        """MicroPython takes this branch and never comes to what follows it."""
        return self._decided(node.test) is True and isinstance(
            node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break
        )

    def _decided(self, test: ast.expr) -> bool | None:
        """What the test is on MicroPython; None where it may be either."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self._decided(test.operand)
            return None if inner is None else not inner
        text = ast.unparse(test)
        if text == "TYPE_CHECKING":
            return False
        if "implementation.name" in text:
            return ("!=" in text) != ("micropython" in text)
        if text in self._flags or self._module_has(test):
            return True
        return None

    def _module_has(self, test: ast.expr) -> bool:
        """hasattr(module, name) of what MicroPython's module has."""
        if not (isinstance(test, ast.Call) and ast.unparse(test.func) == "hasattr"):
            return False
        module = self.aliases.get(ast.unparse(test.args[0]), "")
        return _asked_by_hasattr(test) <= self._modules.get(module, frozenset())


def flags_of(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Names assigned at the top of any file from `sys.implementation.name == "micropython"`."""
    return frozenset(
        node.targets[0].id
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value).endswith("implementation.name == 'micropython'")
    )


def _module_aliases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name


def _asked_by_hasattr(test: ast.expr) -> frozenset[str]:
    return frozenset(
        call.args[1].value
        for call in ast.walk(test)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "hasattr"
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    )


def _catches_import_error(node: ast.Try) -> bool:
    return any(h.type is not None and "ImportError" in ast.unparse(h.type) for h in node.handlers)
