"""FIWARE's IoT Agent JSON and the broker behind it, in memory: as strict as the strictest of them.

Whoever has a connection gives it what came (`take`) and publishes what it says (`command`). What
it would log and drop is in `refused`, and changes nothing. As the agent does by MQTT: any answer
to a command makes its status OK, and tells by `info` what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerbline.errors import KerblineError

INSTANT = "TimeInstant"
# Of templates that check what is provisioned, and of Orion, that checks what is written.
_FIT = re.compile(r"[^<>();'=\"]+")
_NAME = re.compile(r"[^\s<>();'=\"&?/#\x00-\x1f]{1,256}")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_RESERVED = frozenset(["id", "type", "geo:distance", "dateCreated", "dateModified", "*"])
_ATTRIBUTE_KEYS = frozenset(["object_id", "name", "type", "metadata", "expression", "skipValue"])
_COMMAND_KEYS = frozenset(["object_id", "name", "type", "value", "mqtt", "expression"])
_DEVICE_KEYS = frozenset(
    re.findall(
        r"\w+",
        "device_id entity_name entity_type timezone timestamp apikey endpoint protocol transport "
        "attributes lazy commands static_attributes internal_attributes explicitAttrs ngsiVersion",
    )
)
_GROUP_KEYS = frozenset(
    re.findall(
        r"\w+",
        "apikey resource entity_type transport timestamp autoprovision attributes lazy commands "
        "static_attributes cbHost trust explicitAttrs entityNameExp ngsiVersion payloadType",
    )
)


class WrongSyntax(KerblineError):
    """The agent answers 400, or 409 for what it has: the text says to what."""

    code = "wrong_syntax"


@dataclass(frozen=True, slots=True)
class Told:
    """One attribute's value, as the broker's history has it."""

    entity: str
    attribute: str
    at: str
    value: Any

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other one."""
        return self.entity, self.attribute, self.at


@dataclass(slots=True)
class Entity:
    """One entity at the broker."""

    type: str
    attributes: dict[str, Any] = field(default_factory=dict)
    instants: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


class IotAgent:
    """One agent with its groups and devices, nothing provisioned yet."""

    def __init__(self) -> None:
        self.groups: dict[str, Mapping[str, Any]] = {}  # by key
        self.devices: dict[tuple[str, str], Mapping[str, Any]] = {}  # by key and device
        self.entities: dict[str, Entity] = {}
        self.history: list[Told] = []
        self.sizes: list[int] = []  # measures of each message
        self.refused: list[str] = []

    @property
    def subscriptions(self) -> Sequence[str]:
        """Of this agent's MQTT client."""
        roots = ("/+/+", "/json/+/+", "json/+/+")
        return [f"{root}/{word}" for root in roots for word in ("attrs", "attrs/+", "cmdexe")]

    def post_services(self, body: Mapping[str, Any]) -> None:
        """POST /iot/services; raises WrongSyntax."""
        for group in _only(body, "services"):
            _keys(group, _GROUP_KEYS)
            key = group.get("apikey")
            if not isinstance(key, str) or not key or not str(group.get("resource", "")):
                raise WrongSyntax("a group needs apikey and resource")
            if key in self.groups:
                raise WrongSyntax("DUPLICATE_GROUP")
            self.groups[key] = group

    def post_devices(self, body: Mapping[str, Any]) -> None:
        """POST /iot/devices, all of them or none; raises WrongSyntax."""
        found = dict(self.devices)
        for device in _only(body, "devices"):
            _keys(device, _DEVICE_KEYS)
            name, key = device.get("device_id"), device.get("apikey")
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise WrongSyntax(f"device_id: {name}")
            if key not in self.groups:
                raise WrongSyntax(f"{name}: of no group")
            if (key, name) in found:
                raise WrongSyntax(f"DUPLICATE_DEVICE_ID: {name}")
            for each in device.get("attributes", []):
                _attribute(each, _ATTRIBUTE_KEYS)
            for each in device.get("commands", []):
                _attribute(each, _COMMAND_KEYS)
                if each["type"] != "command":
                    raise WrongSyntax(f"{name}: {each['name']} is no command")
            for each in device.get("static_attributes", []):
                _attribute(each, frozenset(["name", "type", "value", "metadata"]))
                _fits(each["value"])
            found[key, name] = device
        self.devices = found

    def take(self, topic: str, payload: bytes, arrived: str, *, retained: bool = False) -> None:
        """A message of a device; `arrived` dates what does not date itself."""
        try:
            self._take(topic, payload, arrived, retained=retained)
        except WrongSyntax as why:
            self.refused.append(f"{topic}: {why}")

    def command(self, entity: str, name: str, value: object) -> tuple[str, bytes]:
        """What is published when somebody writes that attribute; raises WrongSyntax."""
        for (key, device), body in self.devices.items():
            if body["entity_name"] == entity:
                if name not in [each["name"] for each in body["commands"]]:
                    raise WrongSyntax(f"{entity} has no command {name}")
                self._of(body).attributes[f"{name}_status"] = "PENDING"
                return f"/{key}/{device}/cmd", json.dumps({name: value}).encode()
        raise WrongSyntax(f"{entity} is not registered")

    def _take(self, topic: str, payload: bytes, arrived: str, *, retained: bool) -> None:
        parts = topic.removeprefix("/").split("/")
        if parts[0] == "json":
            del parts[0]
        if len(parts) != 3:
            raise WrongSyntax("single measures are not used here")
        key, device, word = parts
        body = self.devices.get((key, device))
        if body is None:
            raise WrongSyntax("DEVICE_NOT_FOUND")
        if retained:
            raise WrongSyntax("retained: it would come again with each start of the agent")
        try:
            given = json.loads(payload)
        except ValueError:
            raise WrongSyntax("malformed") from None
        several = given if isinstance(given, list) else [given]
        if not several or not all(isinstance(each, dict) and each for each in several):
            raise WrongSyntax("a measure is an object that has something")
        if word == "cmdexe":
            for each in several:
                self._answered(body, each)
            return
        for each in several:
            _measure(each)
        self.sizes.append(len(several))
        for each in sorted(several, key=lambda one: str(one.get(INSTANT, arrived))):
            self._measured(body, each, arrived)

    def _measured(self, body: Mapping[str, Any], given: dict[str, Any], arrived: str) -> None:
        names = {each.get("object_id", each["name"]): each for each in body["attributes"]}
        at = str(given.get(INSTANT, arrived))
        entity = self._of(body)
        for name, value in given.items():
            if name == INSTANT:
                continue
            known = names.get(name)
            if known is None:
                raise WrongSyntax(f"{body['device_id']}: {name} is not provisioned")
            if known["type"] == "Number" and isinstance(value, str):
                raise WrongSyntax(f"{body['device_id']}: {name} is no number")
            entity.attributes[known["name"]] = value
            entity.instants[known["name"]] = at
            unit = known.get("metadata", {}).get("unitCode", {}).get("value")
            if unit:
                entity.units[known["name"]] = unit
            self.history.append(Told(body["entity_name"], known["name"], at, value))

    def _answered(self, body: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            if name not in [each["name"] for each in body["commands"]]:
                raise WrongSyntax(f"COMMAND_NOT_FOUND: {name}")
            _fits(value)
            attributes = self._of(body).attributes
            attributes[f"{name}_status"] = "OK"
            attributes[f"{name}_info"] = value

    def _of(self, body: Mapping[str, Any]) -> Entity:
        """An entity is there from the first measure or command on, with what is static."""
        name = body["entity_name"]
        if name not in self.entities:
            static = {each["name"]: each["value"] for each in body["static_attributes"]}
            self.entities[name] = Entity(body["entity_type"], static)
        return self.entities[name]


def _only(body: Mapping[str, Any], key: str) -> list[Any]:
    if set(body) != {key} or not isinstance(body[key], list) or not body[key]:
        raise WrongSyntax(f"a body has {key}, and nothing else")
    found: list[Any] = body[key]
    return found


def _keys(given: Mapping[str, Any], known: frozenset[str]) -> None:
    if strange := sorted(set(given) - known):
        raise WrongSyntax(f"{strange[0]} is not known")


def _attribute(given: Mapping[str, Any], known: frozenset[str]) -> None:
    _keys(given, known)
    for key in ("name", "type", *(["object_id"] if "object_id" in given else [])):
        text = given.get(key)
        if not isinstance(text, str) or not _NAME.fullmatch(text) or not _FIT.fullmatch(text):
            raise WrongSyntax(f"{key}: {text}")
    if given["name"] in _RESERVED or given["name"] == INSTANT:
        raise WrongSyntax(f"{given['name']} is reserved")


def _measure(given: Mapping[str, Any]) -> None:
    """One flat object: texts and numbers, that Orion takes."""
    for name, value in given.items():
        if not isinstance(value, str | int | float):
            raise WrongSyntax(f"{name}: not flat")
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise WrongSyntax(f"{name}: no name of an attribute")
        _fits(value)
    if INSTANT in given and not _ISO.fullmatch(str(given[INSTANT])):
        raise WrongSyntax(f"{INSTANT}: {given[INSTANT]}")
    if not set(given) - {INSTANT}:
        raise WrongSyntax("no attribute")


def _fits(value: object) -> None:
    if isinstance(value, str) and value and not _FIT.fullmatch(value):
        raise WrongSyntax(f"forbidden characters: {value}")
    if isinstance(value, list | tuple):
        for each in value:
            _fits(each)
    if isinstance(value, dict):
        for each in value.values():
            _fits(each)
