"""Gives what a node's own code names short names: a device keeps each name once, for good.

Two things of which no object and no module has both share one. A build tells which function is
called how (`names.txt`), for who reads a traceback.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import io
import string
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from zlib import crc32

from kerbline.firmware.shrink import CALLED_BY_C, Definition, written
from kerbline.firmware.trees import Quick, walk

# Code does not tell whose an attribute is: what these have keeps its name.
_VALUES = (int, str, bytes, bytearray, memoryview, list, tuple, dict, set, OSError, sha256())
_TASKS = (asyncio.Task, asyncio.Event, asyncio.Lock, asyncio.StreamReader, (_ for _ in ()))
_CHIP = """
accept acquire active any atten bind block cancel commit config connect coro data datetime decrypt
deinit done drain duty duty_ns duty_u16 encrypt erase_key feed filter_ns find freq get_blob
get_i32 get_next_update ifconfig info init ipconfig ipoll irq isconnected listen makefile
mark_app_valid_cancel_rollback memory mode modify off on out_buf peek ph_key poll pull push
read_u16 read_uv readfrom readfrom_into readfrom_mem readfrom_mem_into recv recvfrom register scan
send sendall sendbreak sendto set_blob set_boot set_i32 setblocking setsockopt settimeout state
status stop toggle txdone unregister value width writeto writeto_mem writevto
"""
FOREIGN = CALLED_BY_C.union(_CHIP.split(), *map(dir, (*_VALUES, *_TASKS, io.FileIO)))
_ERRORS = [name for name in dir(builtins) if name.endswith(("Error", "Exception"))]
SPREAD = 80  # short names; each thing begins at one of its own, so that a new one moves few
ANYWHERE = ""  # the home of what is set on something of which the code does not tell what it is


def shortened(
    texts: Mapping[str, str], stays: Collection[str] = (), *, all_names: bool = True
) -> tuple[dict[str, str], str]:
    """The modules (dotted name to text) with short names; a line for what each of these means.

    All modules that can meet on a device belong in one call. Names of `stays` keep their own;
    without `all_names` only what begins with "_" is renamed.
    """
    code = _Code({module: ast.parse(text) for module, text in texts.items()})
    ours = code.ours - set(stays)
    short = _shared({name for name in ours if all_names or name[0] == "_"}, code)
    called = code.called()
    lines = [
        f"{module} {short[name]} {' '.join(wholes)}"
        for (module, name), wholes in sorted(called.items())
        if name in short
    ]
    others = sorted(short.keys() - {name for _, name in called})
    lines += [f"* {short[name]} {name}" for name in others]
    small = {}
    for module, tree in code.trees.items():
        small[module] = written(_Rename(short, code.plain).visit(tree))
    return small, "\n".join(lines)


class _Rename(Quick, ast.NodeTransformer):
    """Gives attributes, functions and classes their short names, and globals."""

    def __init__(self, short: Mapping[str, str], plain: Collection[str]):
        self._short = short
        self._plain = {name: fresh for name, fresh in short.items() if name in plain}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._defined(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._defined(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._defined(node)

    def _defined(self, node: Definition) -> ast.AST:
        node.name = self._short.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._short.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._plain.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._plain.get(node.arg, node.arg)
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = self._plain.get(node.name, node.name)
        node.asname = self._plain.get(node.asname or "", node.asname)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._plain.get(name, name) for name in node.names]
        return node


class _Code:
    """What the names of some modules are names of."""

    def __init__(self, trees: Mapping[str, ast.Module]):
        self.trees = trees
        self._nodes = {module: walk(tree) for module, tree in trees.items()}
        self._lines = _Lines(node for nodes in self._nodes.values() for node in nodes)
        self._inside: dict[int, str] = {}  # what stands in the body of a class: its line's name
        self._of_self: dict[int, str] = {}  # attributes of `self`: the same
        for node in self._every():
            if isinstance(node, ast.ClassDef):
                self._in_class(node)
        free = {
            node.name
            for node in self._every()
            if isinstance(node, Definition) and id(node) not in self._inside
        }
        body = {n.id for n in self._every() if isinstance(n, ast.Name) and id(n) in self._inside}
        tops = {name for tree in trees.values() for name in _top(tree)}
        self.plain = free | body | tops  # what is ours as a plain name, not of something
        self.ours = self._ours()

    def _every(self) -> Iterator[ast.AST]:
        for nodes in self._nodes.values():
            yield from nodes

    def _in_class(self, each: ast.ClassDef) -> None:
        line = f"class {self._lines.root(each.name)}"
        for node in walk(each):
            if isinstance(node, ast.Attribute) and _owner(node) == "self":
                self._of_self[id(node)] = line
        for statement in each.body:
            if isinstance(statement, Definition):
                self._inside[id(statement)] = line
            else:
                self._inside.update((id(n), line) for n in walk(statement))

    def _ours(self) -> set[str]:
        """Names that nothing but this code gives or asks for."""
        found = set(self.plain)
        texts: set[str] = set()
        others = {"main", *(module.rpartition(".")[2] for module in self.trees)}
        away: set[str] = set()  # names of what comes from elsewhere
        known = {*self.trees, *(module.rpartition(".")[0] for module in self.trees)}
        for node in self._every():
            if isinstance(node, Definition):
                found.add(node.name)
                if isinstance(node, ast.ClassDef) and self._lines.is_error(node.name):
                    others.add(node.name)
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.keyword):
                others.add(node.arg or "")
            elif isinstance(node, ast.ExceptHandler):
                others.add(node.name or "")
            elif isinstance(node, ast.Nonlocal):
                others.update(node.names)
            elif isinstance(node, ast.Import) or (
                isinstance(node, ast.ImportFrom) and node.module not in known
            ):
                away.update(alias.asname or alias.name for alias in node.names)
                others.update(alias.name for alias in node.names)
        attributes = (node for node in self._every() if isinstance(node, ast.Attribute))
        others.update(node.attr for node in attributes if _root(node) in away)
        begun = tuple(text for text in texts if text[1:].endswith("_"))  # getattr(x, "feel_" + y)
        found -= texts | others | away | FOREIGN
        return {name for name in found if name[:2] != "__" and not name.startswith(begun)}

    def homes(self, names: Collection[str]) -> dict[str, set[str]]:
        """Of each name the modules and lines of descent that have it."""
        found: dict[str, set[str]] = {name: set() for name in names}
        for module, nodes in self._nodes.items():
            for node in nodes:
                if isinstance(node, ast.Attribute):
                    home = self._of_self.get(id(node), "")
                    if node.attr in found and (home or not isinstance(node.ctx, ast.Load)):
                        found[node.attr].add(home or ANYWHERE)
                    continue
                home = self._inside.get(id(node), "") if _given(node) else ""
                is_method = home and isinstance(node, Definition)
                for name in _given(node):
                    if name in found and home:
                        found[name].add(home)
                    if name in found and not is_method and name in self.plain:
                        found[name].add(module)
        return found

    def called(self) -> dict[tuple[str, str], list[str]]:
        """Functions and classes by module and name, each with the class that it is of."""
        found: dict[tuple[str, str], list[str]] = {}
        for module, nodes in self._nodes.items():
            owner = {
                id(part): node.name
                for node in nodes
                if isinstance(node, ast.ClassDef)
                for part in node.body
            }
            for node in nodes:
                if isinstance(node, Definition):
                    of = owner.get(id(node), "")
                    whole = f"{of}.{node.name}" if of else node.name
                    found.setdefault((module, node.name), []).append(whole)
        return found


def _shared(names: Collection[str], code: _Code) -> dict[str, str]:
    """A short name for each: one that nothing has in one of its homes."""
    homes = code.homes(names)
    known = {name for nodes in code.trees.values() for node in walk(nodes) for name in _any(node)}
    fresh = [
        short for at in range(len(known) + len(names)) if (short := f"_{_digits(at)}") not in known
    ]
    held: dict[str, set[str]] = {short: set() for short in fresh}
    found: dict[str, str] = {}
    for name in sorted(
        names, key=lambda name: (ANYWHERE not in homes[name], -len(homes[name]), name)
    ):
        first = crc32(name.encode()) % SPREAD
        for short in (*fresh[first:SPREAD], *fresh[:first], *fresh[SPREAD:]):
            there = held[short]
            if not there or not (ANYWHERE in there | homes[name] or there & homes[name]):
                there |= homes[name]
                found[name] = short
                break
    return found


class _Lines:
    """Lines of descent: classes that one object may have attributes of."""

    def __init__(self, nodes: Iterable[ast.AST]):
        self._elder: dict[str, str] = {}
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    self._join(node.name, ast.unparse(base).rpartition(".")[2])
            elif isinstance(node, ast.alias) and node.asname:
                self._join(node.asname, node.name)

    def root(self, name: str) -> str:
        """One name for all classes of that class's line."""
        while name in self._elder:
            name = self._elder[name]
        return name

    def is_error(self, name: str) -> bool:
        """Can it be raised? Who prints it shows its name."""
        return self.root(name) in map(self.root, _ERRORS)

    def _join(self, one: str, other: str) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self._elder[one] = other


def _top(tree: ast.Module) -> Iterator[str]:
    """Names that a module gives at its top."""
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.asname for alias in statement.names if alias.asname)
        elif not isinstance(statement, Definition):
            stored = (n for n in walk(statement) if isinstance(n, ast.Name))
            yield from (node.id for node in stored if isinstance(node.ctx, ast.Store))


def _owner(node: ast.Attribute) -> str:
    """The name on its left, where that is a plain one."""
    return node.value.id if isinstance(node.value, ast.Name) else ""


def _root(node: ast.Attribute) -> str:
    """The name on the very left."""
    while isinstance(node.value, ast.Attribute):
        node = node.value
    return _owner(node)


def _given(node: ast.AST) -> tuple[str, ...]:
    """Names that a node has as such, not of something."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.arg):
        return (node.arg,)
    if isinstance(node, ast.alias):
        return (node.asname or node.name,)
    if isinstance(node, Definition):
        return (node.name,)
    return tuple(node.names) if isinstance(node, ast.Global) else ()


def _any(node: ast.AST) -> tuple[str, ...]:
    return (node.attr,) if isinstance(node, ast.Attribute) else _given(node)


def _digits(number: int) -> str:
    """The number in few letters."""
    rest, last = divmod(number, len(string.ascii_letters))
    return (_digits(rest - 1) if rest else "") + string.ascii_letters[last]
