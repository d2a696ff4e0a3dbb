"""Thresholds of pollutants: more than so much as a mean of hours, held for so long, is an alarm.

It begins when as many means in a row as `hold` says are above the threshold, and ends when those
of `CLEAR_H` hours are at most `CLEAR_SHARE` of it: a mean about the threshold rings once. An hour
without a mean proves nothing, neither that it begins nor that it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kerbline.control.air import averages

VERSION = 1
CLEAR_SHARE = 0.9
CLEAR_H = 3


@dataclass(frozen=True, slots=True)
class Threshold:
    """`rule` names the alarm; means are of `mean_h` hours up to the one that is looked at.

    The means that have to be above in a row end `apart_h` hours from each other.
    """

    rule: str
    pollutant: str
    above_ugm3: float
    mean_h: int = 1
    hold: int = 1
    critical: bool = False
    apart_h: int = 1

    @property
    def hold_h(self) -> int:
        """For so many hours it is above when it begins."""
        return self.hold * self.apart_h


# Alert thresholds are critical, information thresholds a warning. Those of particles are of a day,
# here of the last 24 hours at each of them, so that nobody waits for midnight. Ozone's alert is of
# one hour; the three in a row of both directives are for a city's plans of action (2008/50/EC,
# article 24; (EU) 2024/2881, article 20), not for telling people.
EU_2008 = (  # Directive 2008/50/EC, article 19 and annex XII
    Threshold("air_no2_alert", "no2", 400, hold=3, critical=True),
    Threshold("air_so2_alert", "so2", 500, hold=3, critical=True),
    Threshold("air_o3_alert", "o3", 240, critical=True),
    Threshold("air_o3_information", "o3", 180),
)
# Directive (EU) 2024/2881, article 15 and annex I, section 4: point A has the alert thresholds,
# point B those of information. Particles are above for "three consecutive days or less" before it
# is an alert; which of them, a state says, so here it is three: whole days of hours, one after
# the other, that end with the hour.
EU_2024 = (
    Threshold("air_no2_alert", "no2", 200, hold=3, critical=True),
    Threshold("air_so2_alert", "so2", 350, hold=3, critical=True),
    Threshold("air_o3_alert", "o3", 240, critical=True),
    Threshold("air_pm10_alert", "pm10", 90, mean_h=24, hold=3, critical=True, apart_h=24),
    Threshold("air_pm2_5_alert", "pm2_5", 50, mean_h=24, hold=3, critical=True, apart_h=24),
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
        latest = [mean(hours, hour - ago, threshold.mean_h) for ago in range(CLEAR_H)]
        return not all(each is not None and each <= low for each in latest)
    ends = (hour - number * threshold.apart_h for number in range(threshold.hold))
    means = (mean(hours, each, threshold.mean_h) for each in ends)
    return all(each is not None and each > threshold.above_ugm3 for each in means)
