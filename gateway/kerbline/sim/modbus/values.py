"""How the values of a simulated device move: plausibly, smoothly, and the same in every run.

A value is a pure function of its name, the unit and the time. What it is, the words of its name
say, as everywhere in Kerbline: `energy_kwh` counts and never falls, `voltage_l1_v` wanders about
the mains' voltage, and `power_l1_w` is what the volts and amperes of that phase make.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

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
DATES = ("time", "date", "datetime", "clock")  # s since 1970
# What counts, by the last word: how much an hour.
COUNTS = {
    "kwh": 7.5,
    "wh": 7_500.0,
    "mwh": 0.0075,
    "kvarh": 2.4,
    "varh": 2_400.0,
    "kvah": 7.9,
    "vah": 7_900.0,
    "m3": 4.5,
    "l": 4_500.0,
    "h": 1.0,
    "hours": 1.0,
    "s": 3_600.0,
    "starts": 2.0,
    "count": 12.0,
    "total": 12.0,
    "kg": 3.0,
}
# By a word in the name, before the last one counts: the middle and the reach.
NAMED = {
    "thd": (3.0, 1.5),
    "sound": (1_482.0, 8.0),
    "link": (560.0, 15.0),
    "strength": (80.0, 6.0),
}
# How much of a count's usual rate such a count has.
SHARES = {"export": 0.05, "backward": 0.01}
# States that hold as a rule, and those that do not.
GOOD = frozenset(["present", "valid", "ready"])
BAD = frozenset(
    [
        "spent",
        "tripped",
        "trip",
        "lost",
        "alarm",
        "warning",
        "fault",
        "failure",
        "hot",
        "empty",
        "undervoltage",
        "overvoltage",
        "signal",
    ]
)
PHASES = ("l1", "l2", "l3")
POWER_FACTOR = 0.95
KILO = {"kw": 1_000.0, "kva": 1_000.0, "kvar": 1_000.0, "kv": 1_000.0, "ma": 0.001}
SWITCHES = 0.5  # what neither wanders nor counts is a state: 0 or 1 for some minutes each
SWITCH_MS = 300_000
RIPPLE = 0.3  # of a count's rate


def value(name: str, unit: int, street_ms: int) -> float:
    """What stands there at a time (street time, ms since 1970)."""
    words = name.split("_")
    phases = [word for word in words if word in PHASES]
    plain = [word for word in words if word not in PHASES and not word.isdecimal()]
    kind = plain[-1] if plain else ""
    if kind in DATES:
        return street_ms / 1_000
    if kind in COUNTS:
        return _count(plain, phases, unit, street_ms)
    quantity = "_".join(plain[:-1])
    if quantity in ("power", "apparent_power", "reactive_power", "voltage") or kind == "factor":
        return _mains(kind if kind == "factor" else quantity, phases, unit, street_ms) / KILO.get(
            kind, 1.0
        )
    for word in (*plain[:-1], kind):
        found = NAMED.get(word) or (WANDERS.get(word) if word is kind else None)
        if found is not None:
            return found[0] + found[1] * _wander(_seed(name, unit), street_ms)
    if GOOD & set(plain):
        return 1.0
    if BAD & set(plain):
        return 0.0
    turn = zlib.crc32(f"{_seed(name, unit)}/{street_ms // SWITCH_MS}".encode()) / 2**32
    return float(turn < SWITCHES)


def _seed(name: str, unit: int) -> int:
    return zlib.crc32(f"{unit}/{name}".encode())


def _mains(quantity: str, phases: Sequence[str], unit: int, street_ms: int) -> float:
    """Three phases that agree: power is what volts, amperes and their angle make of each."""
    if quantity == "voltage":
        volts = _about("voltage_l1_v", "v", unit, street_ms)
        if len(phases) == 2:  # between two phases
            return volts * math.sqrt(3)
        return volts + _wander(_seed("".join(phases), unit), street_ms)
    total = 0.0
    for phase in phases or PHASES:
        volts = _mains("voltage", [phase], unit, street_ms)
        apparent = volts * _about(f"current_{phase}_a", "a", unit, street_ms)
        angle = math.acos(POWER_FACTOR + 0.03 * _wander(_seed(phase, unit), street_ms))
        if quantity == "factor":
            total += math.cos(angle) / len(phases or PHASES)
        else:
            turned = {"power": math.cos(angle), "reactive_power": math.sin(angle)}
            total += apparent * turned.get(quantity, 1.0)
    return total


def _about(name: str, kind: str, unit: int, street_ms: int) -> float:
    middle, reach = WANDERS[kind]
    return middle + reach * _wander(_seed(name, unit), street_ms)


def _wander(seed: int, street_ms: int) -> float:
    """Smooth, within -1 and 1: three sines whose periods share no multiple in a day."""
    phase = seed / 2**32 * math.tau
    fast = math.sin(street_ms / 7_300 + phase)
    slow = math.sin(street_ms / 311_000 + 2 * phase)
    day = math.sin(street_ms / DAY_MS * math.tau + 3 * phase)
    return 0.15 * fast + 0.35 * slow + 0.5 * day


def _count(words: Sequence[str], phases: Sequence[str], unit: int, street_ms: int) -> float:
    """A count; a net volume is the difference of its two, a fraction what is beyond the whole."""
    if "fraction" in words:
        whole = [word for word in words if word != "fraction"]
        return _volume(whole, unit, street_ms) % 1
    if "volume" in words:
        return math.floor(_volume(words, unit, street_ms))
    rate = COUNTS[words[-1]] / (3 if phases else 1)
    rate *= math.prod(SHARES.get(word, 1.0) for word in words)
    return _counted(rate, _seed("_".join([*words[:-1], *phases]), unit), street_ms)


def _volume(words: Sequence[str], unit: int, street_ms: int) -> float:
    if "net" in words:
        there, back = ([way, *words[words.index("net") + 1 :]] for way in ("forward", "backward"))
        return _volume(there, unit, street_ms) - _volume(back, unit, street_ms)
    rate = COUNTS[words[-1]] * math.prod(SHARES.get(word, 1.0) for word in words)
    return _counted(rate, _seed("_".join(words), unit), street_ms)


def _counted(an_hour: float, seed: int, street_ms: int) -> float:
    """The integral of a rate that is never below 0.7 of its mean: it only rises."""
    hours = max(street_ms - STARTED_MS, 0) / HOUR_MS
    head_start = seed % 1_000 * an_hour
    swing = RIPPLE * 24 / math.tau * (1 - math.cos(hours / 24 * math.tau))
    return head_start + an_hour * (hours + swing)
