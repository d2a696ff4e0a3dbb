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

_DIGITS = 9  # behind the point, after a conversion: finer than anybody measures


class Target(NamedTuple):
    """An attribute's unit, and the least and largest value that its schema takes."""

    code: str
    low: float | None = None
    high: float | None = None
    whole: bool = False  # whole units alone: what is not full yet does not count


SHARE = Target("C62", 0, 1)

TARGETS: Mapping[str, Mapping[str, Target]] = {
    "Streetlight": {
        "illuminanceLevel": SHARE,
        "powerConsumption": Target("WTT"),
        "lifetimePowerConsumption": Target("KWH"),
    },
}

# (ours, theirs): the divisor. Exact by SI; of a share and its percent by definition.
_DIVISORS: Mapping[tuple[str, str], int] = {
    ("P1", "C62"): 100,
    ("WTT", "KWT"): 1_000,
    ("WHR", "KWH"): 1_000,
    ("LTR", "MTQ"): 1_000,
}


def code_of(name: str) -> str:
    """The unit that a value's name ends in, "" for one without."""
    return UNIT_CODES.get(ending(name), "")


def converted(value: Value, code: str, target: Target) -> tuple[int | float, bool] | None:
    """`value`, which is in `code`, as `target` wants it, and whether it had to be clipped.

    None where it is no number, or where nothing leads from the one unit to the other.
    """
    if isinstance(value, (str, bool, tuple)) or not math.isfinite(value):
        return None
    number: int | float = value
    if code != target.code:
        divisor = _DIVISORS.get((code, target.code))
        if divisor is None:
            return None
        number = value // divisor if target.whole else round(value / divisor, _DIGITS)
    if target.whole:
        number = math.floor(number)
    if target.low is not None and number < target.low:
        return type(number)(target.low), True
    if target.high is not None and number > target.high:
        return type(number)(target.high), True
    return number, False
