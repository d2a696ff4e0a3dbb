"""Puts modules that are always loaded together into one: a device then stores each name once.

The members are some modules and what they import at their top, in one package. References
between them become plain names; the rest imports from the whole. Works on source, like
`shrink`, and refuses what it does not understand.
"""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kerbline.firmware.sources import Parsed, imported
from kerbline.firmware.trees import Quick, children, placed, walk

_SCOPED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class NotJoined(Exception):
    """The source has something that the whole cannot keep the meaning of."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which modules go in, in an order that runs, and what their names become there."""

    joined: str  # named as its first root
    members: tuple[str, ...]
    names: Mapping[str, Mapping[str, str]]  # member -> its top-level name -> that in the whole

    @property
    def short(self) -> str:
        """The name of the whole in its package."""
        return self.joined.rpartition(".")[2]

    @property
    def package(self) -> str:
        """The package of the whole."""
        return self.joined.rpartition(".")[0]

    @classmethod
    def of(
        cls, roots: Sequence[str], trees: Mapping[str, ast.Module], apart: Collection[str]
    ) -> "Plan":
        """For the roots and all that they import at their top but what stays `apart`."""
        package = roots[0].rpartition(".")[0]
        members: list[str] = []

        def add(module: str) -> None:
            if module not in members and module in trees and module not in apart:
                for statement in trees[module].body:
                    for name in _taken(statement, package):
                        add(name)
                members.append(module)

        for root in roots:
            add(root)
        tops = {module: _top(trees[module]) for module in members}
        local = {name for module in members for name in _locals_anywhere(trees[module])}
        every = [name for names in tops.values() for name in names]
        taken = local | {name for name in every if every.count(name) == 1}
        names: dict[str, dict[str, str]] = {}
        for module, own in tops.items():
            names[module] = {}
            for name in sorted(own):
                fresh = name
                if every.count(name) > 1 or name in local:
                    private = "_" if name[0] == "_" else ""
                    fresh = f"{private}{module.rpartition('.')[2]}_{name.lstrip('_')}"
                    while fresh in taken:
                        fresh += "_"
                    taken.add(fresh)
                names[module][name] = fresh
            for name, source, original in _imported(trees[module]):
                if f"{source}.{original}" not in members:  # what a member only hands on
                    names[module].setdefault(name, names.get(source, {}).get(original, name))
        return cls(roots[0], tuple(members), names)


def _taken(statement: ast.stmt, package: str) -> Iterator[str]:
    """What an import statement loads of the package, and names in it that may be modules."""
    if isinstance(statement, ast.ImportFrom) and f"{statement.module}.".startswith(package + "."):
        yield str(statement.module)
        yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def _top(tree: ast.Module) -> set[str]:
    """Names that the module itself defines."""
    found: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif not isinstance(statement, ast.ImportFrom | ast.Import):
            found |= _stored(statement)
    return found


def _imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(name here, module, name there) of what a module imports at its top."""
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name, statement.module or "", alias.name


def _stored(node: ast.AST) -> set[str]:
    """Names that this binds in its own scope: assignments, loops, imports, `except ... as`."""
    found: set[str] = set()
    for part in [node, *children(node)]:
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.add(part.id)
        elif isinstance(part, ast.ExceptHandler) and part.name:
            found.add(part.name)
        elif isinstance(part, ast.ImportFrom | ast.Import):
            found.update(alias.asname or alias.name for alias in part.names)
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(part.name)
        if part is not node and not isinstance(part, (*_SCOPED, ast.ClassDef, *_COMPREHENSIONS)):
            found |= _stored(part)
    return found


def _own(node: ast.AST) -> set[str]:
    """The local names of a function, lambda or comprehension."""
    if isinstance(node, _COMPREHENSIONS):
        return {name for part in node.generators for name in _stored(part.target)}
    assert isinstance(node, _SCOPED)
    found = {argument.arg for argument in walk(node.args) if isinstance(argument, ast.arg)}
    for statement in node.body if isinstance(node.body, list) else []:
        found |= _stored(statement)
    return found


def _locals_anywhere(tree: ast.Module) -> Iterator[str]:
    for node in walk(tree):
        if isinstance(node, _SCOPED + _COMPREHENSIONS):
            yield from _own(node)


class _Rename(Quick, ast.NodeTransformer):
    """Gives references their names in the whole; imports of members go."""

    def __init__(self, plan: Plan, module: str):
        self._plan = plan
        self._names = dict(plan.names.get(module, {}))
        self._modules: dict[str, Mapping[str, str]] = {}
        self._scopes: list[set[str]] = []

    @contextmanager
    def _scope(self, names: set[str]) -> Iterator[None]:
        self._scopes.append(names)
        yield
        self._scopes.pop()

    def _local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        kept = []
        for alias in node.names:
            name = alias.asname or alias.name
            whole = f"{node.module}.{alias.name}"
            if whole in self._plan.names:
                self._modules[name] = self._plan.names[whole]
            elif alias.name in self._plan.names.get(node.module or "", ()):
                self._names[name] = self._plan.names[node.module or ""][alias.name]
            else:
                kept.append(alias)
                continue
            for scope in self._scopes:
                scope.discard(name)
        return ast.ImportFrom(node.module, kept, 0) if kept else None

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if self._local(node.id):
            return node
        if node.id in self._modules:
            raise NotJoined(f"a module is used as a value: {node.id}")
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        base = node.value
        if isinstance(base, ast.Name) and base.id in self._modules and not self._local(base.id):
            return ast.Name(self._modules[base.id][node.attr], node.ctx)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        node.bases = [self.visit(base) for base in node.bases]
        with self._scope(set()):
            node.body = [made for part in node.body if (made := self.visit(part))]
        node.name = node.name if self._scopes else self._names.get(node.name, node.name)
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        node.decorator_list = [self.visit(part) for part in node.decorator_list]
        node.args = self.visit(node.args)
        with self._scope(_own(node)):
            node.body = [made for part in node.body if (made := self.visit(part))] or [ast.Pass()]
        node.name = node.name if self._scopes else self._names.get(node.name, node.name)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        with self._scope(_own(node)):
            self.generic_visit(node)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, _COMPREHENSIONS):
            return super().generic_visit(node)
        with self._scope(_own(node)):
            return super().generic_visit(node)


class _Outside(Quick, ast.NodeTransformer):
    """Imports of members, in a module that stays by itself, lead to the whole."""

    def __init__(self, plan: Plan, tree: ast.Module):
        self._plan = plan
        self._modules: dict[str, Mapping[str, str]] = {}
        self._own = _top(tree) | set(_locals_anywhere(tree))
        self._taken: dict[str, None] = {}  # by plain name, which costs less than by module

    def module(self, tree: ast.Module) -> ast.Module:
        """The whole tree."""
        self.visit(tree)
        if self._taken:
            names = [ast.alias(name) for name in self._taken]
            tree.body.insert(0, ast.ImportFrom(self._plan.joined, names, 0))
        return tree

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        names = self._plan.names.get(node.module or "", {})
        led: dict[str, list[ast.alias]] = {}  # by the module that they come from now
        for alias in node.names:
            here = alias.asname or alias.name
            whole = self._plan.names.get(f"{node.module}.{alias.name}")
            if whole is not None:
                self._modules[here] = whole
                source, name = self._plan.package, self._plan.short
            elif alias.name in names:
                source, name = self._plan.joined, names[alias.name]
            else:
                source, name = node.module or "", alias.name
            led.setdefault(source, []).append(ast.alias(name, here if here != name else None))
        return [ast.ImportFrom(source, aliases, 0) for source, aliases in led.items()]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            name = self._modules[node.value.id].get(node.attr, node.attr)
            if not {name, node.value.id} & self._own:
                self._taken[name] = None
                return ast.Name(name, node.ctx)
            node.attr = name
        self.generic_visit(node)
        return node


def joined(
    sources: Mapping[str, str], roots: Sequence[str], apart: Collection[str] = ()
) -> dict[str, str]:
    """The modules (dotted name to text), with the roots and what they import under one name.

    That is the first root's; what is in `apart` stays by itself.
    """
    trees = Parsed(sources)
    plan = Plan.of(roots, trees, apart)
    body: list[ast.stmt] = []
    for module in plan.members:
        body += _Rename(plan, module).visit(trees[module]).body
    _check_imports(body)
    outside = {
        module: text
        if plan.names.keys().isdisjoint(imported(text))
        else ast.unparse(placed(_Outside(plan, trees[module]).module(trees[module])))
        for module, text in sources.items()
        if module not in plan.members
    }
    whole = placed(ast.Module(body, []))
    return outside | {plan.joined: ast.unparse(whole)}


def _check_imports(body: Sequence[ast.stmt]) -> None:
    """One name from outside must mean one thing in all members, and nothing that is made there."""
    made = {name for name in map(_made, body) if name}
    known: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                whole = f"{statement.module}.{alias.name}"
                name = alias.asname or alias.name
                if known.setdefault(name, whole) != whole or name in made:
                    raise NotJoined(f"two things are called {name} there")


def _made(statement: ast.stmt) -> str:
    """What it defines, "" for anything else."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name
    return ""
