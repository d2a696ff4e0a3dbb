"""How the values of a simulated device move: plausibly, smoothly, and the same in every run.

A value is a pure function of its name, the unit and the time. What it is, its name's last word
says, as everywhere in Kerbline: `energy_kwh` counts and never falls, `voltage_v` wanders about the
mains' voltage, `power_w` follows a load that a day shapes.
"""

from __future__ import annotations

import math
import zlib

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STARTED_MS = 1_577_836_800_000  # 2020-01-01: counters began there

# By the last word of the name: the middle and how far it wanders from it.
WANDERS = {
    "v": (230.0, 4.0),
    "kv": (10.0, 0.1),
    "hz": (50.0, 0.03),
    "a": (12.0, 4.0),
    "ma": (180.0, 40.0),
    "w": (2_500.0, 900.0),
    "kw": (2.5, 0.9),
    "va": (2_700.0, 900.0),
    "kva": (2.7, 0.9),
    "var": (600.0, 200.0),
    "kvar": (0.6, 0.2),
    "pf": (0.95, 0.03),
    "factor": (0.95, 0.03),
    "deg": (0.0, 3.0),
    "pct": (50.0, 12.0),
    "c": (18.0, 6.0),
    "k": (291.0, 6.0),
    "bar": (4.0, 0.4),
    "mbar": (1_013.0, 8.0),
    "pa": (400_000.0, 20_000.0),
    "kpa": (400.0, 20.0),
    "m": (2.5, 0.6),
    "mm": (2_500.0, 600.0),
    "rpm": (1_450.0, 120.0),
    "lph": (900.0, 300.0),
    "lps": (1.2, 0.4),
    "m3h": (4.5, 1.5),
    "mps": (1.1, 0.3),
    "lux": (300.0, 120.0),
    "db": (70.0, 6.0),
    "ms": (20.0, 5.0),
}
# What counts, by the last word: how much an hour.
COUNTS = {
    "kwh": 2.5,
    "wh": 2_500.0,
    "mwh": 0.0025,
    "kvarh": 0.6,
    "varh": 600.0,
    "kvah": 2.7,
    "vah": 2_700.0,
    "m3": 4.5,
    "l": 4_500.0,
    "h": 1.0,
    "hours": 1.0,
    "s": 3_600.0,
    "count": 12.0,
    "total": 12.0,
    "kg": 3.0,
}
DATES = ("time", "date", "datetime", "clock", "at")  # s since 1970
SWITCHES = 0.5  # what neither wanders nor counts is a state: 0 or 1 for some minutes each
SWITCH_MS = 300_000
RIPPLE = 0.3  # of a count's rate


def value(name: str, unit: int, street_ms: int) -> float:
    """What stands there at a time (street time, ms since 1970)."""
    seed = zlib.crc32(f"{unit}/{name}".encode())
    kind = name.rstrip("0123456789").rstrip("_").rpartition("_")[2]
    if kind in DATES:
        return street_ms / 1_000
    for part in (name.rpartition("_")[2], kind):
        if part in COUNTS:
            return _counted(COUNTS[part], seed, street_ms)
        if part in WANDERS:
            middle, reach = WANDERS[part]
            return middle + reach * _wander(seed, street_ms)
    turn = zlib.crc32(f"{seed}/{street_ms // SWITCH_MS}".encode()) / 2**32
    return float(turn < SWITCHES)


def _wander(seed: int, street_ms: int) -> float:
    """Smooth, within -1 and 1: three sines whose periods share no multiple in a day."""
    phase = seed / 2**32 * math.tau
    fast = math.sin(street_ms / 7_300 + phase)
    slow = math.sin(street_ms / 311_000 + 2 * phase)
    day = math.sin(street_ms / DAY_MS * math.tau + 3 * phase)
    return 0.15 * fast + 0.35 * slow + 0.5 * day


def _counted(an_hour: float, seed: int, street_ms: int) -> float:
    """The integral of a rate that is never below 0.7 of its mean: it only rises."""
    hours = max(street_ms - STARTED_MS, 0) / HOUR_MS
    head_start = seed % 1_000 * an_hour
    swing = RIPPLE * 24 / math.tau * (1 - math.cos(hours / 24 * math.tau))
    return head_start + an_hour * (hours + swing)
