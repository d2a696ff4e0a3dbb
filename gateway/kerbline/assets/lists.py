"""A list of assets in a file of a person's: read in whichever form it has, and written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from kerbline.assets import geojson, listed, table
from kerbline.assets.asset import Asset
from kerbline.assets.faults import Faults, Where
from kerbline.assets.fields import Draft, Record, read
from kerbline.config.faults import shown

CSV, JSON, GEOJSON = "csv", "json", "geojson"
FORMS = (CSV, JSON, GEOJSON)
MAX_BYTES = 32 << 20
MAX_ASSETS = 20_000  # 24 MB in the gateway, which serves a street or a district

_STRANGE = "this is not UTF-8"
_OTHERS = (
    (b"\xff\xfe", "this is UTF-16"),
    (b"\xfe\xff", "this is UTF-16"),
    (b"PK\x03\x04", "this is a workbook or an archive"),
)
_WRITERS = {CSV: table.written, JSON: listed.written, GEOJSON: geojson.written}


def form_of(path: Path) -> str | None:
    """The form that a file's name says."""
    suffix = path.suffix[1:].lower()
    return suffix if suffix in FORMS else None


def drafts(content: bytes, file: str, form: str | None) -> list[Draft]:
    """What a file says of each asset; raises AssetsFault with the first faults of all.

    `form` None: told by the content.
    """
    faults = Faults()
    text = _text(content, file, faults)
    faults.check()
    form = form or _form(text)
    if form == CSV:
        records = table.read(text, file, faults)
    else:
        tree = _tree(text, file, faults)
        faults.check()
        collection = isinstance(tree, dict) and tree.get("type") == "FeatureCollection"
        reader = geojson if form == GEOJSON or collection else listed  # portals name it .json
        records = reader.read(tree, file, faults)
    found = _once(records, faults)
    faults.check()
    return found


def written(assets: Iterable[Asset], form: str) -> str:
    """The list in one of FORMS."""
    return _WRITERS[form](assets)


def _once(records: list[Record], faults: Faults) -> list[Draft]:
    """The drafts of good records, no id twice."""
    found: dict[str, Draft] = {}
    for record in records:
        draft = read(record, faults)
        if draft is None:
            continue
        first = found.setdefault(draft.id, draft)
        if first is not draft:
            problem = f"{shown(draft.id)} stands at {first.where} already"
            faults.add(draft.where, "id", problem, "write another one, or leave one out")
    if len(found) > MAX_ASSETS:
        where = Where(records[0].where.file)
        faults.add(
            where,
            "",
            f"{len(found):,} assets",
            f"leave those of this gateway's district, {MAX_ASSETS:,} at most",
        )
    return list(found.values())


def _form(text: str) -> str:
    head = text.lstrip()[:1]
    if head == "[":
        return JSON
    if head != "{":
        return CSV
    return GEOJSON if '"Feature' in text else JSON


def _text(content: bytes, file: str, faults: Faults) -> str:
    if len(content) > MAX_BYTES:
        faults.add(Where(file), "", f"larger than {MAX_BYTES >> 20} MiB", "name the right file")
        return ""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = next((told for head, told in _OTHERS if content.startswith(head)), _STRANGE)
        faults.add(Where(file, line), "", problem, 'save the file as "CSV UTF-8", or in UTF-8')
        return ""


def _tree(text: str, file: str, faults: Faults) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problem = f"this is no JSON: {error.msg}"
        faults.add(Where(file, error.lineno), "", problem, "mend the syntax of this line")
        return None
