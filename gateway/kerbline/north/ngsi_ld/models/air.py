"""AirQualityObserved: means of an air station, each with what its own status says of it."""

from __future__ import annotations

from collections.abc import Iterable

from kerbline.control.air.report import FIELDS, INCOMPLETE, UNSETTLED
from kerbline.model import Reading
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City, Plan
from kerbline.north.ngsi_ld.models.measured import bits, chooser, doubt, fill, flags

TYPE = "AirQualityObserved"

NAMES = {
    "co": "co",
    "co2": "co2",
    "humidity": "relativeHumidity",
    "no": "no",
    "no2": "no2",
    "nox": "nox",
    "o3": "o3",
    "pm1": "pm1",
    "pm10": "pm10",
    "pm2_5": "pm25",
    "pm4": "pm4",
    "pressure": "pressure",
    "so2": "so2",
    "temperature": "temperature",
    "wind_speed": "windSpeed",
}
choose = chooser(TYPE, NAMES)

INCOMPLETE_FLAG, UNSETTLED_FLAG = "incomplete", "unsettled"


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """A report of a station; a field without a sample is no value, and is not sent."""
    place = city.place(reading.asset, reading.kind)
    at_ms, quality = reading.observed_at_ms, flags(reading)
    status = bits(reading, "air_quality", "status")
    values = reading.values
    if status:
        values = {name: each for name, each in values.items() if not _is_missing(name, status)}
    found: dict[str, Attribute] = {}
    fill(found, place.plan, values, at_ms, quality)
    if not found and reading.kind != "air_quality":
        return ()
    if status >> INCOMPLETE:
        _doubt(found, place.plan, values, status)
    sound = sum(each.quality == quality for each in found.values())
    reliability = round(sound / len(found), 3) if found else 0
    found["reliability"] = Attribute(reliability, at_ms, "C62", quality)
    found["dateObserved"] = Attribute(rfc3339(at_ms), at_ms, "", quality)
    found.update(place.location)
    return (Change(place.id, TYPE, found),)


def hour(reading: Reading, city: City) -> tuple[Change, ...]:
    """The European index of an hour that the gateway worked out; its means are no attribute.

    They would overwrite those of the reports, which are another stretch's.
    """
    place = city.place(reading.asset, reading.kind)
    index, level = reading.values.get("eu_index"), reading.values.get("eu_category")
    if place.asset.type != TYPE or not isinstance(index, int) or not isinstance(level, str):
        return ()
    at_ms, quality = reading.observed_at_ms, flags(reading)
    found = {
        "airQualityIndex": Attribute(index, at_ms, "C62", quality),
        "airQualityLevel": Attribute(level, at_ms, "", quality),
        "dateObserved": Attribute(rfc3339(at_ms), at_ms, "", quality),
        **place.location,
    }
    return (Change(place.id, TYPE, found),)


def day(_reading: Reading, _city: City) -> tuple[Change, ...]:
    """Nothing: no attribute is a day's."""
    return ()


def _is_missing(name: str, status: int) -> bool:
    bit = FIELDS.get(name)
    return bit is not None and bool(status >> bit & 1)


def _doubt(found: dict[str, Attribute], plan: Plan, names: Iterable[str], status: int) -> None:
    """Flag what too few samples made, and what came of a cell that had not settled."""
    for name in names:
        bit, rule = FIELDS.get(name), plan[name]
        if bit is None or rule is None:
            continue
        if status >> bit + INCOMPLETE & 1:
            doubt(found, rule.attribute, INCOMPLETE_FLAG)
        if status >> bit + UNSETTLED & 1:
            doubt(found, rule.attribute, UNSETTLED_FLAG)
