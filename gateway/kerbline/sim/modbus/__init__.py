"""A simulated Modbus bus: devices of a profile behind pymodbus's server, on a line with faults."""

from __future__ import annotations

from pymodbus.simulator import SimDevice

from kerbline.clock import Clock
from kerbline.sim.modbus import devices
from kerbline.sim.modbus.cabinet import (
    DAY_MS,
    DOOR_OPEN,
    ENERGY_KWH,
    LAMP_W,
    LAMPS,
    POWER_W,
    REGISTERS,
    VOLTAGE_V,
    Cabinet,
)
from kerbline.sim.modbus.ends import over_rtu, over_tcp
from kerbline.sim.modbus.faults import Fault, Orders, Schedule, Unplug
from kerbline.sim.modbus.line_time import Speed
from kerbline.sim.modbus.wire import Tally, Trouble

__all__ = [
    "DAY_MS",
    "DOOR_OPEN",
    "ENERGY_KWH",
    "LAMPS",
    "LAMP_W",
    "POWER_W",
    "VOLTAGE_V",
    "Cabinet",
    "Fault",
    "Orders",
    "Schedule",
    "Speed",
    "Tally",
    "Trouble",
    "Unplug",
    "device",
    "over_rtu",
    "over_tcp",
]


def device(unit: int, clock: Clock, cabinet: Cabinet) -> SimDevice:
    """The cabinet's meter as a unit of a bus."""
    return devices.device(unit, REGISTERS, clock, cabinet.value)
