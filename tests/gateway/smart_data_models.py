"""The official Smart Data Models as judges of our entities, where their folder lies beside us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import fastjsonschema
import pytest

from kerbline.north.ngsi_ld.contexts import SUBJECTS
from tools.trees import ROOT

FOLDER = ROOT.parent / "shared" / "data" / "smart-data-models"

needs_models = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no Smart Data Models in {FOLDER}")

# Of the core context (ETSI GS CIM 009, annex B), what we use; each broker has it by itself.
CORE = frozenset(
    ["id", "type", "value", "object", "observedAt", "unitCode", "location", "status", "coordinates"]
)
ELSEWHERE = {
    "common-schema.json": "common-schema.json",
    "device-schema.json": "Device/device-schema.json",
    "alert-schema.json": "Alert/alert-schema.json",
    "Environment-schema.json": "Environment/Environment-schema.json",
}
NOT_AT_HAND = "weather-schema.json"  # categories of a weather service: none of ours is one


def _fetched(address: str) -> object:
    name = address.partition("#")[0].rpartition("/")[2]
    if name == NOT_AT_HAND:
        return {"definitions": {"WeatherAlertCategories": {"not": {}}}}
    return json.loads((FOLDER / ELSEWHERE[name]).read_text())


@cache
def schema(type_name: str) -> Mapping[str, Any]:
    """The official schema of a type."""
    path = FOLDER / SUBJECTS[type_name] / type_name / "schema.json"
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


@cache
def validator(type_name: str) -> Callable[[object], object]:
    """Raises JsonSchemaException where key-values of that type are not as the schema wants."""
    judge: Callable[[object], object] = fastjsonschema.compile(
        dict(schema(type_name)), handlers={"https": _fetched}
    )
    return judge


@cache
def terms(type_name: str) -> frozenset[str]:
    """What the context of a type's subject maps, with the core's."""
    path = FOLDER / SUBJECTS[type_name] / "context.jsonld"
    return frozenset(json.loads(path.read_text())["@context"]) | CORE


def folded(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity in the normalized or concise form as key-values (4.5.4)."""
    found = {}
    for name, attribute in entity.items():
        if name == "@context":
            continue
        if isinstance(attribute, dict) and ("value" in attribute or "object" in attribute):
            found[name] = attribute["value"] if "value" in attribute else attribute["object"]
        else:
            found[name] = attribute
    return found


def used(entity: Mapping[str, Any]) -> Iterator[str]:
    """Every term of an entity: its type, its attributes, theirs, and keys of object values."""
    yield entity["type"]
    for name, attribute in entity.items():
        if name == "@context":
            continue
        yield name
        yield from _within(attribute)


def _within(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _within(inner)
