"""Fit a sensor type's correction of PM2.5 from sensors that stood beside references.

`python -m tools.fit_pm2_5 FILE.csv` with the columns sensor_index, DAILY, conc (the reference),
A_B_Avg, humidity_a, temp_Celsius and dewPoint, a row a day. Prints the coefficients, and what they
are worth on sensors, on sites, and in seasons, that had no part in them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kerbline.control.air import correct
from kerbline.control.air.correct import TERMS, Seen, SensorType
from kerbline.control.air.sensor_types import PLANTOWER

RIDGE = 10.0  # of terms scaled to their spread; the outcome hangs little on it (1 to 30)
ALIKE = 0.75  # days of a site are alike: n of them weigh as n ** (1 - ALIKE)
ROUNDS = 3  # of weighing each day by its variance, which follows from what is fitted
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
    left_in: NDArray[np.bool_]  # by day


Group = Callable[[Sensor, Seen], int]  # of a day, by number


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
    reference = np.array([told for _, told in days])
    every = np.ones(len(days), dtype=bool)
    return Sensor(name, [seen for seen, _ in days], reference, np.array(terms), every)


def fitted(some: Sequence[Sensor]) -> Column:
    """Coefficients by weighted ridge regression of the days that are left in.

    Sensors of one site see the same air, so it is the site whose days weigh less by their number;
    and a day weighs by what it is known to scatter, which grows with its value.
    """
    site = sites(some)
    of_site = dict.fromkeys(site.values(), 0)
    for sensor in some:
        of_site[site[sensor.name]] += int(sensor.left_in.sum())
    terms = np.vstack([sensor.terms[sensor.left_in, 1:] for sensor in some])
    wanted = np.concatenate([sensor.reference[sensor.left_in] for sensor in some])
    alike = np.concatenate(
        [np.full(s.left_in.sum(), float(of_site[site[s.name]] or 1)) ** -ALIKE for s in some]
    )
    scatter = np.ones_like(wanted)
    for _ in range(ROUNDS):
        weight = alike / scatter**2
        found = _ridge(terms, wanted, weight / weight.mean())
        value = np.maximum(found[0] + terms @ found[1:], 0.0)
        scatter = PLANTOWER.spread_ug_m3 + PLANTOWER.spread_share * value
    return found


def _ridge(terms: Column, wanted: Column, weight: Column) -> Column:
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


Kinds = Callable[[Sensor, Seen], SensorType]  # by which a day is corrected


def told(kinds: Kinds, some: Sequence[Sensor], *, taught: bool) -> Column:
    """Rows of reference, corrected, low and high, for the days of `some`."""
    rows = []
    for sensor in some:
        state = correct.State()
        for seen, reference in zip(sensor.days, sensor.reference, strict=True):
            state, found = correct.correct(kinds(sensor, seen), state, seen)
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


def left_out(all_sensors: Sequence[Sensor], group: Group) -> Kinds:
    """Each day's type, fitted without the days of its group."""
    numbers = [np.array([group(s, seen) for seen in s.days]) for s in all_sensors]
    kinds = {}
    for left in np.unique(np.concatenate(numbers)):
        rest = [replace(s, left_in=of != left) for s, of in zip(all_sensors, numbers, strict=True)]
        kinds[int(left)] = replace(PLANTOWER, coefficients=tuple(fitted(rest)))
    return lambda sensor, seen: kinds[group(sensor, seen)]


def groups(all_sensors: Sequence[Sensor]) -> Mapping[str, Group]:
    """What may be left out: a sensor, a site, a season in all years."""
    number = {sensor.name: number for number, sensor in enumerate(all_sensors)}
    site = sites(all_sensors)
    return {
        "sensor": lambda sensor, _: number[sensor.name],
        "site": lambda sensor, _: site[sensor.name],
        "season": lambda _, seen: datetime.fromtimestamp(seen.day * DAY_S, UTC).month % 12 // 3,
    }


def main() -> None:
    """Fit, try, print."""
    all_sensors = sensors(Path(sys.argv[1]))
    for name, group in groups(all_sensors).items():
        kinds = left_out(all_sensors, group)
        alone = told(kinds, all_sensors, taught=False)
        beside = told(kinds, all_sensors, taught=True)
        distance = np.abs(beside[:, 1] - beside[:, 0])
        reach = np.maximum(beside[:, 3] - beside[:, 1], 1e-9) / PLANTOWER.widening
        print(
            f"{name} left out: RMSE {rmse(alone):.3f} ug/m3 alone, {rmse(beside):.3f} beside a "
            f"reference; within {covered(alone):.3f} and {covered(beside):.3f}; spread "
            f"{spread(alone)}, widening {np.quantile(distance / reach, COVERED):.3f}"
        )
    for name, value in zip(TERMS, fitted(all_sensors), strict=True):
        print(f"        {value:.6g},  # {name}")


if __name__ == "__main__":
    main()
