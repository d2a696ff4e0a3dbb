"""The lines of a TOML text: what a writer knows, the locator finds, whatever the style."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kerbline.config.faults import Path
from kerbline.config.locate import locate

NAMES = ["a", "b-1", "_", "7", "a.b", "key with space", "ä", '"', "#", "[x]", "="]
SCALARS = [
    "1",
    "0x1F",
    "1_000.5e-3",
    "nan",
    "true",
    "1979-05-27 07:32:00Z",
    '"plain # not a comment"',
    r'"escaped \" quote ] } ,"',
    "'literal \\'",
    '""',
    "''",
    '""""""',
    '"""one" ""two\\""" """""',
    '"""\nline [x]\n# no comment\n\\"""\n"""',
    "'''\n'literal' \\ ''\n'''''",
]


class Writer:
    """Writes a random document and notes where it put what."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.text = ""
        self.lines: dict[Path, int] = {(): 1}

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def blank(self, *, newlines: bool) -> None:
        choices = ["", "", " ", "\t "] + (["\n", "# c ] \" '\n", " \n\n"] if newlines else [])
        self.text += self.random.choice(choices)

    def name(self, name: str) -> None:
        bare = (name.isascii() and name.replace("-", "").replace("_", "").isalnum()) or name == "_"
        styles = [json.dumps(name), json.dumps(name, ensure_ascii=False)]
        styles += [name] if bare else []
        styles += [f"'{name}'"]
        self.text += self.random.choice(styles)

    def dotted(self, names: Path) -> None:
        for index, name in enumerate(names):
            self.text += "." if index else ""
            self.blank(newlines=False)
            self.name(str(name))
            self.blank(newlines=False)

    def pairs(self, path: Path, taken: set[str], depth: int, between: str) -> None:
        for name in self.random.sample(NAMES, self.random.randrange(4)):
            if name in taken:
                continue
            taken.add(name)
            dotted: Path = (name,) if self.random.random() < 0.7 else (name, "x", "y")
            for end in range(1, len(dotted) + 1):
                self.note(path + dotted[:end])
            self.dotted(dotted)
            self.text += "="
            self.blank(newlines=False)
            self.value(path + dotted, depth)
            self.blank(newlines=False)
            self.text += between

    def value(self, path: Path, depth: int) -> None:
        kind = self.random.random()
        if depth and kind < 0.25:
            self.text += "["
            for index in range(self.random.randrange(4)):
                self.blank(newlines=True)
                self.note((*path, index))
                self.value((*path, index), depth - 1)
                self.blank(newlines=True)
                self.text += ","
            self.blank(newlines=True)
            self.text += "]"
        elif depth and kind < 0.45:
            self.text += "{"
            before = len(self.text)
            self.pairs(path, set(), depth - 1, ",")
            if len(self.text) > before:
                self.text = self.text[:-1]  # no comma may stand last
            self.blank(newlines=False)
            self.text += "}"
        else:
            self.text += self.random.choice(SCALARS)

    def table(self, path: Path, names: Path, brackets: tuple[str, str]) -> None:
        self.blank(newlines=True)
        if isinstance(path[-1], int):
            self.note(path[:-1])
        self.note(path)
        self.text += brackets[0]
        self.dotted(names)
        self.text += brackets[1]
        self.blank(newlines=False)
        self.text += self.random.choice(["\n", "# [[no]]\n"])

    def document(self) -> None:
        self.blank(newlines=True)
        self.pairs((), {"t", "list"}, 3, "\n")
        self.table(("t",), ("t",), ("[", "]"))
        self.pairs(("t",), set(), 2, "\n")
        for index in range(self.random.randrange(3)):
            self.table(("list", index), ("list",), ("[[", "]]"))
            self.pairs(("list", index), {"sub", "deep"}, 2, "\n")
            self.table(("list", index, "sub"), ("list", "sub"), ("[", "]"))
            self.pairs(("list", index, "sub"), set(), 1, "\n")
            for inner in range(self.random.randrange(3)):
                self.table(("list", index, "deep", inner), ("list", "deep"), ("[[", "]]"))
                self.pairs(("list", index, "deep", inner), set(), 1, "\n")


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


@given(st.randoms(use_true_random=False))
def test_every_line_is_found(random: Random) -> None:
    writer = Writer(random)
    writer.document()
    assert set(paths(tomllib.loads(writer.text))) == set(writer.lines), writer.text
    assert locate(writer.text) == writer.lines, writer.text


def test_lines_are_found_without_assertions_too() -> None:
    """PYTHONOPTIMIZE leaves them out, and with them what they do."""
    found = locate(text := 'a.b = [1, {c = "d"}]\n[[e]]\nf = 2\n')
    code = f"from kerbline.config.locate import locate; print(dict(locate({text!r})))"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{dict(found)}\n", done.stderr


@given(st.randoms(use_true_random=False))
def test_whatever_toml_accepts_is_walked(random: Random) -> None:
    writer = Writer(random)
    writer.document()
    text = writer.text
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice("\"'#[]{}=,.\n \\a1") + text[at + random.randrange(3) :]
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(locate(text)) == set(paths(document)), text
