"""What a node's records mean: named by its schemas, in engineering units, and dated."""

from __future__ import annotations

from collections.abc import Iterator

from kerbline.clock import Clock
from kerbline.config import Node
from kerbline.model import ANCHOR_KIND, Key, Reading, Value
from kerbline.south import schemas
from kerbline.south.arrivals import Anchored
from kerbline.south.dating import BootClock
from kerbwire import catalogue
from kerbwire import messages as m
from kerbwire.schema import Schema


class Records:
    """Translates one node's records, in the order in which its engine tells of them."""

    def __init__(self, node: Node, boots: BootClock, clock: Clock, known: schemas.Schemas) -> None:
        self._node = node
        self._boots = boots
        self._clock = clock
        self._known = known
        self._info: m.Info | None = None

    def begin(self, info: m.Info) -> Iterator[Anchored]:
        """A session: what follows is in its schema."""
        self._info = info
        return self._heard(info.boot_id, info.uptime_s)

    def learn(self, encoding: bytes, forgotten: bytes) -> str:
        """The node taught a schema in the place of another one; what to remember of all."""
        schema = catalogue.decode(encoding)
        self._known.pop(forgotten, None)
        self._known[schema.hash] = schema
        return schemas.taught(self._known)

    def take(
        self, kind: int, key: Key, boot_id: int, uptime_s: int, values: tuple[int, ...]
    ) -> Iterator[Reading | Anchored]:
        """A record as a reading; before it what it says of its boot's date."""
        if kind == m.ANCHOR:
            return self._anchor(key, boot_id, uptime_s, values)
        return self._record(kind, key, boot_id, uptime_s, values)

    def _record(
        self, kind: int, key: Key, boot_id: int, uptime_s: int, values: tuple[int, ...]
    ) -> Iterator[Reading | Anchored]:
        utc_ms = self._clock.utc_ms()
        if self._info is not None and boot_id == self._info.boot_id:
            yield from self._heard(boot_id, uptime_s)
        name, named = self._named(kind, values)
        observed_at_ms, uncertainty_ms, quality = self._boots.date(boot_id, uptime_s)
        yield Reading(
            key=key,
            asset=self._node.asset,
            kind=name,
            observed_at_ms=observed_at_ms,
            uncertainty_ms=uncertainty_ms,
            values=named,
            quality=quality,
            received_at_ms=utc_ms,
        )

    def _anchor(
        self, key: Key, boot_id: int, uptime_s: int, values: tuple[int, ...]
    ) -> Iterator[Reading | Anchored]:
        """A node's own word on when a boot began: it dates the boot and is kept, not published."""
        uptime_ms, utc_s, utc_ms, uncertainty_ms = values
        at_ms = 1000 * (utc_s + m.ANCHOR_ZERO_S) + utc_ms
        anchor = self._boots.tie(boot_id, 1000 * uptime_s + uptime_ms, at_ms, uncertainty_ms)
        if anchor is not None:
            yield Anchored(self._node.id, boot_id, anchor)
        yield Reading(
            key=key,
            asset=self._node.asset,
            kind=ANCHOR_KIND,
            observed_at_ms=self._clock.street_ms(at_ms),
            uncertainty_ms=uncertainty_ms,
            values={"boot": boot_id, "uptime_ms": 1000 * uptime_s + uptime_ms, "utc_ms": at_ms},
            quality=(),
            received_at_ms=self._clock.utc_ms(),
        )

    def _heard(self, boot_id: int, uptime_s: int) -> Iterator[Anchored]:
        anchor = self._boots.hear(boot_id, uptime_s)
        if anchor is not None:
            yield Anchored(self._node.id, boot_id, anchor)

    def _named(self, kind: int, values: tuple[int, ...]) -> tuple[str, dict[str, Value]]:
        """The kind and the values under their names, in engineering units."""
        if kind == m.EVENT:
            code, value = values
            return "event", {"event": m.EVENT_NAMES.get(code, f"code_{code}"), "value": value}
        # By the INFO that this record followed: the engine may be a session further already.
        assert self._info is not None
        schema = self._known[self._info.schema_hash]
        return schema.name, dict(_fields(schema, values))


def _fields(schema: Schema, values: tuple[int, ...]) -> Iterator[tuple[str, Value]]:
    """Each field's value; a record of an older version ends before the fields appended since."""
    at = 0
    for field in schema.fields:
        if at == len(values):
            return
        numbers = values[at : at + field.count]
        at += field.count
        scaled = tuple(
            n if field.scale == 0 else round(n / 10**field.scale, field.scale) for n in numbers
        )
        yield field.name, scaled if field.count > 1 else scaled[0]
