"""Record schemas as data: which fields a report of an asset class has, at which resolution.

A schema's hash is exchanged in INFO and stands in the AAD of every report. Fields are
append-only: a field is never removed, renumbered or rescaled.
"""

from kerbwire.fields import (
    ELAPSED,
    HOURS,
    INTEGRAL,
    LATEST,
    NOTHING,
    SHARE,
    SLOPE,
    TOTAL,
)
from kerbwire.fields import (
    Field as Field,
)
from kerbwire.fields import (
    Schema as Schema,
)

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
