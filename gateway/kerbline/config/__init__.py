"""The config of a gateway: a typed TOML file, and every fault in it at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kerbline.config import crossings, document
from kerbline.config.faults import ConfigFault, Fault
from kerbline.config.modbus import ModbusBus, ModbusDevice, Register
from kerbline.config.reader import Reader
from kerbline.config.sections import (
    Config,
    Dimming,
    File,
    Gateway,
    Leak,
    Mqtt,
    Node,
    Simulation,
    Store,
    Tls,
    Udp,
)
from kerbline.config.serial import SerialDevice

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
    "SerialDevice",
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
    assert isinstance(config, Config)
    config = _with_profiles(reader, config, path.absolute().parent)
    if reader.faults:
        raise ConfigFault(reader.faults)
    return config


def _with_profiles(reader: Reader, config: Config, folder: Path) -> Config:
    """Serial devices with the paths of their profiles, each profile looked through."""
    if reader.faults or not config.serials:
        return config
    from kerbline.config import serial_profile  # only a config with such a device needs it

    serials = tuple(
        serial_profile.resolve(reader, device, ("serial", number), folder)
        for number, device in enumerate(config.serials)
    )
    return replace(config, serials=serials)
