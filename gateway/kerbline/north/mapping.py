"""What an entry looks like to the city: topic and payload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from kerbline.model import ANCHOR_KIND, Alarm, CommandResult, Entry, Gap, Reading
from kerbline.north.encoding import JSON, Encoding
from kerbline.north.live import Log, Mark, log_of, mark_of
from kerbline.north.port import Message
from kerbline.north.topics import Topics

READINGS_PER_MESSAGE = 200
MESSAGE_BYTES = 64 * 1024  # of readings: every broker takes as much
LATEST_MS = 253_402_300_799_999  # the last moment of the year 9999


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, and the entries of one log that it delivers (none: a command's result)."""

    message: Message
    log: Log = ("", 0)
    marks: tuple[Mark, ...] = ()


class Mapper:
    """Turns entries into messages for one gateway's topics."""

    def __init__(self, topics: Topics, encoding: Encoding = JSON) -> None:
        self._topics = topics
        self._encoding = encoding

    def outgoing(self, entries: Iterable[Entry]) -> list[Outgoing]:
        """All entries as messages: gaps and alarms, then readings by source, epoch and asset."""
        return list(self.packed(entries))

    def packed(self, entries: Iterable[Entry]) -> Iterator[Outgoing]:
        """The same, each message made when it is asked for.

        Readings share one up to READINGS_PER_MESSAGE and MESSAGE_BYTES; a longer one goes alone.
        """
        groups: dict[tuple[str, int, str], list[Reading]] = {}
        for entry in entries:
            if isinstance(entry, Reading):
                if entry.kind == ANCHOR_KIND:
                    continue  # what dates a node's records is nobody's but ours
                name = (entry.key.source, entry.key.epoch, entry.asset)
                groups.setdefault(name, []).append(entry)
            elif isinstance(entry, Gap):
                yield self._gap(entry)
            else:
                yield self._alarm(entry)
        for readings in groups.values():
            start = 0
            while start < len(readings):
                items: list[bytes] = []
                room = MESSAGE_BYTES
                for reading in readings[start : start + READINGS_PER_MESSAGE]:
                    item = self._encoding.one(_item(reading))
                    room -= len(item) + 1
                    if room < 0 and items:
                        break
                    items.append(item)
                yield self._readings(readings[start : start + len(items)], items)
                start += len(items)

    def result(self, result: CommandResult) -> Outgoing:
        """What became of a command."""
        payload = {
            "id": result.command_id,
            "asset": result.asset,
            "state": result.state,
            "reason": result.reason,
            "at": rfc3339(result.at_ms),
        }
        return Outgoing(Message(self._topics.result(result.asset), self._encoding.one(payload)))

    def status(self, state: str, at_ms: int | None) -> Message:
        """Whether the gateway is there: "online" or "offline"; a will can't know when."""
        payload = {"state": state, "at": None if at_ms is None else rfc3339(at_ms)}
        return Message(self._topics.status, self._encoding.one(payload), retained=True)

    def is_ack(self, topic: str) -> bool:
        """Does a consumer acknowledge here?"""
        return self._topics.acknowledges(topic)

    def _readings(self, readings: Sequence[Reading], items: Sequence[bytes]) -> Outgoing:
        key = readings[0].key
        marks = tuple([reading.key.number for reading in readings])
        head = {
            "source": key.source,
            "asset": readings[0].asset,
            "epoch": key.epoch,
            "first": min(marks),
            "last": max(marks),
            "readings": [],
        }
        payload = self._encoding.joined(head, items)
        return Outgoing(
            Message(self._topics.readings(key.source), payload), (key.source, key.epoch), marks
        )

    def _gap(self, gap: Gap) -> Outgoing:
        payload = {
            "source": gap.source,
            "epoch": gap.epoch,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
            "declared_at": rfc3339(gap.declared_at_ms),
        }
        message = Message(self._topics.gap(gap.source), self._encoding.one(payload))
        return Outgoing(message, log_of(gap), (mark_of(gap),))

    def _alarm(self, alarm: Alarm) -> Outgoing:
        payload = {
            "source": alarm.key.source,
            "epoch": alarm.key.epoch,
            "n": alarm.key.number,
            "asset": alarm.asset,
            "rule": alarm.rule,
            "active": alarm.active,
            "severity": alarm.severity,
            "observed_at": rfc3339(alarm.observed_at_ms),
            "evidence": alarm.evidence,
        }
        message = Message(self._topics.alarm(alarm.asset), self._encoding.one(payload))
        return Outgoing(message, log_of(alarm), (mark_of(alarm),))


def _item(reading: Reading) -> dict[str, object]:
    return {
        "n": reading.key.number,
        "kind": reading.kind,
        "observed_at": rfc3339(reading.observed_at_ms),
        "uncertainty_ms": reading.uncertainty_ms,
        "values": reading.values,
        "quality": reading.quality,
    }


def rfc3339(utc_ms: int) -> str:
    """UTC in milliseconds since 1970 as `2026-01-31T12:00:00.000Z`; clipped to 1970..9999."""
    seconds, ms = divmod(min(max(utc_ms, 0), LATEST_MS), 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(4096)
def _second(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat()[:19]
