"""What a broker notifies over MQTT, and which of it somebody ordered; pure.

ETSI GS CIM 009, 7.2: `{"metadata": ..., "body": Notification}`; 5.3.1: the Notification.

A broker notifies of every change, our own upserts among them, and repeats attributes that did not
change beside one that did. An order is what is neither: not a value of ours come back, and not
what was seen of that attribute last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from kerbline.north.ngsi_ld.attributes import NoValue, attributes, defaults, instant_ms, written
from kerbline.north.ngsi_ld.known import Known

MAX_BYTES = 262_144
MAX_ENTITIES = 500
AHEAD_MS = 5_000  # two clocks may differ by so much


class NoNotification(ValueError):
    """It is none; the text says why, in a stable word and perhaps a detail."""


@dataclass(frozen=True, slots=True)
class Notification:
    """`data`: the attributes of each entity by its id, as they were written."""

    id: str
    subscription: str
    notified_at_ms: int | None
    data: tuple[tuple[str, Mapping[str, object]], ...]


class Verdict(Enum):
    """What one attribute of a notification is."""

    ORDER = "order"
    OURS = "ours"
    SEEN = "seen"
    STALE = "stale"


def parsed(payload: bytes) -> Notification:
    """One MQTT message; raises NoNotification."""
    if len(payload) > MAX_BYTES:
        raise NoNotification("too_long")
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise NoNotification("not_json") from None
    body = message.get("body") if isinstance(message, dict) else None
    if not isinstance(body, dict) or body.get("type") != "Notification":
        raise NoNotification("no_notification: metadata and body are expected")
    data = body.get("data")
    entities = [data] if isinstance(data, dict) else data
    if not isinstance(entities, list) or len(entities) > MAX_ENTITIES:
        raise NoNotification("no_data")
    return Notification(
        str(body.get("id", "")),
        str(body.get("subscriptionId", "")),
        instant_ms(body.get("notifiedAt")),
        tuple(_entities(entities)),
    )


def _entities(entities: list[Any]) -> list[tuple[str, Mapping[str, object]]]:
    found = [each for each in entities if isinstance(each, dict)]
    return [
        (str(each.get("id", each.get("@id", ""))), defaults(attributes(each))) for each in found
    ]


class Seen:
    """Each attribute's order that a broker still repeats, by a digest; kept in a file of ours."""

    def __init__(self, orders: Mapping[str, str] | None = None) -> None:
        self.orders = dict(orders or {})
        self.changed = False  # since the file was written

    def is_news(self, entity: str, name: str, given: object, at_ms: int | None = None) -> bool:
        """Is it another order than before? From now on it is the one that is known.

        `at_ms`: the date that stands beside it, perhaps one of ours that the broker kept.
        """
        key = f"{entity} {name}"
        known = f"{_digest(given)} {at_ms}"
        if self.orders.get(key) == known:
            return False
        self.orders[key] = known
        self.changed = True
        return True

    def stands_over(self, entity: str, name: str, at_ms: int) -> bool:
        """Was the last that was seen an order, written over our value of that date?"""
        return self.orders.get(f"{entity} {name}", "").endswith(f" {at_ms}")

    def is_over(self, entity: str, name: str) -> None:
        """A value of ours stands in its place."""
        if self.orders.pop(f"{entity} {name}", None) is not None:
            self.changed = True


def judged(
    entity: str,
    name: str,
    given: object,
    notification: Notification,
    known: Known,
    seen: Seen,
    now_ms: int,
    ttl_ms: int,
) -> Verdict:
    """What one attribute is; what can't be read is an order, to be refused aloud."""
    try:
        value = written(given)
    except NoValue:
        return Verdict.ORDER if seen.is_news(entity, name, given) else Verdict.SEEN
    at_ms = value.observed_at_ms
    if at_ms is not None and known.is_ours(entity, name, at_ms, value.value):
        # A value of ours goes up once. If it is there again after an order and under the same date,
        # then somebody ordered just that, and the broker kept the date.
        back = seen.stands_over(entity, name, at_ms)
        if not back or known.take_restated(entity, name):
            seen.is_over(entity, name)
            return Verdict.OURS
    if not seen.is_news(entity, name, given, at_ms):
        return Verdict.SEEN
    known.take_restated(entity, name)
    dates = [value.modified_at_ms, notification.notified_at_ms]
    if at_ms is not None and not known.is_dated_by_us(entity, name, at_ms):
        dates.append(at_ms)
    return Verdict.STALE if _is_stale(dates, now_ms, ttl_ms) else Verdict.ORDER


def _is_stale(dates: Sequence[int | None], now_ms: int, ttl_ms: int) -> bool:
    """Was it written, or told, too long ago? A broker that dates nothing is believed."""
    return any(
        not now_ms - ttl_ms <= at_ms <= now_ms + AHEAD_MS + ttl_ms
        for at_ms in dates
        if at_ms is not None
    )


def _digest(given: object) -> str:
    text = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()
