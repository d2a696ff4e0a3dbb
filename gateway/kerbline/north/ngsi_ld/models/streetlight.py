"""Streetlight, of Smart Data Models' Streetlighting: a lamp as its node reports it."""

from __future__ import annotations

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import bits, chooser, doubt, fill, flags

TYPE = "Streetlight"

NAMES = {
    "level": "illuminanceLevel",
    "power": "powerConsumption",
    "energy": "lifetimePowerConsumption",
    "voltage": "voltage",
    "current": "current",
    "power_factor": "powerFactor",
}
choose = chooser(TYPE, NAMES)

# The bits of a streetlight's `status` that say something of the lamp or of what was measured.
LAMP_FAILURE = 16
SENSOR_FAULT = 32
DAY_BURNER = 64
CYCLING = 128

LIT_PCT = 20  # from here on a node expects its meter to show that the lamp is lit ...
DARK_W = 2.0  # ... and below this it does not
UNMONITORED = "unmonitored"  # nobody looks at the lamp itself
SENSOR_FLAG = "sensor_fault"
NO_METER = "implausible"  # lit without power, and not failed: no meter, or not judged yet


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """A report of a lamp."""
    place = city.place(reading.asset, reading.kind)
    at_ms, quality = reading.observed_at_ms, flags(reading)
    is_node = reading.kind == "streetlight"
    said = bits(reading, "streetlight", "status")
    judged = quality if is_node else (*quality, UNMONITORED)
    found = {"status": Attribute(status(said), at_ms, "", judged)}
    fill(found, place.plan, reading.values, at_ms, quality)
    level = found.get("illuminanceLevel")
    if level is None and not is_node and len(found) == 1:
        return ()  # nothing of it was about a lamp
    if said & SENSOR_FAULT:
        doubt(found, "powerConsumption", SENSOR_FLAG)
        doubt(found, "lifetimePowerConsumption", SENSOR_FLAG)
    if level is not None:
        state = power_state(level.value != 0, said)
        found["powerState"] = Attribute(state, at_ms, "", quality)
    if is_node and not said & (LAMP_FAILURE | SENSOR_FAULT) and _is_lit_in_vain(reading):
        doubt(found, "powerConsumption", NO_METER)
        doubt(found, "lifetimePowerConsumption", NO_METER)
    found.update(place.location)
    return (Change(place.id, TYPE, found),)


def status(said: int) -> str:
    """A lamp that stays dark or goes out by itself is defective; one that burns by day is, too."""
    if said & (LAMP_FAILURE | CYCLING):
        return "defectiveLamp"
    return "brokenLantern" if said & DAY_BURNER else "ok"


def power_state(is_lit: bool, said: int) -> str:  # noqa: FBT001 - says what it is
    """Whether it draws power: what its meter found goes before what was ordered."""
    if said & DAY_BURNER:
        return "on"
    return "on" if is_lit and not said & LAMP_FAILURE else "off"


def _is_lit_in_vain(reading: Reading) -> bool:
    level, power = reading.values.get("level_pct"), reading.values.get("power_w")
    if not isinstance(level, int) or not isinstance(power, (int, float)):
        return False
    return level >= LIT_PCT and power < DARK_W
