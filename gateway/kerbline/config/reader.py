"""From a TOML table to a section's dataclass, by the dataclass's own types and rules.

A field is `name: type`, `name: Annotated[type, Rule...]` or, where the key of the file has another
name, `name: Annotated[type, Key("node")]`. Types: str, int, float, bool, Path (made absolute from
the file's folder), a section, `X | None`, tuples of these, `dict[str, X]` (a table whose keys are
names). `object` takes any value as it is: its rules judge the type as well. A field without default
must stand in the file.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.config import faults
from kerbline.config.faults import Fault, shown, spelled
from kerbline.config.rules import Rule

LARGEST = 1e300
LONGEST_PATH = 255
STRANGE = "is not a key that belongs here"

_TYPE_NAMES: dict[object, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_EXAMPLES: dict[object, str] = {
    str: '"text" in quotes',
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a field in the file, where the field's own name would read badly there."""

    name: str


class OrOne:
    """Of a list of texts: a single one may stand without the brackets."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at a key."""

    plain: object  # a type; of a tuple, tuple[element]; of named tables, dict[str, element]
    rules: tuple[Rule, ...]
    or_one: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a section and its key in the file."""

    field: str
    key: str
    shape: Shape
    required: bool


class Unusable:
    """Stands where no value could be made; an object that holds one never leaves this room."""


UNUSABLE = Unusable()


class Reader:
    """Reads one file; keeps every fault, and every value that was accepted, by its path."""

    def __init__(self, file: str, folder: Path, lines: Mapping[faults.Path, int]) -> None:
        self.faults: list[Fault] = []
        self.accepted: dict[faults.Path, object] = {}
        self.file = file
        self._folder = folder
        self.lines = lines
        self._entries: dict[type, tuple[Entry, ...]] = {}

    def afresh(self) -> Reader:
        """A reader of the same file that has found nothing yet."""
        return Reader(self.file, self._folder, self.lines)

    def complain(self, path: faults.Path, problem: str, remedy: str) -> None:
        """Keep a fault at the line of `path`, or of the nearest table around it."""
        self.faults.append(Fault(self.file, self.line(path), spelled(path), problem, remedy))

    def line(self, path: faults.Path) -> int:
        """The line where `path` stands, or the nearest table around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def has(self, path: faults.Path) -> bool:
        """Does `path` stand in the file, whatever is written there?"""
        return path in self.lines

    def select(self, *pattern: str | int) -> Iterator[tuple[faults.Path, object]]:
        """Accepted values whose path fits: select("node", "*", "id") gives each node's id."""
        for path, value in self.accepted.items():
            if len(path) == len(pattern) and all(
                want in ("*", part) for want, part in zip(pattern, path, strict=True)
            ):
                yield path, value

    def section(self, kind: type, table: Mapping[str, object], path: faults.Path = ()) -> object:
        """An instance of the dataclass `kind`; with faults kept it holds `UNUSABLE` in places."""
        if kind not in self._entries:
            self._entries[kind] = _entries(kind)
        entries = self._entries[kind]
        values: dict[str, object] = {}
        for entry in entries:
            at = (*path, entry.key)
            if entry.key in table:
                values[entry.field] = self._value(entry.shape, table[entry.key], at)
            elif entry.required:
                values[entry.field] = UNUSABLE
                self.complain(at, "is missing", f"write {_example(entry, path)}")
        known = [entry.key for entry in entries]
        for key in table:
            if key not in known:
                self.complain((*path, key), STRANGE, hint(key, known))
        return kind(**values)

    def _value(self, shape: Shape, raw: object, path: faults.Path) -> object:
        plain = shape.plain
        if dataclasses.is_dataclass(plain):
            assert isinstance(plain, type)
            return self._table(plain, raw, path)
        if typing.get_origin(plain) is tuple:
            one = [raw] if shape.or_one and isinstance(raw, str) else raw
            value = self._list(_shape(typing.get_args(plain)[0]), one, path)
        elif typing.get_origin(plain) is dict:
            value = self._names(_shape(typing.get_args(plain)[1]), raw, path)
        else:
            value = self._scalar(plain, raw, path)
        if value is UNUSABLE:
            return value
        for rule in shape.rules:
            complaint = rule.judge(value)
            if complaint is not None:
                self.complain(path, complaint.problem, complaint.remedy)
                return UNUSABLE
        self.accepted[path] = value
        return value

    def _table(self, kind: type, raw: object, path: faults.Path) -> object:
        if isinstance(raw, dict):
            return self.section(kind, raw, path)
        self.complain(path, f"{_named(raw)} where a table belongs", f"write [{_header(path)}]")
        return UNUSABLE

    def _list(self, element: Shape, raw: object, path: faults.Path) -> object:
        if isinstance(raw, list):
            return tuple(self._value(element, each, (*path, i)) for i, each in enumerate(raw))
        is_table = dataclasses.is_dataclass(element.plain)
        form = f"[[{_header(path)}]]" if is_table else "a list in [ ]"
        self.complain(path, f"{_named(raw)} where a list belongs", f"write {form}")
        return UNUSABLE

    def _names(self, element: Shape, raw: object, path: faults.Path) -> object:
        if isinstance(raw, dict):
            return {name: self._value(element, each, (*path, name)) for name, each in raw.items()}
        self.complain(path, f"{_named(raw)} where a table belongs", f"write [{_header(path)}]")
        return UNUSABLE

    def _scalar(self, plain: object, raw: object, path: faults.Path) -> object:
        if plain is Path and isinstance(raw, str):
            if 0 < len(raw) <= LONGEST_PATH and raw.isprintable():
                return self._folder / Path(raw)
            self.complain(path, f"{shown(raw)} is not a path", "write the path of a file")
            return UNUSABLE
        if plain is float and isinstance(raw, int | float) and not isinstance(raw, bool):
            if abs(raw) < LARGEST:  # neither infinite nor NaN
                return float(raw)
            self.complain(path, f"{shown(raw)} is no measurable number", "write a number")
            return UNUSABLE
        if plain is object:
            return raw
        if plain is not float and type(raw) is plain:  # not isinstance: true is not 1
            return raw
        wanted = str if plain is Path else plain
        self.complain(
            path, f"{_named(raw)} where {_TYPE_NAMES[wanted]} belongs", f"write {_EXAMPLES[wanted]}"
        )
        return UNUSABLE


def _entries(kind: type) -> tuple[Entry, ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple(
        Entry(
            field.name,
            key=_key(hints[field.name]) or field.name,
            shape=_shape(hints[field.name]),
            required=field.default is field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    )


def _key(hint: object) -> str:
    marks = typing.get_args(hint)
    return next((mark.name for mark in marks if isinstance(mark, Key)), "")


def _shape(hint: object) -> Shape:
    """A hint without `Annotated` and `| None`, in whatever order they stand around each other."""
    rules: tuple[Rule, ...] = ()
    or_one = False
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
            rules += tuple(mark for mark in marks if not isinstance(mark, Key | OrOne))
            or_one |= any(isinstance(mark, OrOne) for mark in marks)
        elif typing.get_origin(hint) in (types.UnionType, typing.Union):
            hint = next(each for each in typing.get_args(hint) if each is not types.NoneType)
        else:
            return Shape(hint, rules, or_one)


def _named(raw: object) -> str:
    if isinstance(raw, dict):
        return "a table"
    return "a list" if isinstance(raw, list) else shown(raw)


def _words(path: faults.Path) -> list[str]:
    return [part for part in path if isinstance(part, str)]


def _header(path: faults.Path) -> str:
    return ".".join(_words(path))


def _example(entry: Entry, path: faults.Path) -> str:
    plain = entry.shape.plain
    if dataclasses.is_dataclass(plain):
        return f"[{'.'.join((*_words(path), entry.key))}]"
    if typing.get_origin(plain) is dict:
        return f"[{'.'.join((*_words(path), entry.key))}.NAME]"
    if typing.get_origin(plain) is tuple:
        inner = _shape(typing.get_args(plain)[0]).plain
        if dataclasses.is_dataclass(inner):
            return f"[[{'.'.join((*_words(path), entry.key))}]]"
        return f"{entry.key} = [ ... ]"
    return f"{entry.key} = " + ('"..."' if plain in (str, Path) else "...")


def hint(key: str, known: Sequence[str]) -> str:
    """What to write where `key` is none of those that are known."""
    import difflib  # only for somebody who mistyped; it costs a start 3 ms

    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return "remove it" + ("; known here: " + ", ".join(known) if known else "")
