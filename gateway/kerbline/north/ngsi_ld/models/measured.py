"""Measured values as attributes: which of ours is which, in its unit, with its flags."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.model import Reading, Value
from kerbline.north.ngsi_ld.change import UNCERTAINTY, Attribute
from kerbline.north.ngsi_ld.city import Choose, Plan
from kerbline.north.ngsi_ld.devices import Device
from kerbline.north.ngsi_ld.units import CLIPPED, Rule, base, code_of, converted, rule

SURE_MS = 1_000  # nodes date by the second: a doubt up to that is no news


def flags(reading: Reading) -> tuple[str, ...]:
    """The quality of all its values, the doubt of its time among it."""
    if reading.uncertainty_ms <= SURE_MS:
        return reading.quality
    return (*reading.quality, f"{UNCERTAINTY}{reading.uncertainty_ms}")


def bits(reading: Reading, kind: str, name: str) -> int:
    """The bit mask `name` of a node of that kind; 0 where another device tells the same name."""
    value = reading.values.get(name, 0)
    return value if reading.kind == kind and isinstance(value, int) else 0


def chooser(type_name: str, names: Mapping[str, str]) -> Choose:
    """Rules for entities of a type: what a profile says goes before what our names say.

    `names` has the attribute by the value's name without its unit.
    """

    def choose(device: Device | None, name: str) -> Rule | None:
        said = device.attributes if device is not None else {}
        attribute = said.get(name)
        if attribute is None:
            attribute = names.get(base(name))
            if attribute is None or attribute in said.values():
                return None
        return rule(type_name, attribute, code(device, name))

    return choose


def code(device: Device | None, name: str) -> str:
    """The unit of a device's value, "" where it has none."""
    said = device.codes.get(name) if device is not None else None
    return code_of(name) if said is None else said


def fill(
    found: dict[str, Attribute],
    plan: Plan,
    values: Mapping[str, Value],
    at_ms: int,
    quality: tuple[str, ...],
) -> None:
    """Put into `found` what `plan` has an attribute for; what is no number is left out."""
    for name, value in values.items():
        chosen = plan[name]
        if chosen is None:
            continue
        result = converted(chosen, value)
        if result is None:
            continue
        number, clipped = result
        doubts = (*quality, CLIPPED) if clipped else quality
        found[chosen.attribute] = Attribute(number, at_ms, chosen.code, doubts)


def doubt(found: dict[str, Attribute], attribute: str, flag: str) -> None:
    """Add a flag to an attribute, if it is there."""
    known = found.get(attribute)
    if known is not None:
        found[attribute] = known._replace(quality=(*known.quality, flag))
