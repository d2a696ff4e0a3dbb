"""What the city may order by writing an attribute, and the order that a written one is; pure.

A lamp's `illuminanceLevel` (0 to 1) and `powerState` ("on": full light, "off"), the same of a group
for each of its lamps, and each writable register of a cabinet's devices. An NGSI-LD Null gives a
lamp back to its schedule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kerbline.assets.asset import CABINET, STREETLIGHT
from kerbline.config import Config
from kerbline.north.commands import Rejection
from kerbline.north.ngsi_ld import groups
from kerbline.north.ngsi_ld.attributes import MAX_ATTRIBUTES, NULL, NoValue, Written, written
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import group
from kerbline.north.ngsi_ld.units import Rule

LEVEL = "illuminanceLevel"
POWER = "powerState"
LAMP_ATTRIBUTES = (LEVEL, POWER)
EXPIRY = "expiresAt"  # of the core context: beside the value, until when it is to be carried out
HOLD = "holdFor"  # seconds, beside the value
PER_CENT = "P1"
ONE = "C62"
_POWER = {"on": 100, "off": 0}
_DIGITS = 9
_OF_LAMPS = (STREETLIGHT, group.TYPE)


@dataclass(frozen=True, slots=True)
class Register:
    """A writable register of an asset; `rule` is how its value becomes the attribute."""

    name: str
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """An entity that takes orders: its attributes, of a lamp None, else the register's.

    A group is the `asset` "group NAME" and has `lamps`; `shared` where not all of them are here.
    """

    asset: str
    id: str
    type: str
    attributes: Mapping[str, Register | None]
    lamps: tuple[Target, ...] = ()
    shared: bool = False

    @property
    def name(self) -> str:
        """Its own, among all of a gateway."""
        return ":".join(self.id.split(":")[2::2]) if self.lamps else self.asset


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order for `asset`, as `north.commands` takes it, but for id, expiry, rank and source."""

    asset: str
    order: Mapping[str, object]
    lamps: tuple[str, ...] = ()  # each of which gets it, in the place of `asset`
    expires_at: object = None  # as it was written, None where nothing was


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed with one broker."""

    lamp_attributes: Collection[str] = LAMP_ATTRIBUTES
    hold_s: int = 0
    everything: bool = False  # of what is personal, too


class Catalogue:
    """All that takes orders of the city here, with the types that the list of assets gives now.

    An entity and an attribute are in it: `("urn:...", "powerState") in catalogue`.
    """

    def __init__(self, config: Config, city: City, terms: Terms) -> None:
        self.terms = terms
        self._config = config
        self._city = city
        self._revision = -1
        self._targets: Mapping[str, Target] = {}
        self._by_asset: Mapping[str, Target] = {}

    @property
    def targets(self) -> Mapping[str, Target]:
        """By the id of the entity."""
        self._look()
        return self._targets

    def at(self, asset: str) -> Target | None:
        """What an asset of ours is to the city."""
        self._look()
        return self._by_asset.get(asset)

    def __contains__(self, key: object) -> bool:
        entity, name = key if isinstance(key, tuple) else ("", "")
        target = self.targets.get(entity)
        return target is not None and name in target.attributes

    def _look(self) -> None:
        registry = self._city.registry
        if self._revision == registry.revision:
            return
        self._revision = registry.revision
        found = []
        for asset, attributes in _attributes(self._config, self._city, self.terms):
            place = self._city.place(asset)
            personal = registry.personal(asset) and not self.terms.everything
            if attributes and not personal:
                found.append(Target(asset, place.id, place.asset.type, attributes))
        self._by_asset = {each.asset: each for each in found}
        names = [name for name in LAMP_ATTRIBUTES if name in self.terms.lamp_attributes]
        for name, lamps in groups.members(found, self._city).items():
            shared = groups.is_shared(name, lamps, self._city)
            attributes = dict.fromkeys(names)
            entity = groups.urn(name, self._city)
            found.append(
                Target(f"group {name}", entity, group.TYPE, attributes, tuple(lamps), shared)
            )
        self._targets = {each.id: each for each in found}


def _attributes(
    config: Config, city: City, terms: Terms
) -> Iterable[tuple[str, Mapping[str, Register | None]]]:
    lamps = {name: None for name in LAMP_ATTRIBUTES if name in terms.lamp_attributes}
    lit = [each for each in city.devices if each.kind == "streetlight"]  # with those that joined
    for served in lit:
        for asset in served.assets:
            if city.place(asset).asset.type == STREETLIGHT:
                yield asset, lamps
    for bus in config.buses:
        for device in bus.devices:
            place = city.place(device.asset)
            if place.asset.type != CABINET:
                continue
            registers: dict[str, Register | None] = {}
            for each in device.registers:
                if each.writable is not None:
                    rule = place.plan[each.name]
                    name = each.name if rule is None else rule.attribute
                    registers[name] = Register(each.name, rule)
            yield device.asset, registers


def wanted(
    targets: Mapping[str, Target], entity: str, given: Mapping[str, object], terms: Terms
) -> Wanted | Rejection:
    """The one order that the attributes `given` of an entity are, or why they are none."""
    target = targets.get(entity)
    if target is None:
        return Rejection("", "", "unknown_entity", "it takes no orders here")
    if not given:
        return Rejection("", target.asset, "missing_argument", "no attribute")
    strange = [name for name in given if name not in target.attributes]
    if strange or len(given) > MAX_ATTRIBUTES:
        known = " ".join(target.attributes)
        return Rejection("", target.asset, "unknown_attribute", f"{strange[0][:40]}: {known}")
    values: dict[str, Written] = {}
    for name, each in given.items():
        try:
            values[name] = written(each)
        except NoValue as why:
            return Rejection("", target.asset, "wrong_type", f"{name}: {why}")
    expiries = [each.beside[EXPIRY] for each in values.values() if EXPIRY in each.beside]
    made = _lamp(values, terms) if target.type in _OF_LAMPS else _write(target, values)
    if isinstance(made, tuple):
        return Rejection("", target.asset, *made)
    lamps = tuple(each.asset for each in target.lamps)
    return Wanted(target.asset, made, lamps, expiries[0] if expiries else None)


_Order = dict[str, object] | tuple[str, str]


def _lamp(values: Mapping[str, Written], terms: Terms) -> _Order:
    """Of both attributes the level says how much, the state whether at all."""
    if all(each.value in (NULL, None) for each in values.values()):
        return {"operation": "release"}
    levels: list[int] = []
    for name, each in values.items():
        level = _level(each) if name == LEVEL else _power(each)
        if isinstance(level, tuple):
            return level
        levels.append(level)
    if LEVEL in values and POWER in values and (levels[0] == 0) != (levels[1] == 0):
        return "contradiction", f"{LEVEL} and {POWER}"
    holds = [each.beside[HOLD] for each in values.values() if HOLD in each.beside]
    hold: object = holds[0] if holds else terms.hold_s
    if isinstance(hold, float) and hold.is_integer():
        hold = int(hold)
    return {"operation": "set_level", "arguments": {"level_pct": min(levels), "hold_s": hold}}


def _level(given: Written) -> int | tuple[str, str]:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "wrong_type", f"{LEVEL}: a number from 0 to 1 is expected"
    if given.unit_code not in ("", ONE, PER_CENT):
        return "wrong_unit", f"{LEVEL}: {ONE}, a share of 1, or {PER_CENT}, percent"
    pct = value if given.unit_code == PER_CENT else value * 100
    if not 0 <= pct <= 100:
        return "out_of_range", f"{LEVEL}: 0 to 1"
    return max(1, round(pct)) if pct > 0 else 0  # a little light is light


def _power(given: Written) -> int | tuple[str, str]:
    if not isinstance(given.value, str):
        return "wrong_type", f"{POWER}: a text is expected"
    found = _POWER.get(given.value)
    return ("out_of_range", f"{POWER}: on or off") if found is None else found


def _write(target: Target, values: Mapping[str, Written]) -> _Order:
    """Values of registers, each in the register's own unit."""
    arguments: dict[str, object] = {}
    for name, each in values.items():
        register = target.attributes[name]
        assert register is not None, "no lamp"
        value = each.value
        if register.rule is not None:
            rule = register.rule
            if isinstance(value, bool) or not isinstance(value, int | float):
                return "wrong_type", f"{name}: a number is expected"
            if not math.isfinite(value):
                return "wrong_type", f"{name}: a finite number is expected"
            if each.unit_code not in ("", rule.code):
                return "wrong_unit", f"{name}: {rule.code}"
            if rule.multiplier != rule.divisor:
                value = round(value * rule.divisor / rule.multiplier, _DIGITS)
                value = int(value) if value.is_integer() else value
        arguments[register.name] = value
    return {"operation": "write", "arguments": arguments}


def command_id(*parts: object) -> str:
    """The id of an order by what makes it this one: the same parts give the same id."""
    text = "\x1f".join(map(str, parts))
    return "ld-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def proposal(
    wanted: Wanted, name: str, *, expires_at: object, priority: str, source: str
) -> dict[str, Any]:
    """The order as `north.commands.parse` takes it."""
    given = {"id": name, "expires_at": expires_at, "priority": priority, "source": source}
    return {**wanted.order, **given}
