"""Record schemas as data: which fields a report of an asset class has, at which resolution.

A schema's hash is exchanged in INFO and stands in the AAD of every report. Fields are
append-only: a field is never removed, renumbered or rescaled.
"""

from hashlib import sha256

from kerbwire import cbor
from kerbwire.limits import SCHEMA_HASH_BYTES


class Field:
    """One column: `scale` is the number of decimal digits, 24.5 W at scale 1 travels as 245."""

    __slots__ = ("name", "scale", "unit")

    def __init__(self, name: str, scale: int, unit: str):
        self.name = name
        self.scale = scale
        self.unit = unit  # UN/CEFACT Recommendation 20 common code


class Schema:
    """An asset class's fields in wire order; `hash` names this very text of it for ever."""

    __slots__ = ("class_id", "fields", "hash", "name", "version")

    def __init__(self, class_id: int, name: str, version: int, fields: "tuple[Field, ...]"):
        self.class_id = class_id
        self.name = name
        self.version = version
        self.fields = fields
        self.hash = sha256(self.encode()).digest()[:SCHEMA_HASH_BYTES]

    def encode(self) -> bytes:
        """Deterministic CBOR: class, version, then name, scale and unit of each field."""
        items: list[int | bytes] = [self.class_id, self.version]
        for field in self.fields:
            items += [field.name.encode(), field.scale, field.unit.encode()]
        return cbor.encode(items)


# E48 is "service unit", used where a number has no physical unit (a bit mask).
STREETLIGHT = Schema(
    1,
    "streetlight",
    1,
    (
        Field("level_pct", 0, "P1"),
        Field("power_w", 1, "WTT"),
        Field("energy_wh", 0, "WHR"),
        Field("lamp_hours", 0, "HUR"),
        Field("temperature_c", 0, "CEL"),
        Field("status", 0, "E48"),
    ),
)
WATER_METER = Schema(
    2,
    "water_meter",
    1,
    (
        Field("volume_l", 0, "LTR"),
        Field("flow_lph", 0, "E32"),
        Field("backflow_l", 0, "LTR"),
        Field("battery_mv", 0, "2Z"),
        Field("alarms", 0, "E48"),
    ),
)
AIR_QUALITY = Schema(
    3,
    "air_quality",
    1,
    (
        Field("pm1_ugm3", 1, "GQ"),
        Field("pm2_5_ugm3", 1, "GQ"),
        Field("pm10_ugm3", 1, "GQ"),
        Field("co2_ppm", 0, "59"),
        Field("no2_ppb", 1, "61"),
        Field("temperature_c", 1, "CEL"),
        Field("humidity_pct", 1, "P1"),
        Field("pressure_hpa", 1, "A97"),
        Field("status", 0, "E48"),
    ),
)
SCHEMAS = (STREETLIGHT, WATER_METER, AIR_QUALITY)


def by_hash(digest: bytes) -> "Schema | None":
    """The schema with that hash, or None."""
    for schema in SCHEMAS:
        if schema.hash == digest:
            return schema
    return None


def by_name(name: str) -> "Schema | None":
    """The schema of that asset class, or None."""
    for schema in SCHEMAS:
        if schema.name == name:
            return schema
    return None
