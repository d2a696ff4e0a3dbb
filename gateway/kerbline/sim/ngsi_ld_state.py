"""What a strict NGSI-LD broker takes and keeps (ETSI GS CIM 009 V1.8.1): state and history.

It refuses what a lenient broker would let through, so that we learn of it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"
MAX_ENTITIES = 500
MAX_BYTES = 512 * 1024
_URN = re.compile(
    r"urn:ngsi-ld:[A-Za-z][A-Za-z0-9]*:(?:[A-Za-z0-9:._\-]|%[0-9A-F]{2})+"
)  # RFC 8141
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_RESERVED = {"id", "type", "@context", "scope"}
# What a member may be beside sub-attributes, by the attribute's type.
_MEMBERS = {
    "Property": {"value", "unitCode"},
    "GeoProperty": {"value"},
    "Relationship": {"object", "objectType"},
    "LanguageProperty": {"languageMap"},
    "VocabProperty": {"vocab"},
    "JsonProperty": {"json"},
}
_COMMON = {"type", "observedAt", "datasetId"}


class Unfit(ValueError):
    """What a broker refuses, and why."""


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One value that came: its key is (entity, attribute, observed_at)."""

    entity: str
    attribute: str
    observed_at: str  # empty: it has none
    value: str  # as JSON would compare it
    way: str  # "upsert" or "temporal"

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it for ever."""
        return self.entity, self.attribute, self.observed_at


@dataclass(slots=True)
class Entities:
    """The entities of one tenant: their present state, and what was recorded of each attribute."""

    now: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    def upsert(self, entity: dict[str, Any], *, update: bool) -> bool:
        """Take a sound entity, recording it as brokers do; was it new?"""
        name = entity["id"]
        attributes = attributes_of(entity)
        new = name not in self.now
        if new or not update:
            self.now[name] = {"id": name, "type": entity["type"]}
        self.now[name].update(attributes)
        for attribute, value in attributes.items():
            self._record(name, attribute, value)
        return new

    def add_history(self, entity: dict[str, Any]) -> bool:
        """Take the temporal representation of an entity; was it new? Its state stays."""
        name = entity["id"]
        new = name not in self.history
        for attribute, instances in attributes_of(entity).items():
            for instance in instances:
                self._record(name, attribute, instance)
        return new

    def _record(self, name: str, attribute: str, instance: dict[str, Any]) -> None:
        self.history.setdefault(name, {}).setdefault(attribute, []).append(instance)


def attributes_of(entity: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entity is no member of JSON-LD's or the core's."""
    return {name: value for name, value in entity.items() if name not in _RESERVED}


def check_entity(entity: object, *, temporal: bool = False) -> None:
    """Raise Unfit for what clause 5.2.4 (or, temporal, 5.2.20) does not allow."""
    if not isinstance(entity, dict):
        raise Unfit("an entity is an object")
    name, kind = entity.get("id"), entity.get("type")
    if not isinstance(name, str) or not _URN.fullmatch(name):
        raise Unfit(f"id {name!r} is no urn:ngsi-ld:Type:local")
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise Unfit(f"type {kind!r} is no name")
    for attribute, value in attributes_of(entity).items():
        if not _NAME.fullmatch(attribute):
            raise Unfit(f"{attribute!r} is no attribute's name")
        if not temporal:
            _check_attribute(attribute, value)
            continue
        if not isinstance(value, list) or not value:
            raise Unfit(f"{attribute}: instances are an array with one at least")
        for instance in value:
            _check_attribute(attribute, instance)
            if "observedAt" not in instance:
                raise Unfit(f"{attribute}: an instance without observedAt")


def _check_attribute(name: str, value: object) -> None:
    if value is None:
        raise Unfit(f"{name}: null is no value")
    if not isinstance(value, dict):
        return  # concise, 4.5.17
    kind = value.get("type") or _concise_kind(name, value)
    if kind in ("Point", "LineString", "Polygon", "MultiPoint"):
        return  # a concise GeoProperty
    if kind not in _MEMBERS:
        raise Unfit(f"{name}: {kind!r} is no type of attribute")
    wanted = {"Property": "value", "GeoProperty": "value", "Relationship": "object"}.get(kind)
    if wanted and value.get(wanted) is None:
        raise Unfit(f"{name}: a {kind} without {wanted}")
    if kind == "Relationship":
        _check_object(name, value["object"])
    stamp = value.get("observedAt")
    if stamp is not None and not is_stamp(stamp):
        raise Unfit(f"{name}: observedAt {stamp!r} is not UTC as RFC 3339 has it")
    if "unitCode" in value and not isinstance(value["unitCode"], str):
        raise Unfit(f"{name}: unitCode is a text")
    for member, inner in value.items():
        if member not in _MEMBERS[kind] | _COMMON:
            _check_attribute(f"{name}.{member}", inner)


def _concise_kind(name: str, value: Mapping[str, Any]) -> str:
    for member, kind in (("value", "Property"), ("object", "Relationship")):
        if member in value:
            return kind
    raise Unfit(f"{name}: an object without value, object or type")


def _check_object(name: str, target: object) -> None:
    many = target if isinstance(target, list) else [target]
    if not many or not all(isinstance(each, str) and each.startswith("urn:") for each in many):
        raise Unfit(f"{name}: object is a URI, or several")


def is_stamp(text: object) -> bool:
    """A time of day on a day that there is, with the Z of UTC?"""
    if not isinstance(text, str) or not _STAMP.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def values_of(entity: Mapping[str, Any], way: str) -> Iterator[Value]:
    """Each value of an entity, sound or not, by its key."""
    name = str(entity.get("id"))
    for attribute, given in attributes_of(entity).items():
        for one in given if way == "temporal" and isinstance(given, list) else [given]:
            dated = isinstance(one, dict) and ("value" in one or "object" in one)
            stamp = str(one.get("observedAt", "")) if dated else ""
            inner = one.get("value", one.get("object")) if dated else one
            yield Value(name, attribute, stamp, repr(inner), way)
