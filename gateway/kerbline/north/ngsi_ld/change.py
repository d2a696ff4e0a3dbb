"""What changed at one entity of the city, before it has a form: ETSI GS CIM 009, 4.2.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PROPERTY = "Property"
RELATIONSHIP = "Relationship"
GEO = "GeoProperty"

UNCERTAINTY = "uncertainty_ms:"  # begins the flag that tells half the width of a doubtful time


class Attribute(NamedTuple):
    """One attribute's value, of its time, in its unit, and what is to be minded about it.

    `observed_at_ms` is UTC in ms since 1970, None of what stands and was not measured: where an
    entity is, what it belongs to. `unit_code` is of UN/CEFACT Recommendation 20, "" where there
    is no unit. `quality` holds flags, none means good.
    """

    value: object
    observed_at_ms: int | None = None
    unit_code: str = ""
    quality: tuple[str, ...] = ()
    kind: str = PROPERTY


class Change(NamedTuple):
    """Attributes of one entity that are new; what stands may ride along, as its schema asks."""

    id: str
    type: str
    attributes: Mapping[str, Attribute]
