"""KeyPerformanceIndicator: figures that the gateway works out of many readings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kerbline.control import zone_water
from kerbline.control.leaks import WATER_BALANCE
from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import flags
from kerbline.north.ngsi_ld.units import Rule, code_of, converted

TYPE = "KeyPerformanceIndicator"
KIND = "kpi"  # of a reading whose values are a day's figures of the area that is its asset


class Origin(NamedTuple):
    """What figures are of, in the schema's terms: it wants a process or a product."""

    process: str
    frequency: str = ""  # "hourly", ...
    entity_type: str = ""  # of what they were summed up from, and its attribute
    attribute: str = ""


# By the kind of the reading that has them.
ORIGINS: Mapping[str, Origin] = {
    KIND: Origin("operation of street infrastructure", "daily"),
    zone_water.KIND: Origin(
        "water supply", "hourly", "WaterConsumptionObserved", "waterConsumption"
    ),
    WATER_BALANCE: Origin("water supply", "daily"),
}


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """One entity for each figure: of what this gateway has of an area, another may have more."""
    at_ms, quality = reading.observed_at_ms, flags(reading)
    made = []
    for name, value in reading.values.items():
        unit = code_of(name)
        result = converted(Rule("kpiValue", unit), value)
        if result is None:
            continue
        found = {
            "kpiValue": Attribute(result[0], at_ms, unit, quality),
            "area": Attribute(reading.asset),
            "calculationMethod": Attribute("automatic"),
            "category": Attribute(["quantitative"]),
            "name": Attribute(name),
            **_STANDING[reading.kind],
        }
        local = f"{reading.asset}:{reading.key.source}:{name}"
        made.append(Change(city.urn(TYPE, local), TYPE, found))
    return tuple(made)


def _standing(origin: Origin) -> dict[str, Attribute]:
    found = {"process": Attribute(origin.process)}
    if origin.frequency:
        found["calculationFrequency"] = Attribute(origin.frequency)
    if origin.entity_type:
        summed = {"entityType": origin.entity_type, "attrs": [origin.attribute]}
        found["aggregatedData"] = Attribute([summed])
    return found


_STANDING = {kind: _standing(origin) for kind, origin in ORIGINS.items()}
