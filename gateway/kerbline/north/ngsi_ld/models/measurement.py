"""DeviceMeasurement: one value that no other model has a place for, or not in its own unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City, Place
from kerbline.north.ngsi_ld.devices import Device
from kerbline.north.ngsi_ld.models.measured import code, flags
from kerbline.north.ngsi_ld.units import Rule, base, converted

TYPE = "DeviceMeasurement"

# What Device's schema calls it; others keep our name.
CONTROLLED: Mapping[str, str] = {
    "backflow": "waterConsumption",
    "flow": "waterFlow",
    "humidity": "humidity",
    "power": "power",
    "pressure": "pressure",
    "temperature": "temperature",
    "volume": "waterConsumption",
}

_Made = tuple[str, Rule, Mapping[str, Attribute]]


def choose(device: Device | None, name: str) -> Rule | None:
    """Whatever has a unit leaves as it is."""
    unit = code(device, name)
    return Rule("numValue", unit) if unit else None


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """All values with a unit, of a device that is nothing else."""
    place = city.place(reading.asset, reading.kind)
    return tuple(changes(reading, city, place, reading.values))


def changes(reading: Reading, city: City, place: Place, names: Iterable[str]) -> Iterator[Change]:
    """One entity for each value of `names` that the reading has."""
    at_ms, quality = reading.observed_at_ms, flags(reading)
    for name in names:
        value = reading.values.get(name)
        made = _made(city, place, name)
        result = None if made is None or value is None else converted(made[1], value)
        if made is None or result is None:
            continue
        entity_id, rule, standing = made
        number = Attribute(result[0], at_ms, rule.code, quality)
        yield Change(entity_id, TYPE, {"numValue": number, **standing})


def _made(city: City, place: Place, name: str) -> _Made | None:
    if name not in place.measurements:
        rule = choose(place.device, name)
        local = f"{place.asset.id}:{name}"
        place.measurements[name] = (
            None if rule is None else (city.urn(TYPE, local), rule, _standing(city, place, name))
        )
    return place.measurements[name]


def _standing(city: City, place: Place, name: str) -> Mapping[str, Attribute]:
    stem = base(name)
    found = {
        "controlledProperty": Attribute(CONTROLLED.get(stem, stem)),
        "measurementType": Attribute(name),
        "unit": Attribute(code(place.device, name)),
        **place.location,
    }
    devices = city.devices_at(place.asset.id)
    if devices:
        found["refDevice"] = Attribute(devices[0], kind=RELATIONSHIP)
    return found
