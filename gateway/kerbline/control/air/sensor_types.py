"""What was fitted for each type of PM2.5 sensor; `tools/fit_pm2_5.py` prints these figures."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.control.air.correct import SensorType

# Of 12 sensors with two Plantower counters each (PMS5003 in PurpleAir's housing, CF=1 as their
# firmware tells it) beside reference stations on 7 sites, 3,922 days: RMSE of 2.10 ug/m3 on
# sensors, 2.27 on sites and 2.10 in seasons that had no part in the fit; beside a reference 1.48
# to 1.49.
PLANTOWER = SensorType(
    name="plantower",
    coefficients=(
        5.26134,  # one
        0.491027,  # dry
        0.0549365,  # pm_winter
        0.186511,  # root_pm_spring
        -0.0241003,  # weeks_pm_humidity
        0.198206,  # pm_unrest
        0.00532581,  # dew_point_squared
    ),
    spread_ug_m3=1.25,
    spread_share=0.1,
    noise_ug_m3=0.7,
    noise_share=0.09,
    widening=0.51,
)

SENSOR_TYPES: Mapping[str, SensorType] = {kind.name: kind for kind in (PLANTOWER,)}
