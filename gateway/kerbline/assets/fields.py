"""What each key of an asset may hold, wherever it came from: texts of a CSV, values of JSON."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerbline.assets import places
from kerbline.assets.asset import PERSONAL, PUBLIC, TYPES, Asset, Location
from kerbline.assets.faults import Faults, Where, brief
from kerbline.config.faults import Complaint, shown
from kerbline.config.rules import OneOf, Rule
from kerbline.config.terms import Name

LONGEST_TEXT = 200


class _Text:
    """One line that a spreadsheet takes for a text and for nothing else."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Judge a text."""
        assert isinstance(value, str)
        if len(value) > LONGEST_TEXT or not value.isprintable():
            form = f"write one line of up to {LONGEST_TEXT} characters"
            return Complaint(f"{shown(value)} is not of the right form", form)
        if value[0] in "=+-@":  # a table program would run it as a formula
            return Complaint(f"{shown(value)} looks like a formula", f"leave out the {value[0]}")
        return None


_NAME: Rule = typing.get_args(Name)[1]  # it becomes a part of topics and of entities' ids
_RULES: Mapping[str, Rule] = {
    "id": _NAME,
    "type": OneOf(*TYPES),
    "name": _Text(),
    "group": _NAME,
    "zone": _NAME,
    "segment": _Text(),
    "owner": _Text(),
    "privacy": OneOf(PUBLIC, PERSONAL),
}
PLACE = ("lat", "lon", "location")
KEYS = ("id", "type", "name", *PLACE, "group", "zone", "segment", "owner", "privacy")
_OTHER_NAMES = {
    "latitude": "lat",
    "longitude": "lon",
    "lng": "lon",
    "long": "lon",
    "x": "lon",
    "y": "lat",
    "geometry": "location",
    "wkt": "location",
    "asset": "id",
    "district": "zone",
    "street": "segment",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One asset as a file gives it: a key that is not there says nothing, an empty one clears."""

    where: Where
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file says of one asset, each value good: fields of `Asset`, empty where cleared."""

    where: Where
    id: str
    texts: Mapping[str, str]
    location: Location | None
    located: bool  # does it say anything of the location?

    def applied(self, before: Asset | None, implied: str) -> Asset | None:
        """The asset after this; None where nobody says what it is (`implied`: by its device)."""
        type_name = self.texts.get("type") or (before.type if before else implied)
        if not type_name:
            return None
        asset = before or Asset(self.id, type_name)
        said: dict[str, Any] = {**self.texts, "type": type_name}
        if self.located:
            said["location"] = self.location
        return replace(asset, **said)


def read(record: Record, faults: Faults) -> Draft | None:
    """What a record says; None, and its faults kept, where any value will not do."""
    before = faults.count
    texts: dict[str, str] = {}
    for key, rule in _RULES.items():
        if key in record.values:
            texts[key] = _text(record, key, rule, faults)
    asset_id = texts.pop("id", "")
    if not asset_id and before == faults.count:
        faults.add(record.where, "id", "is missing", "write the id that the asset keeps for ever")
    location = places.read(record.where, record.values, faults)
    located = any(key in record.values for key in PLACE)
    if faults.count > before:
        return None
    return Draft(record.where, asset_id, texts, location, located)


def unknown(where: Where, keys: Iterable[str], faults: Faults) -> None:
    """Keep a fault for each key that no asset has."""
    for key in keys:
        if key not in KEYS:
            faults.add(where, shown(key), "is not a key that belongs here", _hint(key))


def _hint(key: str) -> str:
    import difflib  # only for somebody who mistyped

    plain = key.strip().lower()
    meant = _OTHER_NAMES.get(plain) or next(iter(difflib.get_close_matches(plain, KEYS, n=1)), "")
    return f"did you mean {meant}?" if meant else f"remove it; known here: {', '.join(KEYS)}"


def _text(record: Record, key: str, rule: Rule, faults: Faults) -> str:
    value = record.values[key]
    if value is None:
        return ""
    if not isinstance(value, str):
        faults.add(record.where, key, f"{brief(value)} where a text belongs", 'write "text"')
        return ""
    value = value.strip()
    complaint = rule.judge(value) if value else None
    if complaint is not None:
        faults.add(record.where, key, complaint.problem, complaint.remedy)
    return value
