"""Reads Python source into syntax trees, and tells what they import. Judges nothing itself."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kerbline.firmware.trees import walk


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file; `module` is its dotted name below the folder that is on the path."""

    file: str
    module: str
    tree: ast.Module


def read(root: Path, folder: str, path_entry: str) -> Iterator[Source]:
    """Every .py file below root/folder, named as modules below root/path_entry."""
    for file in sorted((root / folder).rglob("*.py")):
        parts = file.relative_to(root / path_entry).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        name = str(file.relative_to(root))
        yield Source(name, ".".join(parts), ast.parse(file.read_text(), filename=name))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names of all imports anywhere in the tree, with their lines.

    `from a import b` yields a and a.b, since b may be a module.
    """
    for node in walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


@lru_cache(maxsize=1024)
def imported(text: str) -> frozenset[str]:
    """Names of `imports`, of a module's text."""
    return frozenset(name for name, _ in imports(ast.parse(text)))


class Parsed(Mapping[str, ast.Module]):
    """Trees of some texts by module, each made when somebody asks for it."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._made: dict[str, ast.Module] = {}

    def __getitem__(self, module: str) -> ast.Module:
        if module not in self._made:
            self._made[module] = ast.parse(self._texts[module])
        return self._made[module]

    def __contains__(self, module: object) -> bool:
        return module in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)
