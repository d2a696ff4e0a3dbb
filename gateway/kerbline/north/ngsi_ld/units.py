"""The unit in which each attribute leaves, and how our values get there: in this place alone.

Codes are of UN/CEFACT Recommendation 20; C62 is "one", of shares between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from kerbline.config.unit_codes import UNIT_CODES
from kerbline.config.units import ending
from kerbline.model import Value

CLIPPED = "clipped"  # the quality flag of a value that its schema can't hold

EXACT = 1 << 53  # whole numbers beyond it are not the same everywhere (RFC 7493, 2.2)

_DIGITS = 9  # behind the point, after a conversion: finer than anybody measures


class Target(NamedTuple):
    """An attribute's unit, and the least and largest value that its schema takes.

    Where the schema leaves the unit open, a value stays in one of `others`, too.
    """

    code: str
    low: int | None = None
    high: int | None = None
    whole: bool = False  # whole units alone: what is not full yet does not count
    others: tuple[str, ...] = ()


SHARE = Target("C62", 0, 1)
_SIGNED_SHARE = Target("C62", -1, 1)
_VOLTS = Target("VLT", 0)
_AMPERES = Target("AMP", 0)
_KILOWATTS = Target("KWT", 0)
_KILOVARS = Target("KVR", 0)
_GAS = Target("61", 0, others=("59", "GQ"))
_DUST = Target("GQ", 0)

_BY_PHASE = {
    "voltage": _VOLTS,
    "intensity": _AMPERES,
    "activePower": _KILOWATTS,
    "reactivePower": _KILOVARS,
    "powerFactor": _SIGNED_SHARE,
    "thdrVoltage": SHARE,
    "thdrIntensity": SHARE,
}

TARGETS: Mapping[str, Mapping[str, Target]] = {
    "Streetlight": {
        "illuminanceLevel": SHARE,
        "powerConsumption": Target("WTT"),
        "lifetimePowerConsumption": Target("KWH"),
        "powerRating": Target("WTT"),
        "powerFactor": Target("C62"),
        "voltage": Target("VLT"),
        "current": Target("AMP"),
    },
    "StreetlightControlCabinet": {
        **{f"{name}{phase}": each for name, each in _BY_PHASE.items() for phase in "RST"},
        "cosPhi": _SIGNED_SHARE,
        "energyConsumed": Target("KWH", 0),
        "frequency": Target("HTZ", 0),
        "lastMeterReading": Target("KWH", 0),
        "maximumPowerAvailable": _KILOWATTS,
        "reactiveEnergyConsumed": Target("K3", 0),
        "totalActivePower": _KILOWATTS,
        "totalReactivePower": _KILOVARS,
    },
    "WaterConsumptionObserved": {
        "waterConsumption": Target("MTQ", whole=True),
        "maxFlow": Target("E32", whole=True),
        "minFlow": Target("E32", whole=True),
    },
    "AirQualityObserved": {
        "co": _GAS,
        "co2": Target("59", 0, others=("61", "GQ")),
        "no": _GAS,
        "no2": _GAS,
        "nox": _GAS,
        "o3": _GAS,
        "pm1": _DUST,
        "pm10": _DUST,
        "pm25": _DUST,
        "pm4": _DUST,
        "pressure": Target("A97", 0),
        "relativeHumidity": SHARE,
        "so2": _GAS,
        "temperature": Target("CEL"),
        "windSpeed": Target("MTS", 0),
    },
    "Device": {"batteryLevel": SHARE},
}

# (ours, theirs): multiplier and divisor. Exact by SI; of a share and its percent by definition.
_CONVERSIONS: Mapping[tuple[str, str], tuple[int, int]] = {
    ("2Z", "VLT"): (1, 1_000),
    ("4K", "AMP"): (1, 1_000),
    ("BAR", "A97"): (1_000, 1),
    ("D44", "KVR"): (1, 1_000),
    ("JOU", "KWH"): (1, 3_600_000),
    ("KPA", "A97"): (10, 1),
    ("KWT", "WTT"): (1_000, 1),
    ("L2", "E32"): (60, 1),
    ("LTR", "MTQ"): (1, 1_000),
    ("MQH", "E32"): (1_000, 1),
    ("P1", "C62"): (1, 100),
    ("PAL", "A97"): (1, 100),
    ("WHR", "KWH"): (1, 1_000),
    ("WTT", "KWT"): (1, 1_000),
}


class Rule(NamedTuple):
    """How one of our values becomes an attribute; without `target` it keeps unit and value."""

    attribute: str
    code: str
    multiplier: int = 1
    divisor: int = 1
    target: Target | None = None


def code_of(name: str) -> str:
    """The unit that a value's name ends in, "" for one without."""
    return UNIT_CODES.get(ending(name), "")


def base(name: str) -> str:
    """A value's name without its unit: "power" of "power_w"."""
    head, _, last = name.rpartition("_")
    return head if last in UNIT_CODES else name


def rule(type_name: str, attribute: str, code: str) -> Rule | None:
    """From a value in `code` to an attribute of that type; None where nothing leads there."""
    target = TARGETS.get(type_name, {}).get(attribute)
    if target is None:
        return None
    if code == target.code or code in target.others:
        return Rule(attribute, code, target=target)
    if (code, target.code) in _CONVERSIONS:
        return Rule(attribute, target.code, *_CONVERSIONS[code, target.code], target=target)
    return None


def converted(rule: Rule, value: Value) -> tuple[int | float, bool] | None:
    """`value` by `rule`, and whether its schema's limits clipped it.

    None where it is no number that each reader of JSON takes for the same.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None  # and what is null in the log: it was infinite
    if not -EXACT <= value <= EXACT:
        return None
    number: int | float = value
    target = rule.target
    if rule.multiplier != rule.divisor:
        exact = value * rule.multiplier
        is_whole = target is not None and target.whole
        number = exact // rule.divisor if is_whole else round(exact / rule.divisor, _DIGITS)
    if target is None:
        return number, False
    if target.whole:
        number = math.floor(number)
    if target.low is not None and number < target.low:
        return target.low, True
    if target.high is not None and number > target.high:
        return target.high, True
    return number, False
