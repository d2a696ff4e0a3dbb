"""What an agent has to know beforehand: a group, and a device for each entity of ours. Pure.

It is found by asking the mapping itself: of each device of the config a made-up entry of each
kind that it can give becomes what it would become, of which the values are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kerbline.assets import Registry
from kerbline.assets.asset import MEASUREMENT, STREETLIGHT, WATER
from kerbline.config import Config, light_rules
from kerbline.control import leaks, zone_water
from kerbline.control.air import configured as air
from kerbline.control.air.report import HOUR_KIND
from kerbline.control.endings import CLEAR, Over
from kerbline.control.leak import RULE as LEAK
from kerbline.model import Alarm, Entry, Key, NodeState, Reading, Severity, Value
from kerbline.north.iota.measures import QUALITY, device_of, plain
from kerbline.north.iota.names import device_id
from kerbline.north.ngsi_ld import models
from kerbline.north.ngsi_ld.change import GEO, RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.devices import LINES, Device
from kerbline.north.ngsi_ld.models import device, kpi
from kerbline.operations import OPERATIONS
from kerbwire.schema import by_name

RESOURCE = "/iot/json"  # the agent's own, unless its config says otherwise
TRANSPORT = "MQTT"
TIME_ZONE = "Etc/UTC"
WITHHELD = "API-KEY-WITHHELD"
AT_MS = 1_000  # of what is made up

_NODE_EVENTS = ("brown_out", "safe_mode", "service_access", "settings_restored")
EVENTS: Mapping[str, tuple[str, ...]] = {
    "streetlight": ("day_burner", "lamp_cycling", "lamp_failure", "sensor_fault", *_NODE_EVENTS),
    "water_meter": (
        "backflow",
        "battery_low",
        "burst",
        "continuous_flow",
        "tamper",
        *_NODE_EVENTS,
    ),
    "air_quality": ("fan_failure", "sensor_fault", "sensor_stuck", *_NODE_EVENTS),
}
GATEWAY_ALARMS = ("assets_lost", "store_lost")
_LAMPS = ("lamp_availability_pct", "group_completeness_pct")  # figures of a group, and of a zone
_ZONE = ("zone_completeness_pct",)
_CLEAR = {"status": 0, "alarms": 0}  # bit masks; everything else is 1
_DATES = ("date", "valid")  # how the names of dates begin in the data models

Telegrams = Mapping[str, Sequence[str]]  # by asset, the values of serial devices' profiles
Body = dict[str, object]


@dataclass(slots=True)
class Entity:
    """What will be told of one entity."""

    change: Change
    told: dict[str, Attribute] = field(default_factory=dict)
    standing: dict[str, Attribute] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    def add(self, change: Change) -> None:
        """Take what one change says."""
        for name, attribute in change.attributes.items():
            known = self.standing if attribute.observed_at_ms is None else self.told
            known.setdefault(name, attribute)


def entities(config: Config, city: City, telegrams: Telegrams, *, everything: bool) -> list[Entity]:
    """All that a gateway tells an agent of, by device; personal ones with `everything` alone."""
    found: dict[str, Entity] = {}

    def add(change: Change) -> None:
        name = device_of(change, city.registry)
        found.setdefault(name, Entity(change)).add(change)

    for what in _entries(config, city, telegrams):
        if everything or not _personal(what, city.registry):
            for change in models.changes(what, city):
                add(change)
    add(_gateway(config.gateway.id, city))
    for change in models.standing(city, personal=everything):
        name = device_of(change, city.registry)
        if name in found:  # else nothing is ever told of it, as of a group
            found[name].add(change)
    for name, (_, words) in commanded(config, city, everything=everything).items():
        if name in found:
            found[name].commands = words
    return list(found.values())


def commanded(
    config: Config, city: City, *, everything: bool
) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """By device: the asset that takes its commands, and which.

    An asset that is no entity itself takes them as its device does.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    nodes = [each for each in city.devices if each.kind not in LINES]  # with those that joined
    kinds = {asset: each.kind for each in nodes for asset in each.assets}
    for bus in config.buses:
        for unit in bus.devices:
            if any(each.writable is not None for each in unit.registers):
                kinds[unit.asset] = "modbus"
    for asset, kind in kinds.items():
        if city.registry.personal(asset) and not everything:
            continue
        words = tuple([word for word, operation in OPERATIONS.items() if kind in operation.kinds])
        found[_commanded(city, asset)] = (asset, words)
    return found


def services(api_key: str) -> Body:
    """The body of POST /iot/services: one group, in which only what is provisioned is taken."""
    group = {
        "apikey": api_key,
        "resource": RESOURCE,
        "entity_type": device.TYPE,
        "transport": TRANSPORT,
        "timestamp": True,
        "autoprovision": False,
        "attributes": [],
        "lazy": [],
        "commands": [],
        "static_attributes": [],
    }
    return {"services": [group]}


def devices(found: Iterable[Entity], registry: Registry, api_key: str) -> Body:
    """The body of POST /iot/devices."""
    return {"devices": [_device(each, registry, api_key) for each in found]}


def _device(entity: Entity, registry: Registry, api_key: str) -> Body:
    standing = {name: each for name, each in entity.standing.items() if name not in entity.told}
    return {
        "device_id": device_of(entity.change, registry),
        "entity_name": entity.change.id,
        "entity_type": entity.change.type,
        "apikey": api_key,
        "transport": TRANSPORT,
        "timezone": TIME_ZONE,
        "attributes": [_attribute(name, each) for name, each in entity.told.items()]
        + [{"object_id": QUALITY, "name": QUALITY, "type": "Text"}],
        "lazy": [],
        "commands": [{"name": w, "type": "command"} for w in entity.commands],
        "static_attributes": [
            {"name": name, "type": _type(name, each), "value": _static(each.value)}
            for name, each in standing.items()
        ],
    }


def _attribute(name: str, attribute: Attribute) -> Body:
    found: Body = {"object_id": name, "name": name, "type": _type(name, attribute)}
    if attribute.unit_code:
        found["metadata"] = {"unitCode": {"type": "Text", "value": attribute.unit_code}}
    return found


def _type(name: str, attribute: Attribute) -> str:
    """In the words that an agent has for NGSI-v2 and NGSI-LD alike."""
    if attribute.kind == RELATIONSHIP:
        return "Relationship"
    if attribute.kind == GEO:
        return "geo:json"
    if isinstance(attribute.value, bool):
        return "Boolean"
    if isinstance(attribute.value, int | float):
        return "Number"
    if not isinstance(attribute.value, str):
        return "Property"  # for NGSI-LD as it is; any other word would be wrapped around it
    return "DateTime" if name.startswith(_DATES) else "Text"


def _static(value: object) -> object:
    """A value without what Orion refuses in any text."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_static(each) for each in value]
    if isinstance(value, dict):
        return {key: _static(each) for key, each in value.items()}
    return value


def _commanded(city: City, asset: str) -> str:
    place = city.place(asset)
    if place.asset.type != MEASUREMENT or place.device is None:
        return device_id(place.asset.type, place.asset.id)
    return device_id(device.TYPE, place.device.id)


def _personal(what: Entry | NodeState, registry: Registry) -> bool:
    assert isinstance(what, Reading | Alarm | NodeState)
    return registry.personal(what.asset, "" if isinstance(what, Alarm) else what.kind)


def _gateway(gateway: str, city: City) -> Change:
    state = Attribute(device.ONLINE, AT_MS)
    return Change(city.urn(device.TYPE, gateway), device.TYPE, {"deviceState": state})


def _entries(config: Config, city: City, telegrams: Telegrams) -> Iterator[Entry | NodeState]:
    """One of everything that this gateway can come to know."""
    for each in city.devices:
        for asset in each.assets:
            names = _names(each, telegrams.get(asset, ()))
            yield _reading(each.id, asset, each.kind, {name: _CLEAR.get(name, 1) for name in names})
        if by_name(each.kind) is None:
            yield NodeState(each.id, each.assets[0], each.kind, True, AT_MS)
    for node in config.nodes:
        for event in EVENTS[node.kind]:
            yield _reading(node.id, node.asset, "event", {"event": event, "value": 1})
            over = Over(node.id, node.asset, event, AT_MS, CLEAR).values()
            yield _reading(config.gateway.id, node.asset, "event", over)
        yield NodeState(node.id, node.asset, node.kind, True, AT_MS, "1.0.0", "board", "00000000")
    for asset, rule in _alarms(config, city):
        for active in (True, False):
            key = Key(config.gateway.id, 0, 0)
            yield Alarm(key, asset, rule, active, Severity.WARNING, AT_MS)
    yield from _figures(config, city)


def _names(of: Device, telegrams: Sequence[str]) -> Sequence[str]:
    """The values that a device gives."""
    schema = by_name(of.kind)
    if schema is not None:
        return [each.name for each in schema.fields]
    return of.names or telegrams


def _alarms(config: Config, city: City) -> Iterator[tuple[str, str]]:
    """Whose alarms the gateway may raise, by asset and rule."""
    for rule in GATEWAY_ALARMS:
        yield config.gateway.id, rule
    for leak in config.leaks:
        yield leak.meter, LEAK
    for district in config.districts:
        for rule in (leaks.BALANCE, leaks.INFLOW):
            yield district.zone, rule
        served = (each for each in city.registry.served() if each.zone == district.zone)
        water = (each.id for each in served if each.type == WATER)
        for meter in district.counted(water):
            for rule in leaks.METER_RULES:
                yield meter, rule
    if config.air is not None:
        for rule in air.rules(config.air):
            yield from ((station, rule) for station in air.periods(config))
    yield from light_rules.alarms(config.rules)
    for bus in config.buses:
        for unit in bus.devices:
            for register in unit.registers:
                for each in register.alarms:
                    yield unit.asset, each.name


def _figures(config: Config, city: City) -> Iterator[Reading]:
    """Those of groups and zones: each that a device here may count for."""
    groups: dict[str, None] = {}
    zones: dict[str, None] = {}
    watered: dict[str, None] = {}
    for asset in city.registry.served():
        if asset.group and asset.type == STREETLIGHT:
            groups[asset.group] = None
        if asset.zone:
            zones[asset.zone] = None
            if asset.type == WATER:
                watered[asset.zone] = None
    for area in dict.fromkeys((*groups, *zones)):
        names = [*(_LAMPS if area in groups else ()), *(_ZONE if area in zones else ())]
        yield _reading(config.gateway.id, area, kpi.KIND, dict.fromkeys(names, 1))
    for zone in watered:
        hour = zone_water.Closed(zone, 0, 1, 1, 1, 1, 0)
        yield _reading(config.gateway.id, zone, zone_water.KIND, hour.values())
    for district in config.districts:
        values = dict.fromkeys(leaks.FIGURES, 1)
        yield _reading(config.gateway.id, district.zone, leaks.WATER_BALANCE, values)
    if config.air is not None:
        for station in air.periods(config):
            index: dict[str, Value] = {"eu_index": 1, "eu_category": "Good"}
            yield _reading(config.gateway.id, station, HOUR_KIND, index)


def _reading(source: str, asset: str, kind: str, values: Mapping[str, Value]) -> Reading:
    return Reading(Key(source, 0, 0), asset, kind, AT_MS, 0, values)
