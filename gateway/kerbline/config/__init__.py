"""The config of a gateway: a typed TOML file, and every fault in it at once.

What is asked for here is loaded then: many need the reader or a rule alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerbline.config.air import Air as Air
    from kerbline.config.city_orders import Commands as Commands
    from kerbline.config.district import District as District
    from kerbline.config.district import Pipes as Pipes
    from kerbline.config.district import Planned as Planned
    from kerbline.config.district import Valve as Valve
    from kerbline.config.faults import ConfigFault as ConfigFault
    from kerbline.config.faults import Fault as Fault
    from kerbline.config.iota import Iota as Iota
    from kerbline.config.modbus import ModbusBus as ModbusBus
    from kerbline.config.modbus import ModbusDevice as ModbusDevice
    from kerbline.config.modbus import Register as Register
    from kerbline.config.ngsi_ld import NgsiLd as NgsiLd
    from kerbline.config.sections import City as City
    from kerbline.config.sections import Config as Config
    from kerbline.config.sections import Dimming as Dimming
    from kerbline.config.sections import File as File
    from kerbline.config.sections import Gateway as Gateway
    from kerbline.config.sections import Leak as Leak
    from kerbline.config.sections import Mqtt as Mqtt
    from kerbline.config.sections import Node as Node
    from kerbline.config.sections import Simulation as Simulation
    from kerbline.config.sections import Store as Store
    from kerbline.config.sections import Udp as Udp
    from kerbline.config.serial import SerialDevice as SerialDevice
    from kerbline.config.tls import Tls as Tls
    from kerbline.config.whole import doubts as doubts
    from kerbline.config.whole import load as load
    from kerbline.config.whole import paths as paths

_NAMES = {
    "air": ("Air",),
    "city_orders": ("Commands",),
    "district": (
        "District",
        "Pipes",
        "Planned",
        "Valve",
    ),
    "faults": (
        "ConfigFault",
        "Fault",
    ),
    "iota": ("Iota",),
    "modbus": (
        "ModbusBus",
        "ModbusDevice",
        "Register",
    ),
    "ngsi_ld": ("NgsiLd",),
    "sections": (
        "City",
        "Config",
        "Dimming",
        "File",
        "Gateway",
        "Leak",
        "Mqtt",
        "Node",
        "Simulation",
        "Store",
        "Udp",
    ),
    "serial": ("SerialDevice",),
    "tls": ("Tls",),
    "whole": (
        "doubts",
        "load",
        "paths",
    ),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
