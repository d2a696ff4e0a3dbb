"""From a message of the city to a command, or to the reason why it is none. Pure.

Who may publish to a command topic is the broker's to decide; what may be asked there at all, and
above whom, is the config's: `Rights`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from kerbline.errors import KerblineError
from kerbline.model import Command, CommandResult, CommandState, Value
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.operations import OPERATIONS, Argument

MAX_PAYLOAD_BYTES = 4_096
MAX_VALUES = 16  # of one order to a device
MAX_AHEAD_MS = 24 * 3_600_000  # an order for later than tomorrow is a schedule's work
_ID = re.compile(r"[A-Za-z0-9._:@/-]{1,64}")
_SOURCE = re.compile(r"[A-Za-z0-9._:@-]{1,32}")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FIELDS = frozenset(["id", "operation", "arguments", "expires_at", "priority", "source"])
PRIORITIES = ("control", "operator", "safety")  # rising; ranks of `control.arbitration`


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be asked over this broker: these operations, and no more than that priority."""

    operations: Collection[str] = frozenset(OPERATIONS)
    priority: str = "operator"


ALL = Rights()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message is no command: `reason` is a stable word, `command_id` empty if unreadable."""

    command_id: str
    asset: str
    reason: str
    detail: str = ""

    def result(self, at_ms: int) -> CommandResult:
        """The answer for the sender."""
        reason = f"{self.reason}: {self.detail}" if self.detail else self.reason
        return CommandResult(self.command_id, self.asset, CommandState.REJECTED, reason, at_ms)


class _Refused(KerblineError):
    """A reason and its detail, on their way to a Rejection."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def parse(
    message: Message,
    topics: Topics,
    kinds: Mapping[str, str],
    now_ms: int,
    rights: Rights = ALL,
) -> Command | Rejection | None:
    """The command in `message`, or its rejection; None when the topic is not a command's.

    `kinds` is the kind of each asset, `now_ms` real UTC.
    """
    asset = topics.commanded(message.topic)
    if asset is None:
        return None
    try:
        body = _body(message)
    except _Refused as refused:
        return Rejection("", asset, refused.reason, refused.detail)
    command_id = body.get("id")
    if not isinstance(command_id, str) or not _ID.fullmatch(command_id):
        reason = "missing_id" if command_id is None else "bad_id"
        return Rejection("", asset, reason, "1 to 64 of A-Z a-z 0-9 . _ : @ / -")
    try:
        if message.retained:
            # It lies at the broker for ever and would run again at every reconnect.
            raise _Refused("retained", "publish commands without the retain flag")
        expires_at_ms = _expiry(body, now_ms)
        operation, arguments = _order(body, asset, kinds, rights)
        source = _source(body, rights)
    except _Refused as refused:
        return Rejection(command_id, asset, refused.reason, refused.detail)
    return Command(command_id, asset, operation, arguments, expires_at_ms, source)


def _body(message: Message) -> dict[str, Any]:
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise _Refused("too_long", f"at most {MAX_PAYLOAD_BYTES} bytes")
    try:
        body = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        raise _Refused("not_json") from None
    if not isinstance(body, dict):
        raise _Refused("not_json", "an object is expected")
    return body


def _expiry(body: Mapping[str, Any], now_ms: int) -> int:
    expires = body.get("expires_at")
    match expires:
        case None:
            raise _Refused("missing_expiry", "expires_at: RFC 3339 or ms since 1970")
        case bool():
            raise _Refused("bad_expiry")
        case int():
            expires_at_ms = expires
        case str():
            expires_at_ms = _instant_ms(expires)
        case _:
            raise _Refused("bad_expiry")
    if expires_at_ms <= now_ms:
        raise _Refused("expired")
    if expires_at_ms > now_ms + MAX_AHEAD_MS:
        raise _Refused("bad_expiry", "more than 24 h ahead")
    return expires_at_ms


def _instant_ms(text: str) -> int:
    if not _RFC_3339.fullmatch(text):
        zoneless = _RFC_3339.fullmatch(text + "Z")
        raise _Refused("bad_expiry", "without a time zone" if zoneless else "not RFC 3339")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise _Refused("bad_expiry", "not RFC 3339") from None
    return int(instant.timestamp() * 1000)


def _order(
    body: Mapping[str, Any], asset: str, kinds: Mapping[str, str], rights: Rights
) -> tuple[str, dict[str, Value]]:
    if unknown := sorted(body.keys() - _FIELDS):
        raise _Refused("unknown_field", unknown[0][:40])
    if asset not in kinds:
        raise _Refused("unknown_asset")
    name = body.get("operation")
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if not isinstance(name, str) or operation is None:
        raise _Refused("unknown_operation", "one of " + " ".join(OPERATIONS))
    if name not in rights.operations:
        raise _Refused("not_permitted", name)
    if kinds[asset] not in operation.kinds:
        raise _Refused("unsupported", f"{name} on a {kinds[asset]}")
    given = body.get("arguments", {})
    if not isinstance(given, dict):
        raise _Refused("wrong_type", "arguments: an object is expected")
    if operation.arguments is None:
        return name, _values(given)
    if unknown := sorted(given.keys() - operation.arguments.keys()):
        raise _Refused("unknown_argument", unknown[0][:40])
    return name, {
        label: _value(label, argument, given.get(label))
        for label, argument in operation.arguments.items()
    }


def _values(given: Mapping[str, object]) -> dict[str, Value]:
    """Values by name, in the order in which they are to be written."""
    if not 1 <= len(given) <= MAX_VALUES:
        raise _Refused("missing_argument", f"1 to {MAX_VALUES} values by name")
    found: dict[str, Value] = {}
    for label, value in given.items():
        each = tuple(value) if isinstance(value, list) else value
        if not isinstance(each, int | float | str | tuple) or (
            isinstance(each, tuple) and not all(isinstance(one, int | float) for one in each)
        ):
            raise _Refused("wrong_type", f"{label[:40]}: a number, true, false, a text or a list")
        found[label] = each
    return found


def _source(body: Mapping[str, Any], rights: Rights) -> str:
    """Who asks, and how much that counts: the first part is a rank of `control.arbitration`."""
    priority, name = body.get("priority", "operator"), body.get("source")
    if "source" in body and (not isinstance(name, str) or not _SOURCE.fullmatch(name)):
        raise _Refused("bad_source", "1 to 32 of A-Z a-z 0-9 . _ : @ -")
    if priority not in PRIORITIES:
        raise _Refused("bad_priority", "one of " + " ".join(PRIORITIES))
    if PRIORITIES.index(priority) > PRIORITIES.index(rights.priority):
        raise _Refused("not_permitted", f"priority {priority}")
    if priority == "operator" and name is None:
        return "mqtt"
    return f"{priority}/{name or 'mqtt'}"


def _value(label: str, argument: Argument, given: object) -> int:
    if given is None:
        if argument.default is None:
            raise _Refused("missing_argument", label)
        return argument.default
    if isinstance(given, bool) or not isinstance(given, int):
        raise _Refused("wrong_type", f"{label}: a whole number is expected")
    if not argument.low <= given <= argument.high:
        raise _Refused("out_of_range", f"{label}: {argument.low} to {argument.high}")
    return given
