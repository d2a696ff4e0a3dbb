"""From an agent's commands to orders of ours, and from their ids back to who was asked. Pure.

The agent gives a command no id, no time and no end. So its id is made of what it says and when
it came, and it expires after a time of the config. What comes again at once, to the same device
with nothing in between, is the same order: a broker or an agent may deliver twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from kerbline.counters import Counters
from kerbline.model import CommandResult
from kerbline.north.commands import MAX_PAYLOAD_BYTES
from kerbline.north.iota.dialect import Asked
from kerbline.north.iota.names import Topics
from kerbline.north.port import Message
from kerbline.operations import OPERATIONS

REPEAT_MS = 10_000
OPEN = 2_048  # ids whose word is remembered; of others the id tells it
SOURCE_CHARS = 32
WORD_CHARS = 9
_STRANGE = re.compile(r"[^A-Za-z0-9_]")
_WHOLE = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Order:
    """An order for `asset`, as `north.commands` takes it."""

    asset: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Last:
    payload: bytes
    at_ms: int
    made: tuple[Order, ...]


class Commands:
    """What one agent asks."""

    def __init__(
        self,
        name: str,
        topics: Topics,
        assets: Callable[[], Mapping[str, str]],
        ttl_ms: int,
        counters: Counters,
    ) -> None:
        """`assets`: by device, whom it is asked for; `name`: the agent's, for ids."""
        self._name = name
        self._topics = topics
        self._assets = assets
        self._ttl_ms = ttl_ms
        self._counters = counters
        self._last: dict[str, _Last] = {}
        self._asked: dict[str, Asked] = {}

    @property
    def source(self) -> str:
        """Who asks, behind the rank."""
        return f"iota:{self._name}"[:SOURCE_CHARS]

    def orders(self, message: Message, now_ms: int) -> tuple[Order, ...]:
        """The orders of a message, none where it holds none; `now_ms` real UTC."""
        device = self._topics.commanded(message.topic)
        if not device:
            return ()
        if message.retained:
            # The broker's copy of an order that was given at any time, carried out or not.
            self._counters.count("iota.retained")
            return ()
        last = self._last.get(device)
        if last is not None and _repeats(last, message, now_ms):
            self._counters.count("iota.repeated")
            return last.made
        given = _object(message.payload)
        if not given:
            self._counters.count("iota.not_json")
            return ()
        made = tuple([self._order(device, word, value, now_ms) for word, value in given.items()])
        if device in self._assets():
            self._last[device] = _Last(message.payload, now_ms, made)
        return made

    def asked(self, result: CommandResult) -> Asked | None:
        """Which device was asked, with which word; None for another's order."""
        agent, _, rest = result.command_id.removeprefix("iota:").partition(":")
        if not result.command_id.startswith("iota:") or agent != self._name:
            return None
        known = self._asked.get(result.command_id)
        if known is not None:
            return known
        devices = {asset: device for device, asset in self._assets().items()}
        return Asked(devices.get(result.asset, result.asset), rest.partition(":")[0])

    def _order(self, device: str, word: str, value: object, now_ms: int) -> Order:
        said = orjson.dumps([device, word, value, now_ms])
        digest = hashlib.sha256(said).hexdigest()[:16]
        name = f"iota:{self._name}:{_STRANGE.sub('_', word)[:WORD_CHARS]}:{digest}"
        self._asked[name] = Asked(device, word)
        if len(self._asked) > OPEN:
            del self._asked[next(iter(self._asked))]
        body = {
            "id": name,
            "operation": word,
            "arguments": arguments(word, value),
            "expires_at": now_ms + self._ttl_ms,
            "source": self.source,
        }
        return Order(self._assets().get(device, device), body)


def arguments(word: str, value: object) -> object:
    """What an attribute's value says of an order: an object its arguments, else the first one.

    Digits in quotes are a number where one is expected: many forms write all as text.
    """
    operation = OPERATIONS.get(word)
    if operation is None or operation.arguments is None:
        return value
    if isinstance(value, dict):
        return {name: _number(each) for name, each in value.items()}
    if value is None or value == "" or not operation.arguments:
        return {}
    return {next(iter(operation.arguments)): _number(value)}


def _repeats(last: _Last, message: Message, now_ms: int) -> bool:
    return last.payload == message.payload and 0 <= now_ms - last.at_ms <= REPEAT_MS


def _number(value: object) -> object:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value


def _object(payload: bytes) -> dict[str, object]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return {}
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
