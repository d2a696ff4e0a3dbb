"""What was fitted for each type of PM2.5 sensor; `tools/fit_pm2_5.py` prints these figures."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.control.air.correct import SensorType

# Of 12 sensors with two Plantower counters each (PMS5003 in PurpleAir's housing, CF=1 as their
# firmware tells it) beside reference stations, 3,922 days: 2.16 ug/m3 RMSE on sensors and 2.43 on
# sites that had no part in the fit; 1.54 on both beside a reference.
PLANTOWER = SensorType(
    name="plantower",
    coefficients=(
        4.59957,  # one
        1.03229,  # root_pm
        0.316116,  # pm
        -0.0043611,  # humidity
        0.064178,  # temperature
        -0.0189412,  # root_pm_humidity
        0.0624629,  # pm_winter
        0.16581,  # root_pm_spring
        -0.0256196,  # weeks_pm_humidity
        0.240761,  # pm_unrest
        0.00371538,  # dew_point_squared
    ),
    spread_ug_m3=1.25,
    spread_share=0.1,
    noise_ug_m3=0.7,
    noise_share=0.09,
    widening=0.665,
)

SENSOR_TYPES: Mapping[str, SensorType] = {kind.name: kind for kind in (PLANTOWER,)}
