"""What hours of a station mean: indices, the figures of an hour, those of a day.

Indices and thresholds take the corrected PM2.5 where there is one. Gases go between ppb and ug/m3
as `averages.UG_M3_A_PPB` has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.control.air import aqi_eu, aqi_us, averages, ozone
from kerbline.control.air.correct import Corrected
from kerbline.control.air.hour import Seen
from kerbline.control.air.report import PM2_5
from kerbline.model import Value

CORRECTED = "pm2_5_corrected_ugm3"
_DIGITS = 3

Hours = Mapping[int, Mapping[str, float]]  # hourly means by their names, by the hour since 1970


def concentrations(means: Mapping[str, float]) -> dict[str, float]:
    """Of an hour's means those in ug/m3, by pollutant."""
    found: dict[str, float] = {}
    for name, value in means.items():
        known = averages.pollutant(name, value)
        if known is not None:
            found[known[0]] = known[1]
    if CORRECTED in means:
        found["pm2_5"] = means[CORRECTED]
    found.pop("pm2_5_corrected", None)
    return found


def by_pollutant(hours: Hours) -> dict[str, dict[int, float]]:
    """Concentrations in ug/m3 of each pollutant, by the hour."""
    found: dict[str, dict[int, float]] = {}
    for hour, means in hours.items():
        for name, value in concentrations(means).items():
            found.setdefault(name, {})[hour] = value
    return found


def ozone_ppb(means: Mapping[str, float]) -> float | None:
    """Of an hour's means that of ozone."""
    ug_m3 = concentrations(means).get("o3")
    return None if ug_m3 is None else ug_m3 / averages.UG_M3_A_PPB["o3"]


def hour_values(
    hours: Hours,
    hour: int,
    seen: Seen,
    corrected_ug_m3: float | None,
    late: int,
    past: ozone.Past,
) -> dict[str, Value]:
    """The values of an hour's reading; `hours` and `past` are the ones before it."""
    means = {name: round(mean, _DIGITS) for name, mean in seen.means.items()}
    if corrected_ug_m3 is not None:
        means[CORRECTED] = round(corrected_ug_m3, _DIGITS)
    found: dict[str, Value] = {**means}
    found["heard_pct"] = round(100 * seen.heard)
    if seen.believed is not None:
        found["pm2_5_believed_pct"] = round(100 * seen.believed)
    if seen.flags:
        found["flags"] = " ".join(seen.flags)
        found["faulty_pct"] = round(100 * seen.faulty)
    if late:
        found["late_samples"] = late
    pollutants = by_pollutant({**hours, hour: means})
    now = concentrations(means)
    european = aqi_eu.worst(now)
    if european is not None:
        found |= _level("eu", european.index, european.category, european.pollutant)
    casts = {name: _nowcast(pollutants.get(name, {}), hour) for name in ("pm2_5", "pm10")}
    if casts["pm2_5"] is not None:
        found["pm2_5_nowcast_ugm3"] = round(casts["pm2_5"], _DIGITS)
    ppb = ozone.nowcast(past.took(hour, ozone_ppb(means)).ppb)
    if ppb is not None:
        found["o3_nowcast_ppb"] = round(ppb, _DIGITS)
        casts["o3"] = ppb * averages.UG_M3_A_PPB["o3"]
    casts["co"] = _over(pollutants.get("co", {}), hour, averages.EIGHT_HOURS)
    casts["so2_24h"] = _over(pollutants.get("so2", {}), hour, averages.HOURS_A_DAY)
    casts |= {"o3_1h": now.get("o3"), "no2": now.get("no2"), "so2": now.get("so2")}
    return found | _american(casts)


def day_values(hours: Hours, day: int) -> dict[str, Value]:
    """The values of a day's reading: means, the day's highest of gases, indices.

    `eu_index` is the worst hour's, `us_index` that of the day. Empty where nothing was seen.
    """
    of_day = {hour: hours[hour] for hour in hours if hour // averages.HOURS_A_DAY == day}
    if not of_day:
        return {}
    last = day * averages.HOURS_A_DAY + averages.HOURS_A_DAY - 1
    found: dict[str, Value] = {"hours": len(of_day)}
    for name in sorted({name for means in of_day.values() for name in means} - {CORRECTED}):
        by_hour = {hour: means[name] for hour, means in of_day.items() if name in means}
        mean = _over(by_hour, last, averages.HOURS_A_DAY)
        if mean is not None:
            found[name] = round(mean, _DIGITS)
    pollutants = by_pollutant(hours)
    levels = [level for means in of_day.values() if (level := aqi_eu.worst(concentrations(means)))]
    if levels:
        worst = max(levels, key=lambda level: level.index)
        found |= _level("eu", worst.index, worst.category, worst.pollutant)
    casts = {
        name: _over(pollutants.get(name, {}), last, averages.HOURS_A_DAY)
        for name in ("pm2_5", "pm10")
    }
    casts["so2_24h"] = _over(pollutants.get("so2", {}), last, averages.HOURS_A_DAY)
    for name in ("no2", "so2", "o3"):
        highest = max(concentrations(means).get(name, -1.0) for means in of_day.values())
        if highest >= 0:
            casts[name if name != "o3" else "o3_1h"] = highest
            found[f"{name}_highest_1h_ugm3"] = round(highest, _DIGITS)
    for name in ("o3", "co"):
        means_of_8 = [
            mean
            for hour in range(last - averages.HOURS_A_DAY + 1, last + 1)
            if (mean := _over(pollutants.get(name, {}), hour, averages.EIGHT_HOURS)) is not None
        ]
        if means_of_8:
            casts[name] = max(means_of_8)
            found[f"{name}_highest_8h_ugm3"] = round(max(means_of_8), _DIGITS)
    return found | _american(casts)


def with_interval(values: Mapping[str, Value], corrected: Corrected | None) -> dict[str, Value]:
    """The values of a day with its corrected PM2.5, and what holds it in 95 of 100 cases."""
    found = dict(values)
    if corrected is not None and PM2_5 in values:
        found[CORRECTED] = round(corrected.pm2_5, _DIGITS)
        found["pm2_5_low95_ugm3"] = round(corrected.low95, _DIGITS)
        found["pm2_5_high95_ugm3"] = round(corrected.high95, _DIGITS)
    return found


def _nowcast(hours: Mapping[int, float], hour: int) -> float | None:
    return aqi_us.nowcast([hours.get(hour - age) for age in range(aqi_us.NOWCAST_HOURS)])


def _over(hours: Mapping[int, float], hour: int, count: int) -> float | None:
    return averages.over(
        [hours.get(each) for each in range(hour - count + 1, hour + 1)], count
    ).value


def _american(casts: Mapping[str, float | None]) -> dict[str, Value]:
    """The worst index of concentrations in ug/m3, each over the time that its index wants.

    An hour of SO2 tells no index above 200: what is higher is of its 24 hours (40 CFR 58 appendix
    G, table 2, note 3).
    """
    levels: list[aqi_us.Level] = []
    for name, value in casts.items():
        base = name.removesuffix("_1h").removesuffix("_24h")
        if value is None:
            continue
        if base in averages.UG_M3_A_PPB:
            value /= averages.UG_M3_A_PPB[base]
            value = round(value / 1000 if base in ("o3", "co") else value, 6)
        if name == "so2":
            value = min(value, aqi_us.MOST_SO2_1H_PPB)
        elif name == "so2_24h" and value <= aqi_us.MOST_SO2_1H_PPB:
            continue
        level = aqi_us.level(name.removesuffix("_24h"), value)
        if level is not None:
            levels.append(level)
    if not levels:
        return {}
    worst = max(levels, key=lambda level: level.index)
    return _level("us", worst.index, worst.category, worst.pollutant.removesuffix("_1h"))


def _level(index: str, number: int, category: str, pollutant: str) -> dict[str, Value]:
    return {
        f"{index}_index": number,
        f"{index}_category": category,
        f"{index}_pollutant": pollutant,
    }
