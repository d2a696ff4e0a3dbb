"""What a station's report is worth: its values without those that its own status gives up."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kerbline.model import Reading

KIND = "air_quality"  # of a node that is a station
HOUR_KIND, DAY_KIND = "air_hour", "air_day"  # of what is worked out of its reports

# The fields by their bit in a station's `status`: 0 to 8 no sample, 10 to 18 too few, 20 to 28 a
# cell that has not settled.
FIELDS: Mapping[str, int] = {
    "pm1_ugm3": 0,
    "pm2_5_ugm3": 1,
    "pm10_ugm3": 2,
    "co2_ppm": 3,
    "no2_ppb": 4,
    "temperature_c": 5,
    "humidity_pct": 6,
    "pressure_hpa": 7,
    "o3_ppb": 8,
}
INCOMPLETE, UNSETTLED = 10, 20

PM2_5, PM10, TWIN = "pm2_5_ugm3", "pm10_ugm3", "pm2_5_b_ugm3"
HUMIDITY, TEMPERATURE = "humidity_pct", "temperature_c"
PARTICLES = ("pm1_ugm3", PM2_5, "pm4_ugm3", PM10)
GASES = ("no2", "o3", "so2", "no", "nox", "co", "co2")
# What an hour tells the mean of; `TWIN` is a second counter in the housing of PM2.5.
NAMES = frozenset(
    [
        *(*PARTICLES, TWIN, HUMIDITY, TEMPERATURE, "pressure_hpa"),
        *(f"{gas}_{unit}" for gas in GASES for unit in ("ugm3", "ppb", "ppm")),
    ]
)
# What no device outdoors can tell, by the ending of a name: not even one value of it is taken.
# PM2.5 is judged apart, so that a flag says what was wrong with it.
_RANGES: Mapping[str, tuple[float, float]] = {
    "ugm3": (-100, 5_000),
    "ppb": (-100, 50_000),
    "ppm": (-1, 50_000),
    "pct": (0, 100),
    "c": (-60, 85),
    "hpa": (300, 1_100),
}
SURE_MS = 300_000  # of a reading whose time is less sure nobody knows the hour


def sound(reading: Reading) -> dict[str, float]:
    """The values of a reading that may go into a mean, by name; what can't be is none."""
    status = reading.values.get("status", 0) if reading.kind == KIND else 0
    found: dict[str, float] = {}
    for name, value in reading.values.items():
        if name not in NAMES or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        bit = FIELDS.get(name)
        if bit is not None and isinstance(status, int):
            given_up = 1 << bit | 1 << bit + INCOMPLETE | 1 << bit + UNSETTLED
            if status & given_up:
                continue
        least, most = _RANGES[name.rpartition("_")[2]]
        if least <= value <= most or (name == PM2_5 and math.isfinite(value)):
            found[name] = float(value)
    return found
