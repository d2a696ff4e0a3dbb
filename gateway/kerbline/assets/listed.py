"""Assets as a JSON list of objects: our own form, also that of the list on disk."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from kerbline.assets.asset import Asset, plain
from kerbline.assets.faults import Faults, Where, brief
from kerbline.assets.fields import Record, unknown


def read(tree: object, file: str, faults: Faults) -> list[Record]:
    """A record for each object of the list, or of the list at "assets"."""
    if isinstance(tree, dict) and tree.keys() == {"assets"}:
        tree = tree["assets"]
    if not isinstance(tree, list):
        remedy = 'write [{"id": "lamp-1", "type": "Streetlight"}, ...]'
        faults.add(Where(file), "", "this is no list of assets", remedy)
        return []
    records = []
    for number, each in enumerate(tree, 1):
        if not isinstance(each, dict):
            where = Where(file, part=f"asset {number}")
            faults.add(where, "", f"{brief(each)} is no asset", 'write {"id": ...}')
            continue
        where = Where(file, part=named("asset", number, each.get("id")))
        unknown(where, each, faults)
        records.append(Record(where, each))
    return records


def written(assets: Iterable[Asset]) -> str:
    """A list, an asset a line; keys that are empty are left out."""
    lines = ",\n".join(compact(plain(each)) for each in assets)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def named(what: str, number: int, asset_id: object) -> str:
    """How a fault names one of many: "feature 3 (lamp-9)"."""
    if isinstance(asset_id, str) and asset_id.isprintable() and len(asset_id) <= 64:
        return f"{what} {number} ({asset_id})"
    return f"{what} {number}"


def compact(tree: object) -> str:
    """JSON on one line."""
    return orjson.dumps(tree).decode()
