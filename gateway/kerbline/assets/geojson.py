"""Assets as a FeatureCollection of RFC 7946: what a city's map program gives and takes."""

from __future__ import annotations

from collections.abc import Iterable

from kerbline.assets.asset import Asset, plain
from kerbline.assets.faults import Faults, Where, brief
from kerbline.assets.fields import PLACE, Record, unknown
from kerbline.assets.listed import compact, named

# What the draft of 2008 called coordinates that are those of RFC 7946, 4.
_WGS84 = ("CRS84", "EPSG::4326", "EPSG:4326")
_EXAMPLE = '{"type": "FeatureCollection", "features": [...]}'


def read(tree: object, file: str, faults: Faults) -> list[Record]:
    """A record for each feature; its id is the feature's own or a property."""
    if not isinstance(tree, dict) or tree.get("type") != "FeatureCollection":
        faults.add(Where(file), "type", "this is no FeatureCollection", f"write {_EXAMPLE}")
        return []
    if not _fits(tree.get("crs")):
        problem = "this is another coordinate system"
        faults.add(Where(file), "crs", problem, "export in WGS 84 (EPSG:4326)")
        return []
    features = tree.get("features")
    if not isinstance(features, list):
        faults.add(Where(file), "features", "is no list", f"write {_EXAMPLE}")
        return []
    records = (_record(file, number, each, faults) for number, each in enumerate(features, 1))
    return [each for each in records if each is not None]


def written(assets: Iterable[Asset]) -> str:
    """A FeatureCollection, a feature a line; an asset without a place has geometry null."""
    lines = ",\n".join(compact(_feature(each)) for each in assets)
    inner = f"\n{lines}\n" if lines else ""
    return f'{{"type":"FeatureCollection","features":[{inner}]}}\n'


def _feature(asset: Asset) -> dict[str, object]:
    properties = plain(asset)
    asset_id, geometry = properties.pop("id"), properties.pop("location", None)
    return {"type": "Feature", "id": asset_id, "geometry": geometry, "properties": properties}


def _record(file: str, number: int, feature: object, faults: Faults) -> Record | None:
    where = Where(file, part=f"feature {number}")
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        faults.add(where, "", f"{brief(feature)} is no Feature", 'write {"type": "Feature", ...}')
        return None
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        faults.add(where, "properties", "is no object", 'write {"type": "Streetlight", ...}')
        return None
    own, other = feature.get("id"), properties.get("id")
    asset_id = own if isinstance(own, str) or other is None else other  # map programs count there
    where = Where(file, part=named("feature", number, asset_id))
    if isinstance(own, str) and other not in (None, own):
        problem = f"{brief(other)} among the properties is another than the feature's"
        faults.add(where, "id", problem, "remove one of them")
    for key in PLACE:  # beside a geometry they are what a map program was given, maybe long ago
        if properties.get(key) not in (None, "") and feature.get("geometry") is None:
            faults.add(where, key, "stands among the properties", "write it as the geometry")
    if "geometry" not in feature:
        faults.add(where, "geometry", "is missing", "write null where the place is not known")
    unknown(where, properties, faults)
    values = {key: value for key, value in properties.items() if key not in PLACE}
    return Record(where, {**values, "id": asset_id, "location": feature.get("geometry")})


def _fits(crs: object) -> bool:
    match crs:
        case None:
            return True
        case {"properties": {"name": str(name)}}:
            return name.endswith(_WGS84)
        case _:
            return False
