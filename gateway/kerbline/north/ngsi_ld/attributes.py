"""An attribute as somebody else wrote it: normalized, concise or its bare value; pure.

ETSI GS CIM 009, 4.5.2 (Property), 4.5.4 (simplified), 5.5.8 (NGSI-LD Null). Names are taken by
their last part, so that a broker that expands them by a context is understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

NULL = "urn:ngsi-ld:null"
MAX_ATTRIBUTES = 64  # of one entity; there are fewer that one could order
_OF_ENTITY = frozenset(["id", "type", "@id", "@type", "@context", "scope"])
_OF_INSTANCE = frozenset(["type", "value", "unitCode", "observedAt", "createdAt", "modifiedAt"])
_OTHER_KINDS = ("object", "languageMap", "vocab", "json", "valueList", "objectList")


class NoValue(ValueError):
    """It is no Property with one value; the text says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """One value that somebody wrote, and what was written beside it; times in ms since 1970."""

    value: object
    unit_code: str = ""
    observed_at_ms: int | None = None
    modified_at_ms: int | None = None
    beside: Mapping[str, object] = field(default_factory=dict)  # sub-properties' bare values


def attributes(body: Mapping[str, object]) -> dict[str, object]:
    """What is written of an entity, by short name."""
    return {short(name): each for name, each in body.items() if short(name) not in _OF_ENTITY}


def defaults(given: Mapping[str, object]) -> dict[str, object]:
    """Of each attribute the instance without a datasetId (4.5.5); what has none is left out."""
    found: dict[str, object] = {}
    for name, each in given.items():
        instances = each if isinstance(each, list) else [each]
        left = [one for one in instances if not (isinstance(one, dict) and "datasetId" in one)]
        if len(left) == len(instances):
            found[name] = each
        elif left:
            found[name] = left[0] if len(left) == 1 else left
    return found


def short(name: str) -> str:
    """The term of an expanded name: what follows the last / or #."""
    return name.rpartition("#")[2].rpartition("/")[2] if "/" in name else name


def written(given: object) -> Written:
    """One instance; raises NoValue."""
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, list):
        raise NoValue("several instances of one attribute")
    if not isinstance(given, dict):
        return Written(given)
    found = {short(name): each for name, each in given.items()}
    if "datasetId" in found:
        raise NoValue("an instance with a datasetId")
    kind = found.get("type", found.get("@type", "Property"))
    if "value" not in found:
        if any(each in found for each in _OTHER_KINDS) or "type" in found:
            raise NoValue("no Property with a value")
        raise NoValue("an object is no value here")
    if kind != "Property":
        raise NoValue(f"a {str(kind)[:40]}, where a Property is expected")
    unit = _bare(found.get("unitCode", ""))
    return Written(
        _bare(found["value"]),
        unit if isinstance(unit, str) else "?",
        instant_ms(_bare(found.get("observedAt"))),
        instant_ms(_bare(found.get("modifiedAt"))),
        {name: _bare(each) for name, each in found.items() if name not in _OF_INSTANCE},
    )


def instant_ms(given: object) -> int | None:
    """A DateTime of ISO 8601 with its zone, in ms since 1970; None where it is none."""
    if not isinstance(given, str) or len(given) > 40:
        return None
    try:
        instant = datetime.fromisoformat(given)
    except ValueError:
        return None
    return None if instant.tzinfo is None else round(instant.timestamp() * 1000)


def _bare(given: object) -> object:
    """The value of a sub-property, or of a JSON-LD value object."""
    if isinstance(given, dict):
        return given.get("value", given.get("@value"))
    return given
