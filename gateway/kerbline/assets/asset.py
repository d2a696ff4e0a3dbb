"""What an asset is: a thing of the city that stays while devices at it come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STREETLIGHT = "Streetlight"
CABINET = "StreetlightControlCabinet"
WATER = "WaterConsumptionObserved"
AIR = "AirQualityObserved"
MEASUREMENT = "DeviceMeasurement"  # of whatever has no model of its own

TYPES = (STREETLIGHT, CABINET, WATER, AIR, MEASUREMENT)  # entity types of Smart Data Models

OPEN_TYPES = (STREETLIGHT, CABINET, AIR)  # they measure a street, nobody's home

MODBUS, MODBUS_METER = "modbus", "modbus_meter"
SERIAL, SERIAL_METER = "serial", "serial_meter"

# What an asset is that only a config names, by the kind of its device.
IMPLIED: Mapping[str, str] = {
    "streetlight": STREETLIGHT,
    "water_meter": WATER,
    "air_quality": AIR,
    "air_hour": AIR,
    "air_day": AIR,
    MODBUS: CABINET,
    MODBUS_METER: CABINET,
    SERIAL: MEASUREMENT,
    SERIAL_METER: MEASUREMENT,
}

METERS = frozenset(["water_meter", MODBUS_METER, SERIAL_METER])  # of what a home may use

PERSONAL = "personal"
PUBLIC = "public"

POINT = "Point"
LINE = "LineString"

Position = tuple[float, ...]  # longitude, latitude and, where known, metres above the ellipsoid


@dataclass(frozen=True, slots=True)
class Location:
    """A geometry of RFC 7946 in WGS 84: a Point has one position, a LineString two or more."""

    kind: str
    positions: tuple[Position, ...]

    def geojson(self) -> dict[str, object]:
        """As a geometry object of RFC 7946, 3.1."""
        lists = [list(each) for each in self.positions]
        return {"type": self.kind, "coordinates": lists[0] if self.kind == POINT else lists}


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset; a text that nobody gave is empty. `privacy`: PERSONAL, PUBLIC or empty."""

    id: str
    type: str
    name: str = ""
    location: Location | None = None
    group: str = ""
    zone: str = ""
    segment: str = ""
    owner: str = ""
    privacy: str = ""


TEXTS = ("type", "name", "group", "zone", "segment", "owner", "privacy")


def personal(asset: Asset, kind: str) -> bool:
    """Is what it measures somebody's own? What may be a home's meter's is, until marked public.

    `kind`: a key of IMPLIED; of another one, as of an asset without a device here, the type says.
    """
    if asset.privacy:
        return asset.privacy == PERSONAL
    if asset.type == WATER or kind in METERS:
        return True
    return kind not in IMPLIED and asset.type not in OPEN_TYPES


def plain(asset: Asset) -> dict[str, object]:
    """An asset as an object of JSON; what nobody gave is left out."""
    found: dict[str, object] = {"id": asset.id}
    found |= {key: text for key in TEXTS if (text := getattr(asset, key))}
    if asset.location is not None:
        found["location"] = asset.location.geojson()
    return found


def urn(city: str, type_name: str, local: str) -> str:
    """The id of an entity for ever: ETSI GS CIM 009, 4.6.2, in the form that FIWARE gave it."""
    return f"urn:ngsi-ld:{type_name}:{city}:{local}"
