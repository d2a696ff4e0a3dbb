"""Air: PM2.5 on sensors that had no part in the fit, the indices' edges, and flags of faults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerbline.control.air import aqi_eu, aqi_us
from kerbline.control.air.validity import Flag, Limits, Sample, State, judge
from kerbline.sim import air
from tools import fit_pm2_5
from tools.figures import Figure
from tools.trees import ROOT

SENSORS = ROOT.parent / "shared" / "data" / "air" / "purpleair_dev12.csv"
STATIONS = 24
DAYS = 20
EPA = (0.524, -0.0862, 5.75)  # Barkjohn et al. 2021: of the counts, of humidity, and the offset


def figures() -> list[Figure]:
    """Every target of air; those of real sensors where their data is there."""
    return [*_corrected(), *_indices(), *_flags()]


def _corrected() -> list[Figure]:
    if not SENSORS.exists():
        return [Figure("PM2.5 corrected", f"there is no {SENSORS}", "")]
    sensors = fit_pm2_5.sensors(SENSORS)
    reference = np.concatenate([sensor.reference for sensor in sensors])
    seen = [day for sensor in sensors for day in sensor.days]
    raw = np.array([day.pm2_5_ug_m3 for day in seen])
    epa = EPA[0] * raw + EPA[1] * np.array([day.humidity_pct for day in seen]) + EPA[2]
    found = [
        Figure("PM2.5 as it is counted, RMSE", _rmse(raw - reference), "ug/m3"),
        Figure("by EPA's formula of 2021, RMSE", _rmse(epa - reference), "ug/m3"),
    ]
    for name, group in fit_pm2_5.groups(sensors).items():
        is_target = name == "sensor"
        kinds = fit_pm2_5.left_out(sensors, group)
        for beside, most in ((False, 2.2), (True, 1.7)):
            rows = fit_pm2_5.told(kinds, sensors, taught=beside)
            what = f"corrected {'beside a reference' if beside else 'alone'}, {name} left out"
            share = 100 * fit_pm2_5.covered(rows)
            bound = f"<= {most}" if is_target else ""
            found.append(Figure(f"{what}: RMSE", fit_pm2_5.rmse(rows), "ug/m3", bound))
            found.append(
                Figure("  within 95 %, at least", share, "%", ">= 93" if is_target else "")
            )
            if is_target:
                found.append(Figure("  within 95 %, at most", share, "%", "<= 97"))
    return found


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _indices() -> list[Figure]:
    """A tenth below each edge, on it and above it."""
    wrong = 0
    for pollutant, bounds in aqi_eu.BOUNDS_UG_M3.items():
        for number, bound in enumerate(bounds, 1):
            levels = [aqi_eu.level(pollutant, bound + beside) for beside in (-0.1, 0, 0.1)]
            wrong += [level and level.index for level in levels] != [number, number, number + 1]
    tops = {
        "pm2_5": (0.1, (9.0, 35.4, 55.4, 125.4, 225.4)),
        "pm10": (1, (54, 154, 254, 354, 424)),
        "o3": (0.001, (0.054, 0.070, 0.085, 0.105)),
        "co": (0.1, (4.4, 9.4, 12.4, 15.4, 30.4)),
        "so2": (1, (35, 75, 185, 304, 604)),
        "no2": (1, (53, 100, 360, 649, 1249)),
    }
    for pollutant, (step, edges) in tops.items():
        for number, edge in enumerate(edges):
            names = aqi_us.CATEGORIES[number], aqi_us.CATEGORIES[number + 1]
            told = [aqi_us.level(pollutant, round(edge + more, 3)) for more in (0, step)]
            wrong += tuple(level.category for level in told if level) != names
    return [Figure("band edges on which an index is wrong", wrong, "", "<= 0")]


def _flags() -> list[Figure]:
    found = []
    healthy = [_flagged(air.station(seed, DAYS)) for seed in range(STATIONS)]
    samples = [flags for station in healthy for flags in station]
    share = 100 * sum(map(bool, samples)) / len(samples)
    found.append(Figure("healthy samples that are flagged", share, "%", "<= 1"))
    seen = 0
    for fault in air.FAULTS:
        hits = 0
        for seed in range(STATIONS):
            made, steps = air.faulty(air.station(1000 + seed, DAYS), fault, seed)
            flags = _flagged(made)
            hits += any(fault in flags[step] for step in steps)
        found.append(Figure(f"  {fault} flagged, of {STATIONS}", hits, ""))
        seen += hits
    share = 100 * seen / (STATIONS * len(air.FAULTS))
    found.append(Figure("faults that are flagged by their name", share, "%", ">= 95"))
    return found


def _flagged(samples: Sequence[Sample]) -> list[tuple[Flag, ...]]:
    state, found, limits = State(), [], Limits()
    for sample in samples:
        state, flags = judge(limits, state, sample)
        found.append(flags)
    return found
