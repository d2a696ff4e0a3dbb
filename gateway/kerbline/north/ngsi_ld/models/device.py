"""Device: a node, unit or telegram's sender, apart from the asset that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kerbline.model import NodeState, Reading
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.measured import bits, flags

TYPE = "Device"

ONLINE, OFFLINE = "online", "offline"
LOW_BATTERY = 4  # of a water meter's `alarms`

# By kind of device: what it is and what it looks after, in the words of the schema.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "streetlight": ("actuator", "sensor"),
    "water_meter": ("meter",),
    "air_quality": ("sensor",),
    "modbus": ("meter",),
    "serial": ("meter",),
}
CONTROLLED: Mapping[str, tuple[str, ...]] = {
    "streetlight": ("light", "power", "energy", "motion"),
    "water_meter": ("waterConsumption", "waterFlow"),
    "air_quality": ("airPollution", "temperature", "humidity", "atmosphericPressure"),
    "modbus": ("electricityConsumption", "energy", "power"),
    "serial": ("energy",),
}

# The voltage of a lithium thionyl chloride cell under load, and what it says of what is left: it
# stays near the first until the end comes, so this tells a full cell from one that ends.
FULL_MV, LOW_MV, EMPTY_MV = 3_600, 3_100, 2_000
LOW_LEVEL = 0.1
ESTIMATED = "estimated"


def state(state: NodeState, city: City) -> tuple[Change, ...]:
    """Whether a node is there, and what runs on it."""
    at_ms = state.since_ms
    found = {"deviceState": Attribute(ONLINE if state.online else OFFLINE, at_ms)}
    if state.firmware:
        found["firmwareVersion"] = Attribute(state.firmware, at_ms)
    if state.build:
        found["softwareVersion"] = Attribute(state.build, at_ms)
    if state.board:
        found["hardwareVersion"] = Attribute(state.board, at_ms)
    found.update(_required(state.kind))
    return (Change(city.urn(TYPE, state.node), TYPE, found),)


def battery(reading: Reading, city: City) -> Iterator[Change]:
    """What a meter's cell still holds, if it was measured."""
    voltage = reading.values.get("battery_mv")
    if reading.kind != "water_meter" or not isinstance(voltage, int) or voltage <= 0:
        return
    is_low = bool(bits(reading, "water_meter", "alarms") & LOW_BATTERY)
    quality = (*flags(reading), ESTIMATED)
    level = Attribute(battery_level(voltage, is_low), reading.observed_at_ms, "C62", quality)
    found = {"batteryLevel": level, **_required(reading.kind)}
    yield Change(city.urn(TYPE, reading.key.source), TYPE, found)


def battery_level(voltage_mv: int, is_low: bool) -> float:  # noqa: FBT001 - says what it is
    """A share of 0 to 1 by voltage, on two straight lines; of a low cell 0.1 at most."""
    if voltage_mv >= LOW_MV:
        rise = (voltage_mv - LOW_MV) / (FULL_MV - LOW_MV)
        level = LOW_LEVEL + (1 - LOW_LEVEL) * min(rise, 1.0)
    else:
        level = LOW_LEVEL * max(voltage_mv - EMPTY_MV, 0) / (LOW_MV - EMPTY_MV)
    return round(min(level, LOW_LEVEL) if is_low else level, 3)


def standing(city: City, *, personal: bool) -> Iterator[Change]:
    """Every device of the config, and the assets that it serves."""
    for each in city.devices:
        assets = [city.place(asset) for asset in each.assets]
        if not personal:
            assets = [one for one in assets if not city.registry.personal(one.asset.id)]
            if not assets:
                continue
        found = {
            "controlledAsset": Attribute([one.id for one in assets], kind=RELATIONSHIP),
            "category": Attribute(list(CATEGORIES[each.kind])),
            **_required(each.kind),
        }
        if len(assets) == 1:
            found.update(assets[0].location)
        yield Change(city.urn(TYPE, each.id), TYPE, found)


def _required(kind: str) -> Mapping[str, Attribute]:
    found = _REQUIRED.get(kind)
    return _REQUIRED["serial"] if found is None else found


_REQUIRED = {
    kind: {"controlledProperty": Attribute(list(some))} for kind, some in CONTROLLED.items()
}
