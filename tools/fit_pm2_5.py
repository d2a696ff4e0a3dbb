"""Fit a sensor type's correction of PM2.5 from sensors that stood beside references.

`python -m tools.fit_pm2_5 FILE.csv` with the columns sensor_index, DAILY, conc (the reference),
A_B_Avg, humidity_a, temp_Celsius and dewPoint, a row a day. Prints the coefficients, and what they
are worth on sensors, and on sites, that had no part in them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kerbline.control.air import correct
from kerbline.control.air.correct import TERMS, Seen, SensorType
from kerbline.control.air.sensor_types import PLANTOWER

RIDGE = 10.0  # of terms scaled to their spread; the outcome hangs little on it (3 to 100)
COVERED = 0.95
DAY_S = 86_400
Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sensor:
    """The days of one sensor in order, with their references in ug/m3."""

    name: str
    days: Sequence[Seen]
    reference: Column
    terms: Column  # a row a day


def sensors(file: Path) -> Sequence[Sensor]:
    """Of a file of days."""
    rows: dict[str, list[tuple[Seen, float]]] = {}
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            moment = datetime.fromisoformat(row["DAILY"]).replace(tzinfo=UTC)
            seen = Seen(
                moment.timestamp() / DAY_S,
                float(row["A_B_Avg"]),
                float(row["humidity_a"]),
                float(row["temp_Celsius"]),
                float(row["dewPoint"]),
            )
            rows.setdefault(row["sensor_index"], []).append((seen, float(row["conc"])))
    return [_sensor(name, sorted(days, key=lambda day: day[0].day)) for name, days in rows.items()]


def _sensor(name: str, days: Sequence[tuple[Seen, float]]) -> Sensor:
    weeks = correct.Weeks()
    terms = []
    for seen, _ in days:
        weeks = weeks.took(seen)
        terms.append(correct.terms(seen, weeks))
    return Sensor(
        name, [seen for seen, _ in days], np.array([told for _, told in days]), np.array(terms)
    )


def fitted(some: Sequence[Sensor]) -> Column:
    """Coefficients by ridge regression; a sensor with four times the days weighs twice as much."""
    terms = np.vstack([sensor.terms[:, 1:] for sensor in some])
    wanted = np.concatenate([sensor.reference for sensor in some])
    weight = np.concatenate([np.full(len(s.days), len(s.days) ** -0.5) for s in some])
    weight /= weight.mean()
    middle = np.average(terms, axis=0, weights=weight)
    spread = terms.std(axis=0)
    scaled = (terms - middle) / spread
    mean = np.average(wanted, weights=weight)
    square = (scaled * weight[:, None]).T @ scaled + RIDGE * np.eye(scaled.shape[1])
    slopes = np.linalg.solve(square, (scaled * weight[:, None]).T @ (wanted - mean)) / spread
    return np.concatenate([[mean - slopes @ middle], slopes])


def sites(all_sensors: Sequence[Sensor]) -> Mapping[str, int]:
    """Sensors with the same reference on most common days stand at one site, by its number."""
    site = {sensor.name: number for number, sensor in enumerate(all_sensors)}
    told = [
        {seen.day: value for seen, value in zip(s.days, s.reference, strict=True)}
        for s in all_sensors
    ]
    for here, first in enumerate(all_sensors):
        for there, second in enumerate(all_sensors[:here]):
            common = told[here].keys() & told[there].keys()
            same = sum(told[here][day] == told[there][day] for day in common)
            if common and same > len(common) / 2:
                old, new = site[first.name], site[second.name]
                site = {name: new if was == old else was for name, was in site.items()}
    return site


def told(kinds: Mapping[str, SensorType], some: Sequence[Sensor], *, taught: bool) -> Column:
    """Rows of reference, corrected, low and high, for the days of `some`; `kinds` by name."""
    rows = []
    for sensor in some:
        state = correct.State()
        for seen, reference in zip(sensor.days, sensor.reference, strict=True):
            state, found = correct.correct(kinds[sensor.name], state, seen)
            rows.append((reference, found.pm2_5, found.low95, found.high95))
            if taught:
                state = correct.learn(state, float(reference))
    return np.array(rows)


def rmse(rows: Column) -> float:
    """In ug/m3."""
    return float(np.sqrt(np.mean((rows[:, 1] - rows[:, 0]) ** 2)))


def covered(rows: Column) -> float:
    """The share of references within their intervals."""
    return float(np.mean((rows[:, 2] <= rows[:, 0]) & (rows[:, 0] <= rows[:, 3])))


def spread(rows: Column) -> tuple[float, float]:
    """The line of the standard deviation over the value, by which 95 % of references are within.

    Its slope is that of the absolute error over the value.
    """
    value, error = rows[:, 1], np.abs(rows[:, 1] - rows[:, 0])
    slope, level = np.polyfit(value, error, 1)
    factor = np.quantile(error / (level + slope * value), COVERED) / 1.96
    return float(level * factor), float(slope * factor)


def left_out(all_sensors: Sequence[Sensor], group: Mapping[str, int]) -> Mapping[str, SensorType]:
    """For each sensor a type that was fitted without the sensors of its group, by name."""
    kinds = {}
    for left in set(group.values()):
        rest = fitted([sensor for sensor in all_sensors if group[sensor.name] != left])
        kinds[left] = replace(PLANTOWER, coefficients=tuple(rest))
    return {sensor.name: kinds[group[sensor.name]] for sensor in all_sensors}


def each(all_sensors: Sequence[Sensor]) -> Mapping[str, int]:
    """Every sensor in a group of its own."""
    return {sensor.name: number for number, sensor in enumerate(all_sensors)}


def main() -> None:
    """Fit, try, print."""
    all_sensors = sensors(Path(sys.argv[1]))
    for name, group in (("sensors", each(all_sensors)), ("sites", sites(all_sensors))):
        kinds = left_out(all_sensors, group)
        alone = told(kinds, all_sensors, taught=False)
        beside = told(kinds, all_sensors, taught=True)
        distance = np.abs(beside[:, 1] - beside[:, 0])
        reach = np.maximum(beside[:, 3] - beside[:, 1], 1e-9) / PLANTOWER.widening
        print(
            f"{name} left out, {len(set(group.values()))}: RMSE {rmse(alone):.2f} ug/m3 alone, "
            f"{rmse(beside):.2f} beside a reference; spread {spread(alone)}, "
            f"widening {np.quantile(distance / reach, COVERED):.3f}"
        )
    for name, value in zip(TERMS, fitted(all_sensors), strict=True):
        print(f"        {value:.6g},  # {name}")


if __name__ == "__main__":
    main()
