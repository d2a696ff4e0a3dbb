"""Where each key of a TOML document stands: tomllib gives values without lines.

This is not a parser: it walks a text that tomllib has accepted, and so it only has to know where
keys, values and their brackets end.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping

from kerbline.config.faults import Path

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{1,2})?'  # up to two quotes may stand before the closing three
    r"|'''.*?'''(?:'{1,2})?"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def locate(text: str) -> Mapping[Path, int]:
    """The line (from 1) of each table, key and array element of a valid TOML text.

    A table that is defined in several places stands where it was first named; the empty path is
    line 1.
    """
    walk = _Walk(text)
    walk.document()
    return walk.lines


class _Walk:
    """A position in the text, and the lines found so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.newlines = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[Path, int] = {(): 1}
        self.sizes: dict[Path, int] = {}  # how many tables each array of tables has so far

    def document(self) -> None:
        table: Path = ()
        while self.skip(_BLANK) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)

    def skip(self, blank: re.Pattern[str]) -> int:
        """Step over what `blank` matches, and say where we are."""
        match = blank.match(self.text, self.at)
        assert match is not None  # both blanks match nothing, too
        self.at = match.end()
        return self.at

    def took(self, mark: str) -> bool:
        """Step over `mark` if it stands here."""
        here = self.text.startswith(mark, self.at)
        self.at += len(mark) * here
        return here

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, bisect_left(self.newlines, self.at) + 1)

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: the path of the table it opens."""
        opens_element = self.took("[[") or not self.took("[")
        start = self.at
        path: Path = ()
        names = self.key()
        end, self.at = self.at, start
        for depth, name in enumerate(names, 1):
            path += (name,)
            self.note(path)
            if opens_element and depth == len(names):
                self.sizes[path] = self.sizes.get(path, 0) + 1
            if path in self.sizes:
                path += (self.sizes[path] - 1,)
                self.note(path)
        self.at = end
        closed = self.took("]]" if opens_element else "]")
        assert closed
        return path

    def key(self) -> tuple[str, ...]:
        """A key, dotted or not, up to what follows it."""
        names = [self.name()]
        while self.took("."):
            names.append(self.name())
        return tuple(names)

    def name(self) -> str:
        self.skip(_SPACE)
        bare = _BARE_KEY.match(self.text, self.at)
        if bare:
            self.at = bare.end()
            name = bare.group()
        else:
            raw = self.matched(_STRING)
            name = next(iter(tomllib.loads(f"{raw} = 0")))
        self.skip(_SPACE)
        return name

    def matched(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, f"not TOML at character {self.at}"
        self.at = match.end()
        return match.group()

    def pair(self, table: Path) -> None:
        """`key = value` inside `table`."""
        start = self.at
        names = self.key()
        end, self.at = self.at, start
        for depth in range(1, len(names) + 1):
            self.note(table + names[:depth])
        self.at = end
        equals = self.took("=")
        assert equals
        self.skip(_SPACE)
        self.value(table + names)

    def value(self, path: Path) -> None:
        if self.took("["):
            index = 0
            while self.skip(_BLANK) and not self.took("]"):
                self.note((*path, index))
                self.value((*path, index))
                self.skip(_BLANK)
                self.took(",")
                index += 1
        elif self.took("{"):
            while self.skip(_BLANK) and not self.took("}"):
                self.pair(path)
                self.skip(_BLANK)
                self.took(",")
        elif self.text.startswith(('"', "'"), self.at):
            self.matched(_STRING)
        else:
            self.matched(_SCALAR)
