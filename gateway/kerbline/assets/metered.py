"""Of what device each asset of a config is, and which of these devices may be a home's meters."""

from __future__ import annotations

from kerbline.assets.asset import MODBUS, MODBUS_METER, SERIAL, SERIAL_METER
from kerbline.config import Config, ModbusDevice
from kerbline.config.unit_codes import UNIT_CODES
from kerbline.config.units import ending

# Codes of UN/CEFACT Recommendation 20: litres, cubic metres, and these by the minute or hour.
VOLUMES = frozenset(["LTR", "MTQ", "L2", "E32", "MQH"])
# On a Modbus line electricity is a lighting cabinet's; a port of a meter's own may be a home's.
CONSUMED = VOLUMES | {"WHR", "KWH", "JOU"}


def kinds(config: Config) -> dict[str, str]:
    """A node's kind, or a key of IMPLIED for Modbus and serial devices, by asset."""
    found = {node.asset: node.kind for node in config.nodes}
    for bus in config.buses:
        found |= {each.asset: MODBUS_METER if _of_water(each) else MODBUS for each in bus.devices}
    for device in config.serials:
        found |= dict.fromkeys((device.asset, *device.assets.values()), SERIAL)
    return found | dict.fromkeys(_of_serial_meters(config), SERIAL_METER)


def _of_water(device: ModbusDevice) -> bool:
    codes = (each.unit or UNIT_CODES.get(ending(each.name)) for each in device.registers)
    return any(code in VOLUMES for code in codes)


def _of_serial_meters(config: Config) -> set[str]:
    if not config.serials:
        return set()
    from kerbline.config import serial_profile  # only a config with such a device needs it

    told = (each for device in config.serials for each in serial_profile.values(device))
    return {asset for asset, name in told if UNIT_CODES.get(ending(name)) in CONSUMED}
