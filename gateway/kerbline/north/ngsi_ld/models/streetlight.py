"""Streetlight, of Smart Data Models' Streetlighting: a lamp as its node reports it."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import flags, measured

TYPE = "Streetlight"

# The bits of a streetlight's `status` that say something of the lamp or of what was measured.
LAMP_FAILURE = 16
SENSOR_FAULT = 32
DAY_BURNER = 64
CYCLING = 128

VALUES: Mapping[str, str] = {
    "level_pct": "illuminanceLevel",
    "power_w": "powerConsumption",
    "energy_wh": "lifetimePowerConsumption",
}
_METERED = frozenset(["power_w", "energy_wh"])


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """A report of a lamp."""
    asset, standing = city.place(reading.asset, reading.kind)
    at_ms, quality = reading.observed_at_ms, flags(reading)
    bits = reading.values.get("status", 0)
    assert isinstance(bits, int)
    found: dict[str, Attribute] = {"status": Attribute(status(bits), at_ms, "", quality)}
    for name, attribute in VALUES.items():
        value = reading.values.get(name)
        if value is None:
            continue
        doubts = (*quality, "sensor_fault") if bits & SENSOR_FAULT and name in _METERED else quality
        measured(found, TYPE, attribute, name, value, at_ms, doubts)
    level = reading.values.get("level_pct")
    if isinstance(level, int):
        found["powerState"] = Attribute(power_state(level, bits), at_ms, "", quality)
    found.update(standing)
    return (Change(city.urn(TYPE, asset.id), TYPE, found),)


def status(bits: int) -> str:
    """A lamp that stays dark or goes out by itself is defective; one that burns by day is, too."""
    if bits & (LAMP_FAILURE | CYCLING):
        return "defectiveLamp"
    return "brokenLantern" if bits & DAY_BURNER else "ok"


def power_state(level_pct: int, bits: int) -> str:
    """Whether it draws power: what its meter found goes before what was ordered."""
    if bits & DAY_BURNER:
        return "on"
    return "on" if level_pct and not bits & LAMP_FAILURE else "off"
