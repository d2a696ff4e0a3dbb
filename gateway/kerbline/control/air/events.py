"""Thresholds of pollutants: more than so much as a mean of hours, held for so long, is an alarm.

It begins when as many means in a row as `hold_h` says are above the threshold, and ends when as
many as `CLEAR_H` are at most `CLEAR_SHARE` of it: a mean about the threshold rings once. An hour
without a mean proves nothing, neither that it begins nor that it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerbline.control.air import averages

VERSION = 1
CLEAR_SHARE = 0.9
CLEAR_H = 3


@dataclass(frozen=True, slots=True)
class Threshold:
    """`rule` names the alarm; means are of `mean_h` hours up to the one that is looked at."""

    rule: str
    pollutant: str
    above_ugm3: float
    mean_h: int = 1
    hold_h: int = 1
    critical: bool = False


# Alert thresholds are critical, information thresholds a warning. Those of particles are of a day,
# here of the last 24 hours at each of them, so that nobody waits for midnight.
EU_2008 = (  # Directive 2008/50/EC, annex XII
    Threshold("air_no2_alert", "no2", 400, hold_h=3, critical=True),
    Threshold("air_so2_alert", "so2", 500, hold_h=3, critical=True),
    Threshold("air_o3_alert", "o3", 240, critical=True),
    Threshold("air_o3_information", "o3", 180),
)
EU_2024 = (  # Directive (EU) 2024/2881, annex I, section 4
    Threshold("air_no2_alert", "no2", 200, hold_h=3, critical=True),
    Threshold("air_so2_alert", "so2", 350, hold_h=3, critical=True),
    Threshold("air_o3_alert", "o3", 240, critical=True),
    Threshold("air_no2_information", "no2", 150),
    Threshold("air_so2_information", "so2", 275),
    Threshold("air_o3_information", "o3", 180),
    Threshold("air_pm10_information", "pm10", 90, mean_h=24),
    Threshold("air_pm2_5_information", "pm2_5", 50, mean_h=24),
)
SETS: Mapping[str, tuple[Threshold, ...]] = {"eu2024": EU_2024, "eu2008": EU_2008, "none": ()}


def mean(hours: Mapping[int, float], hour: int, count: int) -> float | None:
    """The mean of `count` hours up to `hour`, in ug/m3; None where too few of them have one."""
    return averages.over(
        [hours.get(each) for each in range(hour - count + 1, hour + 1)], count
    ).value


def stands(threshold: Threshold, hours: Mapping[int, float], hour: int, before: bool) -> bool:  # noqa: FBT001
    """Does the alarm stand after `hour`, by the hourly means in ug/m3? `before`: it did."""
    if before:
        low = threshold.above_ugm3 * CLEAR_SHARE
        latest = _latest(threshold, hours, hour, CLEAR_H)
        return not all(each is not None and each <= low for each in latest)
    latest = _latest(threshold, hours, hour, threshold.hold_h)
    return all(each is not None and each > threshold.above_ugm3 for each in latest)


def _latest(
    threshold: Threshold, hours: Mapping[int, float], hour: int, count: int
) -> Sequence[float | None]:
    return [mean(hours, each, threshold.mean_h) for each in range(hour - count + 1, hour + 1)]
