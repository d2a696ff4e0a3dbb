"""KeyPerformanceIndicator: figures that the gateway works out of many readings."""

from __future__ import annotations

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import flags
from kerbline.north.ngsi_ld.units import Rule, code_of, converted

TYPE = "KeyPerformanceIndicator"
KIND = "kpi"  # of a reading whose values are figures of the area that is its asset

PROCESS = "operation of street infrastructure"  # the schema wants a process or a product


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """One entity for each figure."""
    at_ms, quality = reading.observed_at_ms, flags(reading)
    made = []
    for name, value in reading.values.items():
        result = converted(Rule("kpiValue", code_of(name)), value)
        if result is None:
            continue
        found = {
            "kpiValue": Attribute(result[0], at_ms, code_of(name), quality),
            "area": Attribute(reading.asset),
            "calculationMethod": Attribute("automatic"),
            "category": Attribute(["quantitative"]),
            "name": Attribute(name),
            "process": Attribute(PROCESS),
        }
        made.append(Change(city.urn(TYPE, f"{reading.asset}:{name}"), TYPE, found))
    return tuple(made)
