"""Assets as a table: CSV of RFC 4180, and what spreadsheets of Europe make of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from kerbline.assets.asset import POINT, Asset
from kerbline.assets.faults import Faults, Where
from kerbline.assets.fields import KEYS, Record, unknown
from kerbline.assets.listed import compact
from kerbline.config.faults import shown

SEPARATORS = ",;\t"
_BEGUN = re.compile(r"\S[^\r\n]*")
_HINT = "sep="  # Excel writes it as a first line of its own


def read(text: str, file: str, faults: Faults) -> list[Record]:
    """A record for each row; the first row names the keys."""
    separator, rows = _separated(text)
    records: list[Record] = []
    header: Sequence[str] | None = None
    try:
        for line, row in rows:
            where = Where(file, line)
            if not any(map(str.strip, row)):
                continue
            if header is None:
                header = _header(row, where, faults)
                if "id" not in header:
                    return []
            elif len(row) != len(header):
                _ragged(row, header, separator, where, faults)
            else:
                cells = zip(header, map(str.strip, row), strict=True)
                records.append(Record(where, {key: cell for key, cell in cells if key in KEYS}))
        if header is None:
            faults.add(Where(file), "", "this is empty", "name the right file")
    except csv.Error as error:
        remedy = 'write a cell with a quote or a line break as "..." with each quote doubled'
        faults.add(Where(file, rows.line), "", f"this is no CSV: {error}", remedy)
    return records


def written(assets: Iterable[Asset]) -> str:
    """A table of all keys, in the order of the assets."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(KEYS)
    writer.writerows(map(_row, assets))
    return stream.getvalue()


def _row(asset: Asset) -> list[str]:
    lat = lon = location = ""
    place = asset.location
    if place is not None and place.kind == POINT and len(place.positions[0]) == 2:
        lon, lat = map(repr, place.positions[0])
    elif place is not None:
        location = compact(place.geojson())
    texts = (asset.group, asset.zone, asset.segment, asset.owner, asset.privacy)
    return [asset.id, asset.type, asset.name, lat, lon, location, *texts]


class _Rows:
    """Rows and the line where each begins: a cell in quotes may hold line breaks."""

    def __init__(self, text: str, separator: str, skipped: int) -> None:
        self._rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        self._skipped = skipped
        self.line = skipped + 1

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for row in self._rows:
            yield self.line, row
            self.line = self._skipped + self._rows.line_num + 1


def _separated(text: str) -> tuple[str, _Rows]:
    """The separator, by the first line that is not blank, and the rows."""
    first, _, rest = text.partition("\n")
    if first.lower().startswith(_HINT):
        separator = first[len(_HINT) :].strip("\r") or ","
        if separator in SEPARATORS:
            return separator, _Rows(rest, separator, 1)
    begun = _BEGUN.search(text)
    separator = max(SEPARATORS, key=begun[0].count) if begun else ","
    return separator, _Rows(text, separator, 0)


def _header(row: Sequence[str], where: Where, faults: Faults) -> Sequence[str]:
    names = [name.strip() for name in row]
    unknown(where, names, faults)
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(where, shown(name), "names two columns", "remove one of them")
    if "id" not in names:
        remedy = "name the columns in the first row: id, type, lat, lon, ..."
        faults.add(where, "id", "is no column", remedy)
    return names


def _ragged(
    row: Sequence[str], header: Sequence[str], separator: str, where: Where, faults: Faults
) -> None:
    problem = f"{len(row)} cells where the first row has {len(header)}"
    remedy = "write as many; a cell that holds the separator stands in quotes"
    if separator == "," and len(row) > len(header):
        remedy += "; numbers take a decimal point, not a comma"
    faults.add(where, "", problem, remedy)
