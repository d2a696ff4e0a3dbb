"""CSV files that a command reads and prints: rows with their lines, numbers that are checked."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.errors import KerblineError

MOST = 1e9  # of any column
_LONGEST = 40  # of what a message shows


class BadFile(KerblineError):
    """A file that cannot be read as what it should be."""

    code = "bad_file"
    exit_status = 2


def write(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """To standard output, when every row is found good."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(columns)
    out.writerows(rows)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a CSV file with the lines where they stand."""

    columns: Sequence[str]
    told: Sequence[tuple[int, Mapping[str, str]]]

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        return iter(self.told)


def rows_of(file: Path, wanted: Sequence[str]) -> Rows:
    """Of a CSV file with a line of names, `wanted` among them."""
    reader = csv.DictReader(io.StringIO(text_of(file), newline=None), strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        for name in wanted:
            if columns.count(name) != 1:
                there = "are two columns" if name in columns else "is no column"
                names = ", ".join(map(repr, columns)) or "none at all"
                raise BadFile(f"{file}, line 1: there {there} {name!r}; found: {names}")
        reader.fieldnames = columns
        told = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadFile(f"{file}, line {reader.line_num}: this is no CSV: {error}") from None
    for line, row in told:
        if None in row or None in row.values():
            raise BadFile(f"{file}, line {line}: it has not the {len(columns)} fields of line 1")
    return Rows(columns, told)


def number_of(file: Path, line: int, name: str, text: str) -> float | None:
    """A field's value; None where it is empty or says that there is none."""
    if text.strip().lower() in ("", "nan", "na", "null", "none"):
        return None
    try:
        value = float(text.replace("_", "?"))  # 1_000 is a number in Python alone
    except ValueError:
        raise BadFile(f"{file}, line {line}: {name}: {brief(text)} is no number") from None
    if not abs(value) <= MOST:
        raise BadFile(f"{file}, line {line}: {name}: {brief(text)} is more than there can be")
    return value


def brief(value: object) -> str:
    """As much of a value as a message shows."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def text_of(file: Path) -> str:
    """All of it, in UTF-8; raises BadFile."""
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(f"{file}: this is no text in UTF-8") from None
