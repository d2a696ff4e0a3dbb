"""Alert: alarms of the gateway's rules, and what nodes tell as events."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.assets.asset import MEASUREMENT
from kerbline.control.endings import ENDED_BY_0, ENDS, OVER
from kerbline.model import Alarm, Reading, Severity, Value
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import flags

TYPE = "Alert"

# The schema knows neither water nor light: by the asset's type the nearest of what it knows.
CATEGORIES: Mapping[str, str] = {
    "Streetlight": "security",
    "StreetlightControlCabinet": "security",
    "WaterConsumptionObserved": "environment",
    "AirQualityObserved": "environment",
    "DeviceMeasurement": "environment",
}
SEVERITIES: Mapping[Severity, str] = {Severity.WARNING: "medium", Severity.CRITICAL: "critical"}
HARMLESS = "informational"  # of an alert that has ended

# Events of nodes that are somebody's business; the others (boots, motion) are not.
EVENTS: Mapping[str, str] = {
    "backflow": "high",
    "battery_low": "low",
    "brown_out": "low",
    "burst": "critical",
    "continuous_flow": "medium",
    "day_burner": "low",
    "fan_failure": "medium",
    "lamp_cycling": "medium",
    "lamp_failure": "high",
    "safe_mode": "high",
    "sensor_fault": "medium",
    "sensor_stuck": "medium",
    "service_access": "medium",
    "settings_restored": "low",
    "tamper": "high",
}


def alarm(alarm: Alarm, city: City) -> tuple[Change, ...]:
    """A rule's finding begins or ends; both are told of one entity."""
    place = city.place(alarm.asset)
    at_ms = alarm.observed_at_ms
    severity = SEVERITIES[alarm.severity]
    source, category = _source(city, alarm.asset, None, alarm.key.source)
    found = _attributes(alarm.rule, alarm.active, severity, category, alarm.evidence, at_ms, ())
    found["alertSource"] = Attribute(source, at_ms, kind=RELATIONSHIP)
    found.update(place.location)
    return (Change(city.urn(TYPE, f"{alarm.asset}:{alarm.rule}"), TYPE, found),)


def event(reading: Reading, city: City) -> tuple[Change, ...]:
    """What a node told as it happened, or its end, as the node or our own rule found it."""
    name, value = reading.values.get("event"), reading.values.get("value", 0)
    node, evidence = reading.key.source, {"value": value}
    if name == OVER:
        name, node = reading.values.get("of"), str(reading.values.get("node", ""))
        active, evidence = False, {OVER: reading.values.get("why", "")}
    else:
        active = name not in ENDS and not (name in ENDED_BY_0 and value == 0)
    rule = ENDS.get(name, name) if isinstance(name, str) else ""
    if rule not in EVENTS:
        return ()
    place = city.place(reading.asset, reading.kind)
    at_ms, quality = reading.observed_at_ms, flags(reading)
    source, category = _source(city, reading.asset, node)
    found = _attributes(rule, active, EVENTS[rule], category, evidence, at_ms, quality)
    found["alertSource"] = Attribute(source, at_ms, kind=RELATIONSHIP)
    found.update(place.location)
    local = f"{reading.asset}:{node}:{rule}"
    return (Change(city.urn(TYPE, local), TYPE, found),)


def _source(city: City, asset_id: str, device: str | None, gateway: str = "") -> tuple[str, str]:
    """Whose alert it is, and its category: the device that told it, else the asset.

    A DeviceMeasurement is no entity by itself, but its device is; so is the gateway, and a zone
    has none.
    """
    place = city.place(asset_id)
    category = CATEGORIES[place.asset.type]
    if device is not None:
        return city.urn("Device", device), category
    if place.asset.type != MEASUREMENT:
        return place.id, category
    devices = city.devices_at(asset_id)
    return devices[0] if devices else city.urn("Device", gateway or asset_id), category


def _attributes(
    rule: str,
    active: bool,  # noqa: FBT001 - as in an Alarm
    severity: str,
    category: str,
    evidence: Mapping[str, Value],
    at_ms: int,
    quality: tuple[str, ...],
) -> dict[str, Attribute]:
    """An alert is over where `validTo` is not before `dateIssued`."""
    at = rfc3339(at_ms)
    return {
        "category": Attribute(category, at_ms, "", quality),
        "dateIssued": Attribute(at, at_ms, "", quality),
        "validFrom" if active else "validTo": Attribute(at, at_ms, "", quality),
        "severity": Attribute(severity if active else HARMLESS, at_ms, "", quality),
        "name": Attribute(rule, at_ms, "", quality),
        "description": Attribute(_told(rule, evidence), at_ms, "", quality),
    }


def _told(rule: str, evidence: Mapping[str, Value]) -> str:
    """The rule and what it found, for whoever reads it."""
    facts = ", ".join(f"{name} {value}" for name, value in evidence.items())
    return f"{rule}: {facts}" if facts else rule
