"""All that measures and is no node of ours: Modbus buses, shared or not, and serial devices.

Only what the config names is imported.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerbline.agent.actuators import Bridged
from kerbline.clock import Clock
from kerbline.config import Config, ModbusBus, ModbusDevice
from kerbline.counters import Counters

if TYPE_CHECKING:
    from kerbline.south.modbus.bus import Bus
    from kerbline.south.modbus.share import Share
    from kerbline.south.serial.device import Device


BRIDGED = "modbus"  # the kind of an asset that is a Modbus device
READ_ONLY = "modbus device without writable registers"
SERIAL = "serial device"


@dataclass(frozen=True, slots=True)
class Devices:
    """Each source runs and gives what it measured; each share runs beside its bus."""

    buses: Mapping[str, Bus]  # by name
    actuators: Mapping[str, Bridged]  # by asset: whoever has a register to write to
    serials: tuple[Device, ...]
    shares: tuple[Share, ...]

    @property
    def sources(self) -> tuple[Bus | Device, ...]:
        """Whatever gives values."""
        return (*self.buses.values(), *self.serials)

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """What is to run until cancelled, each in a task of its own."""
        return [each.run() for each in (*self.sources, *self.shares)]


def kinds(config: Config) -> dict[str, str]:
    """What each asset is, for whoever judges a command to it; a node's kind is its own."""
    devices = [device for bus in config.buses for device in bus.devices]
    found: dict[str, str] = {}
    for each in config.serials:
        found |= dict.fromkeys((each.asset, *each.assets.values()), SERIAL)
    found |= {device.asset: READ_ONLY for device in devices}
    found |= {node.asset: node.kind for node in config.nodes}
    return found | {device.asset: BRIDGED for device in devices if _writable(device)}


def made(config: Config, clock: Clock, counters: Counters) -> Devices:
    """The devices of `config`, nothing opened yet."""
    buses: dict[str, Bus] = {}
    shares: list[Share] = []
    actuators: dict[str, Bridged] = {}
    for section in config.buses:
        bus, share = _bus(section, clock, counters)
        buses[section.name] = bus
        actuators.update(_actuators(section, bus))
        if share is not None:
            shares.append(share)
    return Devices(buses, actuators, tuple(_serials(config, clock, counters)), tuple(shares))


def _bus(config: ModbusBus, clock: Clock, counters: Counters) -> tuple[Bus, Share | None]:
    from kerbline.south.modbus.bus import Bus

    if config.share is None:
        return Bus(config, clock, counters), None
    from kerbline.south.modbus.cache import Cache
    from kerbline.south.modbus.share import Share

    cache = Cache(config.share.max_age_s)
    bus = Bus(config, clock, counters, cache=cache)
    at_once = config.pipeline if config.framer == "tcp" else 1
    return bus, Share(config.name, config.share, bus, cache, counters, at_once)


def _actuators(config: ModbusBus, bus: Bus) -> dict[str, Bridged]:
    from kerbline.south.modbus.write import Writer

    return {
        device.asset: Bridged(device.unit, bus, Writer(device, bus))
        for device in config.devices
        if _writable(device)
    }


def _writable(device: ModbusDevice) -> bool:
    return any(register.writable for register in device.registers)


def _serials(config: Config, clock: Clock, counters: Counters) -> list[Device]:
    if not config.serials:
        return []
    from kerbline.config import serial_profile
    from kerbline.south.serial.device import Device

    return [
        Device(each, serial_profile.load(Path(each.profile)), clock, counters)
        for each in config.serials
    ]
