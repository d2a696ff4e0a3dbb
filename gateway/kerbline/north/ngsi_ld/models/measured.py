"""One measured value as an attribute: its unit, its limits and its flags."""

from __future__ import annotations

from kerbline.model import Reading, Value
from kerbline.north.ngsi_ld.change import Attribute
from kerbline.north.ngsi_ld.units import CLIPPED, TARGETS, code_of, converted

SURE_MS = 1_000  # nodes date by the second: a doubt up to that is no news


def flags(reading: Reading) -> tuple[str, ...]:
    """The quality of all its values, the doubt of its time among it."""
    if reading.uncertainty_ms <= SURE_MS:
        return reading.quality
    return (*reading.quality, f"uncertainty_ms:{reading.uncertainty_ms}")


def measured(
    found: dict[str, Attribute],
    type_name: str,
    attribute: str,
    name: str,
    value: Value,
    at_ms: int,
    quality: tuple[str, ...],
) -> None:
    """Put our value `name` into `found` in its unit; what is no number is left out."""
    target = TARGETS[type_name][attribute]
    result = converted(value, code_of(name), target)
    if result is None:
        return
    number, clipped = result
    if clipped:
        quality = (*quality, CLIPPED)
    found[attribute] = Attribute(number, at_ms, target.code, quality)
