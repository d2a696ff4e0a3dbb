"""Which devices serve which assets, by the config: what a swap changes, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerbline.config import Config, ModbusDevice

LINES = frozenset(["modbus", "serial"])  # kinds of devices that are no nodes
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Device:
    """One device: `id` is the node's, "bus:unit" of a Modbus device, a serial device's name.

    `attributes` and `codes`: by the value's name, what its profile or the config says of the
    data model's attribute and of the unit, where the name does not tell it.
    """

    id: str
    kind: str  # "streetlight", "water_meter", "air_quality", "modbus" or "serial"
    assets: tuple[str, ...]
    attributes: Mapping[str, str] = field(default_factory=lambda: _NONE)
    codes: Mapping[str, str] = field(default_factory=lambda: _NONE)
    names: tuple[str, ...] = ()  # of a Modbus device's values


def devices(config: Config) -> tuple[Device, ...]:
    """Every device of a config, its profiles resolved."""
    nodes = [Device(node.id, node.kind, (node.asset,)) for node in config.nodes]
    units = [_unit(bus.name, unit) for bus in config.buses for unit in bus.devices]
    serials = [
        Device(each.name, "serial", tuple(dict.fromkeys((each.asset, *each.assets.values()))))
        for each in config.serials
    ]
    return (*nodes, *units, *serials)


def _unit(bus: str, unit: ModbusDevice) -> Device:
    named = {each.name: each.attribute for each in unit.registers if each.attribute}
    coded = {each.name: each.unit for each in unit.registers if each.unit}
    names = tuple(each.name for each in unit.registers)
    return Device(f"{bus}:{unit.unit}", "modbus", (unit.asset,), named, coded, names)
