"""Record schemas as data: which fields a report of an asset class has, at which resolution.

A schema's hash is exchanged in INFO and stands in the AAD of every report. Fields are
append-only: a field is never removed, renumbered or rescaled.
"""

from hashlib import sha256

from kerbwire import cbor
from kerbwire.limits import SCHEMA_HASH_BYTES

# How a number is foretold from the record before and from the other numbers of its own record: a
# closed list. BATCH sends what is left; `columns` says how each is computed.
LAST = 0  # the same as before
NOTHING = 1  # 0: each number stands for itself
LATEST = 2  # the last number of the field referred to
TOTAL = 3  # before + the sum of the field referred to
ELAPSED = 4  # before + the seconds that have passed
INTEGRAL = 5  # before + the field referred to x seconds / argument
HOURS = 6  # before + full hours in which the field referred to was not 0
SHARE = 7  # as large a share of the field referred to as in all rows of the batch so far
SLOPE = 8  # before + the other field's step x slope / 2^argument; the batch names the slope
REFERRING = (LATEST, TOTAL, INTEGRAL, HOURS, SHARE, SLOPE)
CARRIED = (LAST, TOTAL, ELAPSED, INTEGRAL, HOURS, SHARE, SLOPE)  # need the record before


class Field:
    """One field: `scale` is the number of decimal digits, 24.5 W at scale 1 travels as 245.

    It has `count` numbers. `reference` is the index of the field that its predictor looks at.
    """

    __slots__ = ("argument", "count", "name", "predictor", "reference", "scale", "unit")

    def __init__(
        self,
        name: str,
        scale: int,
        unit: str,
        predictor: "tuple[int, int, int]" = (LAST, 0, 0),
        count: int = 1,
    ):
        self.name = name
        self.scale = scale
        self.unit = unit  # UN/CEFACT Recommendation 20 common code
        self.predictor, self.reference, self.argument = predictor
        self.count = count


class Schema:
    """An asset class's fields in wire order; `hash` names this very text of it for ever."""

    __slots__ = ("class_id", "elapsed", "fields", "hash", "name", "version", "width")

    def __init__(self, class_id: int, name: str, version: int, fields: "tuple[Field, ...]"):
        self.class_id = class_id
        self.name = name
        self.version = version
        self.fields = fields
        self.width = sum([field.count for field in fields])  # numbers of one record
        # Of a REPORT's differences these alone are foretold: they change with each second.
        self.elapsed = tuple(
            [index for index, field in enumerate(fields) if field.predictor == ELAPSED]
        )
        self.hash = sha256(self.encode()).digest()[:SCHEMA_HASH_BYTES]

    def encode(self) -> bytes:
        """Deterministic CBOR: class, version, then name, scale and unit of each field.

        From version 2 on also each field's predictor, reference, argument and count.
        """
        items: list[int | bytes] = [self.class_id, self.version]
        for field in self.fields:
            items += [field.name.encode(), field.scale, field.unit.encode()]
            if self.version > 1:
                items += [field.predictor, field.reference, field.argument, field.count]
        return cbor.encode(items)

    @property
    def profile(self) -> bool:
        """Has a field more than one number? Then its live reports are batches of one."""
        return self.width > len(self.fields)

    def takes(self, width: int) -> bool:
        """Can a record of so many numbers be of this schema or of an older one of its class?"""
        if width == self.width:
            return True
        for older in OLDER:
            if older.class_id == self.class_id and older.width == width:
                return older.version < self.version
        return False


# E48 is "service unit", used where a number has no physical unit (a bit mask).
_STREETLIGHT = (
    Field("level_pct", 0, "P1"),
    Field("power_w", 1, "WTT", (SHARE, 0, 0)),
    Field("energy_wh", 0, "WHR", (INTEGRAL, 1, 36_000)),  # of tenths of a watt
    Field("lamp_hours", 0, "HUR", (HOURS, 0, 0)),
    Field("temperature_c", 0, "CEL", (SLOPE, 1, 8)),  # a lamp heats itself
    Field("status", 0, "E48"),
    Field("uptime_s", 0, "SEC", (ELAPSED, 0, 0)),
)
_WATER_METER = (
    Field("volume_l", 0, "LTR", (TOTAL, 5, 0)),
    Field("flow_lph", 0, "E32", (LATEST, 5, 0)),
    Field("backflow_l", 0, "LTR"),
    Field("battery_mv", 0, "2Z"),
    Field("alarms", 0, "E48"),
    Field("hourly_l", 0, "LTR", (NOTHING, 0, 0), 24),  # of the 24 hours before the report
)
_AIR_QUALITY = (
    Field("pm1_ugm3", 1, "GQ"),
    Field("pm2_5_ugm3", 1, "GQ", (SHARE, 0, 0)),
    Field("pm10_ugm3", 1, "GQ", (SHARE, 1, 0)),
    Field("co2_ppm", 0, "59"),
    Field("no2_ppb", 1, "61"),
    Field("temperature_c", 1, "CEL"),
    Field("humidity_pct", 1, "P1"),
    Field("pressure_hpa", 1, "A97"),
    Field("status", 0, "E48"),
)
STREETLIGHT = Schema(1, "streetlight", 2, _STREETLIGHT)
WATER_METER = Schema(2, "water_meter", 2, _WATER_METER)
AIR_QUALITY = Schema(3, "air_quality", 2, _AIR_QUALITY)
SCHEMAS = (STREETLIGHT, WATER_METER, AIR_QUALITY)
# What version 1 had is the same, but for the predictors and what was appended since.
OLDER = (
    Schema(1, "streetlight", 1, _STREETLIGHT[:6]),
    Schema(2, "water_meter", 1, _WATER_METER[:5]),
    Schema(3, "air_quality", 1, _AIR_QUALITY),
)


def by_hash(digest: bytes) -> "Schema | None":
    """The schema with that hash, or None."""
    for schema in SCHEMAS + OLDER:
        if schema.hash == digest:
            return schema
    return None


def by_name(name: str) -> "Schema | None":
    """The newest schema of that asset class, or None."""
    for schema in SCHEMAS:
        if schema.name == name:
            return schema
    return None
