"""From what changed at an entity to measures of its device, as IoT Agent JSON takes them. Pure.

A measure is one flat object: the attributes by their names in the data model, in its units, and
`TimeInstant`, when they were observed (ISO 8601, milliseconds, UTC). What stands rides in the
device's provisioning, units as its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kerbline.assets import Registry
from kerbline.north.iota.names import device_id
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import Attribute, Change

INSTANT = "TimeInstant"
QUALITY = "quality"  # ours: what is to be minded, "good" for nothing
GOOD = "good"
# What runs on a device is dated by when it was heard first: none of it is known before.
HEARD = ("deviceState", "firmwareVersion", "hardwareVersion", "softwareVersion")
# Orion refuses a text with any of these, and with it the whole update.
_PLAIN = str.maketrans(dict.fromkeys("<>\"'=;()", "_"))


class Measure(NamedTuple):
    """What a device measured at a time; `at_ms` None: the agent is to date it."""

    device: str
    at_ms: int | None
    attributes: Mapping[str, object]


def measures(change: Change, registry: Registry) -> Iterator[Measure]:
    """The measures that a change is, one a time of observation."""
    device = device_of(change, registry)
    found: dict[int, dict[str, Attribute]] = {}
    for name, attribute in change.attributes.items():
        if attribute.observed_at_ms is not None:
            found.setdefault(attribute.observed_at_ms, {})[name] = attribute
    for at_ms, attributes in found.items():
        yield Measure(device, at_ms, _valued(attributes))


def heard(change: Change, registry: Registry) -> Measure:
    """A device's state: dated, unless nobody has heard of the device since the start."""
    told = {name: change.attributes[name] for name in HEARD if name in change.attributes}
    return Measure(device_of(change, registry), told[HEARD[0]].observed_at_ms, _valued(told))


def body(measure: Measure) -> dict[str, object]:
    """As it goes over the wire."""
    if measure.at_ms is None:
        return dict(measure.attributes)
    return {**measure.attributes, INSTANT: rfc3339(measure.at_ms)}


def device_of(change: Change, registry: Registry) -> str:
    """Whose measures those of an entity are."""
    return device_id(change.type, change.id.removeprefix(registry.urn(change.type, "")))


def plain(text: str) -> str:
    """A text without what Orion refuses."""
    return text.translate(_PLAIN)


def _valued(attributes: Mapping[str, Attribute]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, attribute in attributes.items():
        value = attribute.value
        found[name] = plain(value) if isinstance(value, str) else value
    found[QUALITY] = _quality(attributes)
    return found


def _quality(attributes: Mapping[str, Attribute]) -> str:
    """Flags of all values as they are, those of some behind the attribute's name."""
    sets = [frozenset(each.quality) for each in attributes.values()]
    common = frozenset.intersection(*sets)
    flags = sorted(common)
    for name, attribute in attributes.items():
        flags += [f"{name}:{flag}" for flag in attribute.quality if flag not in common]
    return plain(" ".join(flags)) or GOOD
