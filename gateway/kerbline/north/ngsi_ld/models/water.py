"""WaterConsumptionObserved: a meter's whole cubic metres and alarms; its litres stand beside."""

from __future__ import annotations

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import device, measurement
from kerbline.north.ngsi_ld.models.measured import bits, chooser, fill, flags

TYPE = "WaterConsumptionObserved"

NAMES = {"volume": "waterConsumption"}
choose = chooser(TYPE, NAMES)
LITRES = ("volume_l", "flow_lph", "backflow_l", "volume_m3", "flow_m3h")  # as DeviceMeasurement

# The bits of a water meter's `alarms`.
CONTINUOUS = 1
BACKFLOW = 2
TAMPER = 8
BURST = 16
OF_WATER = CONTINUOUS | BACKFLOW | TAMPER | BURST

PERSISTENT = "In progress persistence"
NOT_PERSISTENT = "No persistence"


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """A report of a meter: the entity, its litres and its battery."""
    place = city.place(reading.asset, reading.kind)
    at_ms, quality = reading.observed_at_ms, flags(reading)
    found: dict[str, Attribute] = {}
    fill(found, place.plan, reading.values, at_ms, quality)
    if reading.kind == "water_meter" and "alarms" in reading.values:
        alarms = bits(reading, "water_meter", "alarms")
        persistence = PERSISTENT if alarms & CONTINUOUS else NOT_PERSISTENT
        found["alarmFlowPersistence"] = Attribute(persistence, at_ms, "", quality)
        found["alarmStopsLeaks"] = Attribute(_is_on(alarms, BURST), at_ms, "", quality)
        found["alarmTamper"] = Attribute(_is_on(alarms, TAMPER), at_ms, "", quality)
        found["alarmWaterQuality"] = Attribute(_is_on(alarms, BACKFLOW), at_ms, "", quality)
        found["alarmInProgress"] = Attribute(_is_on(alarms, OF_WATER), at_ms, "", quality)
    made = list(measurement.changes(reading, city, place, LITRES))
    if found:
        found.update(place.location)
        made.insert(0, Change(place.id, TYPE, found))
    made += device.battery(reading, city)
    return tuple(made)


def _is_on(alarms: int, mask: int) -> int:
    return 1 if alarms & mask else 0
