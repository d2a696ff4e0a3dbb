"""The config of a gateway: a typed TOML file, and every fault in it at once."""

from __future__ import annotations

from pathlib import Path

from kerbline.config import crossings, document
from kerbline.config.faults import ConfigFault, Fault
from kerbline.config.sections import (
    Config,
    Dimming,
    File,
    Gateway,
    Leak,
    ModbusBus,
    ModbusDevice,
    Mqtt,
    Node,
    Register,
    Simulation,
    Store,
    Tls,
    Udp,
)

__all__ = [
    "Config",
    "ConfigFault",
    "Dimming",
    "Fault",
    "File",
    "Gateway",
    "Leak",
    "ModbusBus",
    "ModbusDevice",
    "Mqtt",
    "Node",
    "Register",
    "Simulation",
    "Store",
    "Tls",
    "Udp",
    "load",
]


def load(path: Path) -> Config:
    """Read and check a whole config file; raises ConfigFault with every fault in it."""
    reader, table = document.opened(path)
    config = reader.section(Config, table)
    crossings.check(reader)
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(config, Config)
    return config
