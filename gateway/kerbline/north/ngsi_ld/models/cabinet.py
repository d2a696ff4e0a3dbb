"""StreetlightControlCabinet: a lighting cabinet by the meter in it."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.model import Reading
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City, Place
from kerbline.north.ngsi_ld.models import group
from kerbline.north.ngsi_ld.models.measured import chooser, fill, flags

TYPE = "StreetlightControlCabinet"

_PHASES = {"l1": "R", "l2": "S", "l3": "T"}
NAMES: Mapping[str, str] = {
    "energy": "energyConsumed",
    "energy_import": "energyConsumed",
    "import": "energyConsumed",
    "frequency": "frequency",
    "power": "totalActivePower",
    "power_import": "totalActivePower",
    "power_factor": "cosPhi",
    "reactive_energy_import": "reactiveEnergyConsumed",
    "reactive_power": "totalReactivePower",
    **{f"current_{ours}": f"intensity{phase}" for ours, phase in _PHASES.items()},
    **{f"current_thd_{ours}": f"thdrIntensity{phase}" for ours, phase in _PHASES.items()},
    **{f"power_{ours}": f"activePower{phase}" for ours, phase in _PHASES.items()},
    **{f"power_factor_{ours}": f"powerFactor{phase}" for ours, phase in _PHASES.items()},
    **{f"reactive_power_{ours}": f"reactivePower{phase}" for ours, phase in _PHASES.items()},
    **{f"voltage_{ours}": f"voltage{phase}" for ours, phase in _PHASES.items()},
    **{f"voltage_thd_{ours}": f"thdrVoltage{phase}" for ours, phase in _PHASES.items()},
}
choose = chooser(TYPE, NAMES)

WORKING_MODE = "semiautomatic"  # the lamps decide by themselves, and orders are taken


def reading(reading: Reading, city: City) -> tuple[Change, ...]:
    """A poll of the meter, or what moved in it."""
    place = city.place(reading.asset, reading.kind)
    found: dict[str, Attribute] = {}
    fill(found, place.plan, reading.values, reading.observed_at_ms, flags(reading))
    if not found:
        return ()
    return (Change(place.id, TYPE, {**found, **required(place, city)}),)


def required(place: Place, city: City) -> Mapping[str, Attribute]:
    """What the schema asks of every cabinet."""
    if place.extra is None:
        groups = [city.urn(group.TYPE, name) for name in group.names(city, place.asset)]
        place.extra = {
            **place.location,
            "refStreetlightGroup": Attribute(groups, kind=RELATIONSHIP),
            "workingMode": Attribute(WORKING_MODE),
        }
    return place.extra
